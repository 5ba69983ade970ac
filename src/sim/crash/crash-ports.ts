import type { StreamKey } from '#core/model/stream';
import type { ChangeLog } from '#ports/change-log';
import type { ControlStore } from '#ports/control-store';
import type { Journal } from '#ports/journal';
import type { ApplyBatch, OnlineStore } from '#ports/online-store';
import type { Snapshots } from '#ports/snapshots';
import { override } from '#sim/crash/override';
import type { SimProcess } from '#sim/machine/sim-process';
import { isCopy } from '#sim/oracle/copy-batch';

/** What a call of a dead process gives: nothing, ever. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

/** Whether the process is dead, perhaps from here on: a dead one goes on up to its next port, and no further. */
function dies(process: SimProcess, label: string): boolean {
  return !process.alive || process.points?.hit(label) === true;
}

/** A call that may be the last of its process: before it, when it was taken but is not finished, and after it. */
async function through<T>(process: SimProcess, label: string, call: () => Promise<T>): Promise<T> {
  if (dies(process, `${label} before`)) return never();
  const result = call();
  if (dies(process, `${label} taken`)) {
    result.catch(() => undefined);
    return never();
  }
  const value = await result;
  return dies(process, `${label} after`) ? never() : value;
}

/** As `through`, for a call that throws at once what it does not take. */
function throughWrite(process: SimProcess, label: string, call: () => Promise<void>): Promise<void> {
  if (dies(process, `${label} before`)) return never();
  const written = call();
  if (dies(process, `${label} taken`)) {
    written.catch(() => undefined);
    return never();
  }
  return written.then(() => (dies(process, `${label} after`) ? never<void>() : undefined));
}

export function crashingLog(log: ChangeLog, process: SimProcess, region: string): ChangeLog {
  const whose = (stream: StreamKey): string => (stream.split('/')[2] === region ? 'own' : 'mirror');
  return override(log, {
    append: (stream, frames) => throughWrite(process, `append-${whose(stream)}`, () => log.append(stream, frames)),
    truncate: (stream, upTo) =>
      throughWrite(process, `log-truncate ${whose(stream)}`, () => log.truncate(stream, upTo)),
    reset: (stream, head) => throughWrite(process, `log-reset ${whose(stream)}`, () => log.reset(stream, head)),
    repair: (stream, frame) => throughWrite(process, `log-repair ${whose(stream)}`, () => log.repair(stream, frame)),
  });
}

export function crashingSnapshots(snapshots: Snapshots, process: SimProcess): Snapshots {
  return override(snapshots, {
    write: (...call) => throughWrite(process, 'snapshot-chunk', () => snapshots.write(...call)),
    finish: (...call) => throughWrite(process, 'snapshot-manifest', () => snapshots.finish(...call)),
    remove: (id) => throughWrite(process, 'snapshot-remove', () => snapshots.remove(id)),
  });
}

/** The part of a journal key that says what it is: `hlc/bound` and `promise/flights` by their first word. */
function kindOfKey(key: string): string {
  return key.split('/')[0] ?? key;
}

export function crashingJournal(journal: Journal, process: SimProcess): Journal {
  return override(journal, {
    write: (operations) => {
      const [first] = operations;
      const label = first === undefined ? 'journal' : `journal ${first.kind} ${kindOfKey(first.key)}`;
      return throughWrite(process, label, () => journal.write(operations));
    },
  });
}

/** `copy` is a chunk of a backfill or of a snapshot, or the last step of one. */
function kindOfBatch(batch: ApplyBatch): string {
  if (isCopy(batch)) return 'copy';
  if (batch.checkpoints.size === 0) return 'records';
  return batch.rows.length > 0 ? 'rows' : 'no-rows';
}

export function crashingStore(store: OnlineStore, process: SimProcess): OnlineStore {
  return override(store, {
    apply: (...call) => {
      const [batch] = call;
      return through(process, `store-apply ${kindOfBatch(batch)}`, () => store.apply(...call));
    },
    wipe: () => through(process, 'store-wipe', () => store.wipe()),
    sync: () => through(process, 'store-sync', () => store.sync()),
  });
}

export function crashingControl(control: ControlStore, process: SimProcess): ControlStore {
  return override(control, {
    get: (key) => through(process, `control-get ${kindOfKey(key)}`, () => control.get(key)),
    compareAndSet: (key, ...rest) =>
      through(process, `control-set ${kindOfKey(key)}`, () => control.compareAndSet(key, ...rest)),
  });
}
