import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FolderLock } from '#adapters/lmdb/folder-lock';
import { AntipodeError } from '#core/errors';

/** Exclusive right to run the topology of a project on this machine; gone with the process, however that ends. */
export class TopologyLock {
  readonly #lock: FolderLock;
  readonly #owner: string;

  private constructor(lock: FolderLock, owner: string) {
    this.#lock = lock;
    this.#owner = owner;
  }

  /** Throws DATA_IN_USE, naming the process that holds it. */
  static acquire(folder: string): TopologyLock {
    const owner = join(folder, 'owner');
    try {
      const lock = FolderLock.acquire(folder);
      writeFileSync(owner, `${process.pid}\n`);
      return new TopologyLock(lock, owner);
    } catch (caught) {
      if (!(caught instanceof AntipodeError && caught.code === 'DATA_IN_USE')) throw caught;
      const pid = lockOwner(folder);
      throw new AntipodeError(
        'DATA_IN_USE',
        `this project is up already${pid === undefined ? '' : `: process ${pid} runs it`}`,
        {
          where: folder,
          cause: caught,
          remedy: `Stop ${pid === undefined ? 'the other process' : `process ${pid}`}, or use another project folder.`,
        },
      );
    }
  }

  release(): void {
    rmSync(this.#owner, { force: true });
    this.#lock.release();
  }
}

/** The process that holds, or last held, the lock; only for messages. */
function lockOwner(folder: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(folder, 'owner'), 'utf8').trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
