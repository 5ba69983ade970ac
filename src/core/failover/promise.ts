import type { Lease, StreamStanding } from '#core/failover/lease';

/** A region's word to mirror no more of an epoch until its seal is known (P6.4), given at a revision of the lease record. */
export interface EpochPromise {
  readonly epoch: number;
  readonly revision: number;
}

/** What a region knows of a namespace when it decides about promises and frames. */
export interface MirrorState {
  readonly lease: Lease | undefined;
  readonly promise: EpochPromise | undefined;
}

/**
 * A promise never times out. It lapses when the record shows a later revision of its epoch (somebody renewed: the
 * promotion it was given to cannot succeed any more) or a later epoch (the seal is known).
 */
export function promiseLapses(promise: EpochPromise, lease: Lease): boolean {
  return lease.record.epoch > promise.epoch || lease.revision > promise.revision;
}

/** Why a promise may not be given; undefined when it may. Asking again at the same revision is the same promise. */
export function promiseRefusal({ lease, promise }: MirrorState, asked: EpochPromise): string | undefined {
  if (lease !== undefined && (lease.record.epoch > asked.epoch || lease.revision > asked.revision))
    return `epoch ${asked.epoch} at revision ${asked.revision} is not the latest known here (${lease.record.epoch} at ${lease.revision})`;
  if (promise !== undefined && (promise.epoch > asked.epoch || promise.revision > asked.revision))
    return `promised already at revision ${promise.revision}`;
  return undefined;
}

/** Whether an epoch's streams may be extended here, by appending or mirroring: no promise stands against it. */
export function mayExtend(promise: EpochPromise | undefined, epoch: number): boolean {
  return promise === undefined || promise.epoch < epoch;
}

/**
 * Whether a received frame may be mirrored: never beyond a known seal; of an epoch that was promised away only what the
 * candidate itself fetches, which it does not acknowledge (P4.2).
 */
export function mayMirror(options: {
  readonly standing: StreamStanding;
  readonly promise: EpochPromise | undefined;
  /** End of the frame, and the epoch it claims. */
  readonly to: number;
  readonly epoch: number;
  readonly forPromotion: boolean;
}): boolean {
  const { standing, promise, to, forPromotion } = options;
  if (standing.kind === 'sealed') return to <= standing.seal;
  if (forPromotion) return true;
  // What the record says of the stream counts; the frame's own word only while the record does not know the stream.
  return mayExtend(promise, standing.kind === 'open' ? standing.epoch : options.epoch);
}
