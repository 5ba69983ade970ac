import type { Frame, IdempotencyEntry, ReplaySource } from '#core/codec/frame';
import type { OnlineReader } from '#ports/online-store';
import { decodeJsonRecord, encodeJsonRecord, type IdempotencyRecord, replayedKey } from '#region/apply/records';
import { type Coverage, covering } from '#region/failover/tail-coverage';

type RecordReader = Pick<OnlineReader, 'record'>;

/** How much of a keyed request is held, counting what this batch adds. A part that leaves a hole adds nothing. */
export function collectKey(
  store: RecordReader,
  frame: Frame,
  name: string,
  entry: IdempotencyEntry,
  records: Map<string, Buffer | null>,
): void {
  const bytes = records.get(name) ?? store.record(name);
  const known = bytes === undefined ? undefined : decodeJsonRecord<IdempotencyRecord>(bytes);
  const before = known?.digest === entry.digest ? known : undefined;
  const held = before?.held ?? 0;
  if (entry.first > held) return;
  const record: IdempotencyRecord = {
    stream: frame.stream,
    to: entry.to,
    atMs: frame.hlc.wallMs,
    digest: entry.digest,
    held: Math.max(held, entry.first + entry.to - entry.from),
    complete: entry.complete || before?.complete === true,
  };
  records.set(name, encodeJsonRecord(record));
}

/** Parts of one tail may lie in the streams of several hubs, applied in any order. */
export function collectReplay(
  store: RecordReader,
  tail: ReplaySource['tail'],
  records: Map<string, Buffer | null>,
): void {
  const name = replayedKey(tail.stream);
  const bytes = records.get(name) ?? store.record(name);
  const before = bytes === undefined ? [] : decodeJsonRecord<Coverage>(bytes);
  records.set(name, encodeJsonRecord(covering(before, tail.from, tail.to)));
}
