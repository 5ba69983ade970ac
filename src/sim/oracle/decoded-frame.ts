import { decodeChanges } from '#core/codec/changes';
import { decodeFrame, type FrameKind } from '#core/codec/frame';
import { parseStreamKey, type StreamKey } from '#core/model/stream';

/** A change with everything that places it, as plain values. */
export interface PlacedChange {
  /** Identity for ever: stream and seq in which it first appeared. */
  readonly id: string;
  readonly version: string;
  /** Where the row lies in a store, hexadecimal. */
  readonly rowKey: string;
  readonly key: Buffer;
  readonly row: Buffer;
  readonly operation: 'upsert' | 'delete';
  readonly eventTimeUs: number;
  readonly wallMs: number;
  readonly counter: number;
  readonly origin: string;
  /** Of the stream in which it first appeared. */
  readonly incarnation: string;
  readonly seq: number;
  readonly generation: number;
  /** Places of the features of a partial row; undefined: all. */
  readonly features: readonly number[] | undefined;
  /** Where it stands now: the same as above unless it was replayed. */
  readonly at: { readonly stream: StreamKey; readonly seq: number };
  /** Positions that its origin had applied when it made it. */
  readonly seen: ReadonlyMap<StreamKey, number>;
}

export interface DecodedFrame {
  readonly stream: StreamKey;
  readonly origin: string;
  readonly from: number;
  readonly to: number;
  readonly epoch: number;
  readonly kind: FrameKind;
  readonly version: string;
  /** Of an expiry frame: event time below which nothing of the version counts any more, microseconds. */
  readonly cutUs: number | undefined;
  readonly hash: string;
  readonly replayed: boolean;
  readonly wallMs: number;
  readonly counter: number;
  /** What the writer of the frame had applied. */
  readonly applied: ReadonlyMap<StreamKey, number>;
  readonly changes: readonly PlacedChange[];
  readonly keys: readonly { readonly key: string; readonly from: number; readonly to: number }[];
}

/** Bytes of the version that stand before an entity key. */
const VERSION_PREFIX_DIGITS = 16;

/** What a logged envelope says, spelled out for the oracles. */
export function decodeForOracle(bytes: Uint8Array): DecodedFrame {
  const { frame, hash } = decodeFrame(bytes);
  const original = frame.replay?.original ?? frame;
  const seen = new Map(original.applied.map(({ stream, seq }) => [stream, seq]));
  const raw = frame.kind === 'rows' ? decodeChanges(frame.payload, frame.to - frame.from) : [];
  return {
    stream: frame.stream,
    origin: parseStreamKey(frame.stream)?.origin ?? '',
    from: frame.from,
    to: frame.to,
    epoch: frame.epoch,
    kind: frame.kind,
    version: frame.viewVersion,
    cutUs: frame.kind === 'expiry' ? Number(Buffer.from(frame.payload).readBigInt64BE()) : undefined,
    hash: hash.toString('hex'),
    replayed: frame.replay !== null,
    wallMs: frame.hlc.wallMs,
    counter: frame.hlc.counter,
    applied: new Map(frame.applied.map(({ stream, seq }) => [stream, seq])),
    keys: frame.idempotency.map(({ key, from, to }) => ({ key, from, to })),
    changes: raw.map((change, index) => ({
      id: `${original.stream}#${original.from + change.offset + 1}`,
      version: frame.viewVersion,
      rowKey: frame.viewVersion.slice(0, VERSION_PREFIX_DIGITS) + change.key.toString('hex'),
      key: Buffer.from(change.key),
      row: Buffer.from(change.row),
      operation: change.operation,
      eventTimeUs: change.eventTimeUs,
      wallMs: original.hlc.wallMs,
      counter: original.hlc.counter + change.offset,
      origin: parseStreamKey(original.stream)?.origin ?? '',
      incarnation: parseStreamKey(original.stream)?.incarnation ?? '',
      seq: original.from + change.offset + 1,
      generation: change.generation ?? 0,
      features: change.features,
      at: { stream: frame.stream, seq: frame.from + index + 1 },
      seen,
    })),
  };
}
