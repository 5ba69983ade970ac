import { z } from 'zod';
import { canonicalJson, type JsonValue } from '#core/canonical-json';
import { AntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** End of a stream with the hash of its last frame, hexadecimal. */
const END = z.strictObject({ seq: count, hash: z.string() });

const MEMBER_RECORD = z.strictObject({
  namespace: z.string(),
  region: z.string(),
  /** Streams of one incarnation; a key's partition depends on it, so it never changes (P1.1). */
  partitions: z.number().int().min(1),
  /** Number of the incarnation, from 1: what an older copy of the disk is told by. */
  life: z.number().int().min(1),
  /** Names the process that wrote the record, at random. */
  session: z.string(),
  /** Streams of the incarnation, by partition number. */
  streams: z.array(z.string()),
  /** Durable ends of these streams when the record was written: the disk must not hold less. */
  ends: z.record(z.string(), END),
  /** A clock reading above all that the region had given until then. */
  clock: z.strictObject({ wallMs: count, counter: count }),
  /** Written by an orderly stop: the ends are the last ones, until the region writes the record again. */
  closed: z.boolean(),
});

/**
 * What the control store keeps of one member of an active-active namespace: how far its streams were when it last said so
 * (P1.4). No lease: nothing that the region does while it runs waits for it.
 */
export type MemberRecord = z.infer<typeof MEMBER_RECORD>;

/** What the member keeps in its own journal: the incarnation it extends. */
export type OwnIncarnation = Pick<MemberRecord, 'partitions' | 'life' | 'streams'>;

const OWN_INCARNATION = MEMBER_RECORD.pick({ partitions: true, life: true, streams: true });

export function memberKey(namespace: string, region: string): string {
  return `members/${namespace}/${region}`;
}

/** Key of the incarnation in the region's journal. */
export function incarnationKey(namespace: string): string {
  return `incarnation/${namespace}`;
}

export function encodeMemberRecord(record: MemberRecord): Buffer {
  return Buffer.from(canonicalJson(record as JsonValue), 'utf8');
}

export function decodeMemberRecord(bytes: Uint8Array): MemberRecord {
  try {
    return MEMBER_RECORD.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw new AntipodeError('PROTOCOL_MISMATCH', 'the member record in the control store is not readable', { cause });
  }
}

export function encodeIncarnation(own: OwnIncarnation): Buffer {
  return Buffer.from(canonicalJson(own as JsonValue), 'utf8');
}

export function decodeIncarnation(bytes: Uint8Array): OwnIncarnation {
  return OWN_INCARNATION.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
}

/** The end of a stream as this region's log holds it. */
export interface HeldEnd {
  readonly seq: number;
  /** Hash of the frame that ends exactly at `seq`, hexadecimal; undefined when none does. */
  hashAt(seq: number): string | undefined;
}

/**
 * What the record says of a log that goes on with the incarnation `own`: `behind` when the log holds less than the record
 * names, or something else, or the record names a later incarnation; `closed` when the log is exactly what an orderly stop
 * left; `fits` when nothing speaks against it, which proves little.
 */
export function judgeByRecord(
  record: MemberRecord,
  own: OwnIncarnation,
  held: (stream: StreamKey) => HeldEnd,
): 'behind' | 'closed' | 'fits' {
  const same = record.streams.length === own.streams.length && record.streams.every((s, i) => s === own.streams[i]);
  if (!same && record.life >= own.life) return 'behind';
  let exact = same && record.closed;
  for (const [stream, end] of Object.entries(record.ends)) {
    const { seq, hashAt } = held(stream);
    if (seq < end.seq || hashAt(end.seq) !== end.hash) return 'behind';
    if (seq !== end.seq) exact = false;
  }
  return exact ? 'closed' : 'fits';
}
