import { AntipodeError } from '#core/errors';

/** One thing of an online store: a row under its storage key, or a small record under its name. */
export interface StoreItem {
  readonly kind: 'row' | 'record';
  readonly key: Buffer;
  readonly value: Buffer;
}

const ROW = 0;
const RECORD = 1;
/** kind 1 · length of the key 2 · length of the value 4, then both. */
const HEADER_BYTES = 7;

export function itemBytes(item: StoreItem): number {
  return HEADER_BYTES + item.key.length + item.value.length;
}

/** Items one after another: a chunk of a snapshot, on disk and between regions. */
export function packItems(items: readonly StoreItem[]): Buffer {
  const target = Buffer.allocUnsafe(items.reduce((sum, item) => sum + itemBytes(item), 0));
  let at = 0;
  for (const { kind, key, value } of items) {
    at = target.writeUInt8(kind === 'row' ? ROW : RECORD, at);
    at = target.writeUInt16BE(key.length, at);
    at = target.writeUInt32BE(value.length, at);
    at += key.copy(target, at);
    at += value.copy(target, at);
  }
  return target;
}

/** The items of a chunk, as views into it. SNAPSHOT_CORRUPT when it is not one. */
export function unpackItems(chunk: Buffer): StoreItem[] {
  const items: StoreItem[] = [];
  let at = 0;
  while (at < chunk.length) {
    if (at + HEADER_BYTES > chunk.length) throw corrupt('ends in a header');
    const kind = chunk[at];
    const keyEnd = at + HEADER_BYTES + chunk.readUInt16BE(at + 1);
    const valueEnd = keyEnd + chunk.readUInt32BE(at + 3);
    if ((kind !== ROW && kind !== RECORD) || valueEnd > chunk.length) throw corrupt('holds an impossible item');
    items.push({
      kind: kind === ROW ? 'row' : 'record',
      key: chunk.subarray(at + HEADER_BYTES, keyEnd),
      value: chunk.subarray(keyEnd, valueEnd),
    });
    at = valueEnd;
  }
  return items;
}

function corrupt(what: string): AntipodeError {
  return new AntipodeError('SNAPSHOT_CORRUPT', `a chunk of a snapshot ${what}`);
}
