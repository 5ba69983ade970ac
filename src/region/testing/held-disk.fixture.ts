import { KvChangeLog } from '#adapters/kv/kv-change-log';
import { KvJournal } from '#adapters/kv/kv-journal';
import { MemoryDisk } from '#adapters/memory/memory-disk';
import { MemoryKv } from '#adapters/memory/memory-kv';

/** A disk whose syncs end when a test says so: what is written is on its way until then. */
export class HeldDisk {
  readonly disk: MemoryDisk;
  readonly #commits: (() => void)[] = [];
  #held = false;

  constructor() {
    this.disk = new MemoryDisk({
      scheduleDurable: (commit) => {
        if (this.#held) this.#commits.push(commit);
        else queueMicrotask(commit);
      },
    });
  }

  /** Log and journal of a process that uses this disk from now on. */
  open(): { log: KvChangeLog; journal: KvJournal } {
    const kv = new MemoryKv(this.disk);
    return { log: new KvChangeLog(kv), journal: new KvJournal(kv) };
  }

  hold(): void {
    this.#held = true;
  }

  /** Ends every sync that has begun, and those that begin because of it. */
  async release(): Promise<void> {
    this.#held = false;
    for (const commit of this.#commits.splice(0)) commit();
    await settle();
  }
}

/** Lets everything that can happen without a sync or a timer happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Whether a promise has settled by now. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await settle();
  return settled;
}
