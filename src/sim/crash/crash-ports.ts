import type { ChangeLog } from '#ports/change-log';
import type { ControlStore } from '#ports/control-store';
import type { Journal } from '#ports/journal';
import type { OnlineStore } from '#ports/online-store';
import type { CrashPoints } from '#sim/crash/crash-points';
import { override } from '#sim/crash/override';

/** What a call of a dead process gives: nothing, ever. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

/** A call that may be the last of its process: before it, when it was taken but is not finished, and after it. */
async function through<T>(points: CrashPoints, label: string, call: () => Promise<T>): Promise<T> {
  if (points.hit(`${label} before`)) return never();
  const result = call();
  if (points.hit(`${label} taken`)) {
    result.catch(() => undefined);
    return never();
  }
  const value = await result;
  return points.hit(`${label} after`) ? never() : value;
}

/** As `through`, for a call that throws at once what it does not take. */
function throughWrite(points: CrashPoints, label: string, call: () => Promise<void>): Promise<void> {
  if (points.hit(`${label} before`)) return never();
  const written = call();
  if (points.hit(`${label} taken`)) {
    written.catch(() => undefined);
    return never();
  }
  return written.then(() => (points.hit(`${label} after`) ? never<void>() : undefined));
}

export function crashingLog(log: ChangeLog, points: CrashPoints, region: string): ChangeLog {
  return override(log, {
    append: (stream, frames) => {
      const own = stream.split('/')[2] === region;
      return throughWrite(points, own ? 'append-own' : 'append-mirror', () => log.append(stream, frames));
    },
  });
}

/** The part of a journal key that says what it is: `hlc/bound` and `promise/flights` by their first word. */
function kindOfKey(key: string): string {
  return key.split('/')[0] ?? key;
}

export function crashingJournal(journal: Journal, points: CrashPoints): Journal {
  return override(journal, {
    write: (operations) => {
      const [first] = operations;
      const label = first === undefined ? 'journal' : `journal ${first.kind} ${kindOfKey(first.key)}`;
      return throughWrite(points, label, () => journal.write(operations));
    },
  });
}

export function crashingStore(store: OnlineStore, points: CrashPoints): OnlineStore {
  return override(store, {
    apply: (...call) => {
      const [batch] = call;
      const label = batch.checkpoints.size > 0 ? (batch.rows.length > 0 ? 'rows' : 'no-rows') : 'records';
      return through(points, `store-apply ${label}`, () => store.apply(...call));
    },
    wipe: () => through(points, 'store-wipe', () => store.wipe()),
    sync: () => through(points, 'store-sync', () => store.sync()),
  });
}

export function crashingControl(control: ControlStore, points: CrashPoints): ControlStore {
  return override(control, {
    get: (key) => through(points, `control-get ${kindOfKey(key)}`, () => control.get(key)),
    compareAndSet: (key, ...rest) =>
      through(points, `control-set ${kindOfKey(key)}`, () => control.compareAndSet(key, ...rest)),
  });
}
