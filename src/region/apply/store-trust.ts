import type { Host } from '#ports/host';
import type { Journal } from '#ports/journal';
import type { OnlineStore } from '#ports/online-store';

const KEY = 'store-mark';

interface Mark {
  readonly bootId: string;
  readonly clean: boolean;
}

/**
 * Judges at a start whether the online store may be used (P12.2). The store is mapped and not synced: it survives the
 * death of the process, but after the death of the machine (another boot id, and no clean mark) it may lack any of its
 * writes, and is emptied to be built again from the logs.
 */
export class StoreTrust {
  readonly #journal: Journal;
  readonly #store: OnlineStore;
  readonly #host: Host;

  constructor(options: { journal: Journal; store: OnlineStore; host: Host }) {
    this.#journal = options.journal;
    this.#store = options.store;
    this.#host = options.host;
  }

  /** False when the store was emptied. From here on the mark says `not clean`. */
  async open(): Promise<boolean> {
    const bytes = this.#journal.get(KEY);
    const mark = bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Mark);
    const trusted = mark !== undefined && (mark.clean || mark.bootId === this.#host.bootId());
    if (!trusted) await this.#store.wipe();
    await this.#write(false);
    return trusted;
  }

  async close(): Promise<void> {
    await this.#store.sync();
    await this.#write(true);
  }

  async #write(clean: boolean): Promise<void> {
    const mark: Mark = { bootId: this.#host.bootId(), clean };
    await this.#journal.write([{ kind: 'put', key: KEY, value: Buffer.from(JSON.stringify(mark), 'utf8') }]);
  }
}
