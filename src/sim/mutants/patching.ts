import type { Journal } from '#ports/journal';
import type { ApplyBatch, OnlineStore } from '#ports/online-store';
import { override } from '#sim/crash/override';
import type { Knobs } from '#sim/knobs';

/** Longest lease of runs in which a lease is to lapse often, ms. */
const LEASE_MS_MAX = 1000;

/**
 * Where bugs of leases and seals show soon: namespaces with a hub, a short lease, one fault after the other, and no more
 * load than that takes.
 */
export function underLease(knobs: Knobs): Knobs {
  const { faults, network, workload } = knobs;
  const oneWayMsMax = Math.min(network.oneWayMsMax, 30);
  const leaseMs = Math.min(knobs.namespaces[0]?.leaseMs ?? LEASE_MS_MAX, LEASE_MS_MAX);
  const namespaces = knobs.namespaces.slice(0, 1).map((namespace) => ({
    ...namespace,
    replication: 'active-passive' as const,
    acknowledge: 0,
    lossy: 'allow' as const,
    leaseMs,
    marginMs: leaseMs * 0.15,
  }));
  return {
    ...knobs,
    mode: 'all',
    namespaces,
    network: { ...network, oneWayMsMax, oneWayMsMin: Math.min(network.oneWayMsMin, oneWayMsMax) },
    workload: { ...workload, intervalMs: Math.max(workload.intervalMs, 15) },
    faults: { ...faults, intervalMs: leaseMs * 1.5, lengthMs: leaseMs * 1.5, downMs: leaseMs / 2 },
    controlDeadlineMs: leaseMs * 0.5 + 4 * oneWayMsMax,
    faultsMs: 12_000,
  };
}

/** The same, acknowledged by one more region, without sessions: their strong reads rest on the lease alone. */
export function waitingForOne(knobs: Knobs): Knobs {
  const tuned = underLease(knobs);
  const namespaces = tuned.namespaces.map((one) => ({ ...one, acknowledge: 1, lossy: 'refuse' as const }));
  return { ...tuned, namespaces, sessions: { ...tuned.sessions, count: 0 } };
}

/** The same, where no region takes over by itself what may be lossy: a hub that lost its log goes on. */
export function underLossRefused(knobs: Knobs): Knobs {
  const tuned = underLease(knobs);
  return { ...tuned, namespaces: tuned.namespaces.map((one) => ({ ...one, lossy: 'refuse' as const })) };
}

/** The same, with a lease next to which a promotion takes no time. */
export function underLongLease(knobs: Knobs): Knobs {
  const tuned = underLease(knobs);
  return {
    ...tuned,
    namespaces: tuned.namespaces.map((one) => ({ ...one, leaseMs: 4000, marginMs: 400 })),
    faults: { ...tuned.faults, intervalMs: 6000, lengthMs: 8000 },
    controlDeadlineMs: 1000,
    faultsMs: 30_000,
  };
}

/** The same, with a lease that leaves little room for what goes on beside it. */
export function underTightLease(knobs: Knobs): Knobs {
  const { namespaces, ...rest } = underLease(knobs);
  return { ...rest, namespaces: namespaces.map((one) => ({ ...one, marginMs: one.leaseMs * 0.08 })) };
}

/** Puts another method into a class; returns how to put the old one back. */
export function patch<T extends object, K extends keyof T>(prototype: T, name: K, method: T[K]): () => void {
  const before = prototype[name];
  prototype[name] = method;
  return () => {
    prototype[name] = before;
  };
}

/** The store with another `apply`. */
export function withApply(inner: OnlineStore, apply: OnlineStore['apply']): OnlineStore {
  return override(inner, { apply });
}

/** The batch without the records whose names begin with `prefix`. */
export function withoutRecords(batch: ApplyBatch, prefix: string): ApplyBatch {
  return { ...batch, records: new Map([...batch.records].filter(([key]) => !key.startsWith(prefix))) };
}

/** The journal without the writes of keys that begin with `prefix`. */
export function forgetful(inner: Journal, prefix: string): Journal {
  return override(inner, {
    write: (operations) => inner.write(operations.filter(({ key }) => !key.startsWith(prefix))),
  });
}
