import type { Journal } from '#ports/journal';
import type { ApplyBatch, OnlineStore } from '#ports/online-store';
import { override } from '#sim/crash/override';

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
