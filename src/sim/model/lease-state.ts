import type { Lease, LeaseRecord } from '#core/failover/lease';
import type { EpochPromise } from '#core/failover/promise';

export const REGIONS = ['a', 'b', 'c'] as const;
export type RegionName = (typeof REGIONS)[number];
export const NAMES = REGIONS as readonly RegionName[];

export interface Promised {
  readonly log: number;
  /** Of the epoch's streams, by partition. */
  readonly heads: readonly number[];
}

export interface Candidacy {
  readonly revision: number;
  /** What regions promised of the epoch's streams, this one included. */
  readonly promises: readonly (Promised | undefined)[];
  readonly sent: boolean;
}

export interface RegionState {
  /** Revision of the latest record it was told of. */
  readonly known: number;
  readonly promise: EpochPromise | undefined;
  /** Number of its disk: what it holds is of this one. */
  readonly log: number;
  /** By epoch, and in it by partition: last seq of the stream held durably here; last one acknowledged to its origin. */
  readonly held: readonly number[];
  readonly acknowledged: readonly number[];
  /** Epoch in which it believes to be hub, whatever has become of that; 0: none. A pause may come at any point. */
  readonly holds: number;
  readonly candidacy: Candidacy | undefined;
}

/** All are about a change of the record as it stands at `revision`. */
export type Message =
  | { readonly kind: 'renewal'; readonly revision: number; readonly record: LeaseRecord }
  | { readonly kind: 'promise request'; readonly revision: number; readonly from: number; readonly to: number }
  | {
      readonly kind: 'promise';
      readonly revision: number;
      readonly from: number;
      readonly to: number;
      readonly promised: Promised;
    }
  | { readonly kind: 'promotion'; readonly revision: number; readonly record: LeaseRecord };

/**
 * The whole system at one moment. Time does not occur in it: whoever believes to hold the lease may do so for any length of
 * time, which covers every pause; a message stays on its way for any length of time, may arrive twice, or never.
 *
 * Two things happen as early as they can, because later is never worse: a hub hears at once what is durable elsewhere, and
 * acknowledges at once what it may. What is acknowledged must be valid for ever, so a later acknowledgement is one less.
 */
export interface LeaseState {
  /** Records of the control store by revision, from 1; the last one stands. */
  readonly history: readonly Lease[];
  readonly regions: readonly RegionState[];
  readonly messages: readonly Message[];
  /** By epoch and partition: the last write that a client was told is done. */
  readonly acknowledged: readonly number[];
  readonly renewals: number;
  readonly crashes: number;
  readonly wipes: number;
  /** A region mirrored beyond a seal that it knew. */
  readonly beyondSeal: boolean;
}

/** Keys of different partitions: each has a stream of its own in every epoch. */
export function streamsOf(epoch: number, holder: string, partitions: number): string[] {
  return Array.from({ length: partitions }, (_, at) => `flights/${at}/${holder}/${String(epoch).padStart(16, '0')}`);
}

export function replaced<T>(list: readonly T[], index: number, value: T): T[] {
  const copy = [...list];
  copy[index] = value;
  return copy;
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

export function messageText(message: Message): string {
  const about = `${message.kind}@${message.revision}`;
  if (message.kind === 'renewal' || message.kind === 'promotion') return `${about} ${recordText(message.record)}`;
  const word = message.kind === 'promise' ? ` ${message.promised.log}.${message.promised.heads.join('.')}` : '';
  return `${about} ${message.from}>${message.to}${word}`;
}

export function logText(log: number): string {
  return `log ${log}`;
}

export function current(state: LeaseState): Lease {
  return state.history[state.history.length - 1] as Lease;
}

/** By partition; undefined while the epoch is open. */
export function sealsOf(record: LeaseRecord, epoch: number): readonly number[] | undefined {
  const seals = record.seals[String(epoch)];
  return seals === undefined
    ? undefined
    : Object.keys(seals)
        .sort()
        .map((stream) => seals[stream] as number);
}

export function isLossy(record: LeaseRecord, epoch: number): boolean {
  return record.lossy.some((loss) => loss.epoch === epoch);
}

export function recordText(record: LeaseRecord): string {
  let text = `${record.epoch}${record.holder}${record.lossy.map(({ epoch }) => `!${epoch}`).join('')}`;
  for (let epoch = 1; epoch < record.epoch; epoch++) text += `,${sealsOf(record, epoch)?.join('.')}`;
  for (const name of NAMES) {
    const participant = record.participants[name];
    if (participant !== undefined) text += `${name}${participant.log.slice(4)}.${participant.held}`;
  }
  return text;
}
