import type { StreamKey } from '#core/model/stream';
import type { ChangeLog } from '#ports/change-log';

/** A lease record as the oracles read it: plain JSON, without the engine's schema. */
export interface PlainLease {
  readonly revision: number;
  readonly holder: string;
  /** Id of the log that the holder accepts writes with. */
  readonly holderLog: string;
  readonly epoch: number;
  readonly streams: readonly StreamKey[];
  /** Ends of open streams, as last told. */
  readonly reported: Readonly<Record<StreamKey, number>>;
  readonly seals: Readonly<Record<string, Readonly<Record<StreamKey, number>>>>;
  readonly lossy: readonly { readonly epoch: number; readonly lowered: Readonly<Record<StreamKey, unknown>> }[];
}

export function parseLease(revision: number, value: Uint8Array): PlainLease | undefined {
  if (value.length === 0) return undefined;
  return { ...(JSON.parse(Buffer.from(value).toString('utf8')) as Omit<PlainLease, 'revision'>), revision };
}

/** What stands for the record of a namespace that has none: every stream that anybody holds is open. */
export function withoutLease(namespace: string, held: Iterable<StreamKey>): PlainLease {
  const streams = [...new Set(held)].filter((stream) => stream.startsWith(`${namespace}/`)).sort();
  return { revision: 1, holder: '', holderLog: '', epoch: 1, streams, reported: {}, seals: {}, lossy: [] };
}

/** Up to where a stream is valid: a seal, everything while open, undefined when the record does not name it. */
export function limitOf(lease: PlainLease | undefined, stream: StreamKey): number | 'open' | undefined {
  if (lease === undefined) return undefined;
  if (lease.streams.includes(stream)) return 'open';
  for (const seals of Object.values(lease.seals)) if (seals[stream] !== undefined) return seals[stream];
  return undefined;
}

export function streamsOf(lease: PlainLease): StreamKey[] {
  return [...Object.values(lease.seals).flatMap((seals) => Object.keys(seals)), ...lease.streams];
}

/** Whether these logs together hold every closed stream up to its seal. */
export function holdUpToSeals(lease: PlainLease, logs: readonly ChangeLog[]): boolean {
  return Object.values(lease.seals).every((seals) =>
    Object.entries(seals).every(([stream, seal]) => logs.some((log) => log.head(stream).seq >= seal)),
  );
}

/** Whether the holder's log is the one that it accepts with, and lacks nothing of its epoch: otherwise it waits for the word of everybody. */
export function holderIsWhole(
  { holderLog, streams, reported }: PlainLease,
  holder: { readonly log: ChangeLog; readonly logId: string | undefined },
  others: readonly ChangeLog[],
): boolean {
  return (
    holder.logId === holderLog &&
    streams.every((stream) => {
      const { seq } = holder.log.head(stream);
      return seq >= (reported[stream] ?? 0) && others.every((other) => other.head(stream).seq <= seq);
    })
  );
}
