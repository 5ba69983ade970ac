import type { Snapshots } from '#ports/snapshots';
import { type KvOperation, type KvTable, type OrderedKv, prefixEnd } from './ordered-kv.ts';

/** Tables a `KvSnapshots` needs its engine to have. */
export const SNAPSHOT_TABLES = ['snapshots', 'chunks'] as const;

const ID_BYTES = 4;
const INDEX_BYTES = 4;
/** Chunks removed in one write. */
const REMOVED_AT_ONCE = 32;

/** Snapshots on an ordered key-value engine: the change log's, so that both have the same durability and one reserve. */
export class KvSnapshots implements Snapshots {
  readonly #kv: OrderedKv;
  readonly #manifests: KvTable;
  readonly #chunks: KvTable;
  /** Not listed any more, although perhaps still on disk. */
  readonly #removed = new Set<number>();
  /** Given by `begin` in this process: their chunks are not leftovers. */
  readonly #begun = new Set<number>();
  #sweeping: Promise<void> = Promise.resolve();

  constructor(kv: OrderedKv) {
    this.#kv = kv;
    this.#manifests = kv.table('snapshots');
    this.#chunks = kv.table('chunks');
    this.#sweep();
  }

  list(): { readonly id: number; readonly manifest: Buffer }[] {
    return Array.from(this.#manifests.entries({ reverse: true }), ([key, manifest]) => ({
      id: key.readUInt32BE(0),
      manifest: Buffer.from(manifest),
    })).filter(({ id }) => !this.#removed.has(id));
  }

  begin(): number {
    const id = Math.max(0, ...this.#begun, ...this.#removed, ...this.#known()) + 1;
    this.#begun.add(id);
    return id;
  }

  async write(id: number, index: number, chunk: Buffer): Promise<void> {
    await this.#kv.write([{ kind: 'put', table: this.#chunks, key: chunkKey(id, index), value: chunk }]);
  }

  async finish(id: number, manifest: Buffer): Promise<void> {
    await this.#kv.write([{ kind: 'put', table: this.#manifests, key: idKey(id), value: manifest }]);
  }

  chunk(id: number, index: number): Buffer | undefined {
    const value = this.#chunks.get(chunkKey(id, index));
    return value === undefined ? undefined : Buffer.from(value);
  }

  async remove(id: number): Promise<void> {
    this.#removed.add(id);
    this.#begun.delete(id);
    await this.#kv.write([{ kind: 'remove', table: this.#manifests, key: idKey(id) }]);
    await this.#removeChunks(id);
  }

  /** Numbers of which anything is on disk. */
  #known(): number[] {
    const ids = new Set<number>();
    for (const [key] of this.#manifests.entries({})) ids.add(key.readUInt32BE(0));
    for (let from: Buffer | undefined = idKey(0); from !== undefined; ) {
      const [first] = [...this.#chunks.entries({ from, limit: 1 })];
      if (first === undefined) break;
      ids.add(first[0].readUInt32BE(0));
      from = prefixEnd(first[0].subarray(0, ID_BYTES));
    }
    return [...ids];
  }

  /** Removes chunks of snapshots that an earlier process did not finish. A full disk leaves them to the next start. */
  #sweep(): void {
    const complete = new Set(this.list().map(({ id }) => id));
    const leftovers = this.#known().filter((id) => !complete.has(id));
    for (const id of leftovers) {
      this.#removed.add(id);
      this.#sweeping = this.#sweeping.then(() => this.#removeChunks(id)).catch(() => undefined);
    }
  }

  async #removeChunks(id: number): Promise<void> {
    const prefix = idKey(id);
    for (;;) {
      const range = { from: prefix, before: prefixEnd(prefix), limit: REMOVED_AT_ONCE };
      const removals = Array.from(
        this.#chunks.entries(range),
        ([key]): KvOperation => ({ kind: 'remove', table: this.#chunks, key }),
      );
      if (removals.length === 0) return;
      await this.#kv.write(removals);
    }
  }
}

function idKey(id: number): Buffer {
  const key = Buffer.allocUnsafe(ID_BYTES);
  key.writeUInt32BE(id, 0);
  return key;
}

function chunkKey(id: number, index: number): Buffer {
  const key = Buffer.allocUnsafe(ID_BYTES + INDEX_BYTES);
  key.writeUInt32BE(id, 0);
  key.writeUInt32BE(index, ID_BYTES);
  return key;
}
