import { type LeaseRecord, promisesForCleanPromotion, sealOfPromises } from '#core/failover/lease';
import type { StreamKey } from '#core/model/stream';

/** A promise as it counts for an epoch: whose, of which log, and how far that log goes. */
export interface CountedPromise {
  readonly region: string;
  readonly log: string;
  readonly heads: Readonly<Record<StreamKey, number>>;
}

/** Changes of an epoch's streams that lie at or below these positions. */
export function heldOf(streams: readonly StreamKey[], positions: Readonly<Record<StreamKey, number>>): number {
  return streams.reduce((sum, stream) => sum + (positions[stream] ?? 0), 0);
}

/**
 * Promises that count for the record's epoch (P6.4): of its participants, from the log with which they take part, and with
 * no less in it than they acknowledged. A region that lost its mirror promises from another log, or from less of it.
 */
export function intactPromises(record: LeaseRecord, promises: readonly CountedPromise[]): string[] {
  return promises
    .filter(({ region, log, heads }) => {
      const participant = record.participants[region];
      return participant !== undefined && participant.log === log && heldOf(record.streams, heads) >= participant.held;
    })
    .map(({ region }) => region);
}

/**
 * Whether these promises tell where the epoch ends, if with loss. When all who promise lost their mirrors during it, they
 * speak for none of it (P6.4): a seal by their word would give up what the holder has let go of because they once held it.
 * They do again when they hold whatever the record last saw the holder hold.
 */
export function speakForEpoch(record: LeaseRecord, promises: readonly CountedPromise[]): boolean {
  if (Object.keys(record.participants).length === 0 || intactPromises(record, promises).length > 0) return true;
  const seal = sealOfPromises(record.streams, promises);
  return record.streams.every((stream) => (seal[stream] ?? 0) >= (record.reported[stream] ?? 0));
}

/** What a promotion lacks to be clean; `clean` when every acknowledged write is known to one that promised. */
export type Cleanliness =
  | { readonly kind: 'clean' }
  /** Nothing that could promise knows of writes that were acknowledged by the hub alone. */
  | { readonly kind: 'local' }
  | { readonly kind: 'promises'; readonly needed: number; readonly given: number; readonly named: readonly string[] };

/**
 * P6.5: with acknowledgements by `count` of the R participants, R - count + 1 intact promises meet every set of that many
 * regions; with regions by name, one of the named does. A requirement that the participants could never meet let nothing
 * be acknowledged.
 */
export function cleanliness(record: LeaseRecord, intact: readonly string[]): Cleanliness {
  const { count, regions } = record.acknowledge;
  if (count === 0) return { kind: 'local' };
  const participants = Object.keys(record.participants);
  if (participants.length < count || !regions.every((name) => participants.includes(name))) return { kind: 'clean' };
  const needed = promisesForCleanPromotion({ syncReplicas: count, promotableOthers: participants.length });
  if (intact.length >= needed || regions.some((name) => intact.includes(name))) return { kind: 'clean' };
  return { kind: 'promises', needed, given: intact.length, named: regions };
}

/** A region's log as the holder knows it: its id, and what it acknowledged of the epoch's streams. */
export interface PeerLog {
  readonly log: string;
  readonly durable: Readonly<Record<StreamKey, number>>;
  /** The most it ever acknowledged under this id. */
  readonly peak: Readonly<Record<StreamKey, number>>;
}

/** Which of the regions that come with another log than they took part with hold again what they may have acknowledged. */
export interface ReturnedLog extends PeerLog {
  /** Ends of the epoch's streams at the holder when it first met this log: nothing acknowledged before lies beyond. */
  readonly owed: Readonly<Record<StreamKey, number>>;
}

/**
 * Participants and rule of the epoch after a renewal (P6.4). A region takes part from its first meeting with the holder on,
 * with the log it then has. One that comes back with another log has lost what it acknowledged: it takes part again when it
 * holds all that it may have acknowledged. Where the holder itself began anew in this epoch, nobody knows how much that
 * was: then the region takes part again, but no promotion after this epoch can be clean.
 */
export function withParticipants(record: LeaseRecord, peers: ReadonlyMap<string, ReturnedLog>): LeaseRecord {
  const participants = { ...record.participants };
  let { acknowledge } = record;
  for (const [region, { log, durable, peak, owed }] of peers) {
    const known = participants[region];
    const held = heldOf(record.streams, peak);
    if (known?.log === log) participants[region] = { log, held: Math.max(known.held, held) };
    else if (known === undefined) participants[region] = { log, held };
    else if (reaches(durable, owed)) {
      participants[region] = { log, held };
      if (!isWholeEpoch(record)) acknowledge = { count: 0, regions: [] };
    }
  }
  return { ...record, participants, acknowledge };
}

/** Whether the holder extends the streams that it began the epoch with: it lost nothing of it. */
export function isWholeEpoch(record: LeaseRecord): boolean {
  return record.streams.length === record.partitions;
}

function reaches(durable: Readonly<Record<StreamKey, number>>, owed: Readonly<Record<StreamKey, number>>): boolean {
  return Object.entries(owed).every(([stream, seq]) => (durable[stream] ?? 0) >= seq);
}
