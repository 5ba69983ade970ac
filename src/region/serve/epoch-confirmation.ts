import { decodeLeaseRecord, leaseKey } from '#core/failover/lease';
import type { ControlStore } from '#ports/control-store';

/** Who is hub, and in which epoch, as the control store said. */
export interface Confirmed {
  readonly holder: string;
  readonly epoch: number;
}

/**
 * Asks the control store who is hub, for strong reads (P11.3): each is answered by a request that began after it arrived.
 * Reads that arrive while one is under way share the next.
 */
export class EpochConfirmation {
  readonly #control: Pick<ControlStore, 'get'>;
  readonly #key: string;
  #underWay: Promise<unknown> = Promise.resolve();
  #next: Promise<Confirmed | undefined> | undefined;

  constructor(options: { namespace: string; control: Pick<ControlStore, 'get'> }) {
    this.#control = options.control;
    this.#key = leaseKey(options.namespace);
  }

  /** Undefined when there is no hub yet. Rejects with CONTROL_UNAVAILABLE. */
  confirm(): Promise<Confirmed | undefined> {
    this.#next ??= this.#afterThat();
    return this.#next;
  }

  async #afterThat(): Promise<Confirmed | undefined> {
    await this.#underWay;
    this.#next = undefined;
    const asked = this.#ask();
    this.#underWay = asked.catch(() => undefined);
    return asked;
  }

  async #ask(): Promise<Confirmed | undefined> {
    const { revision, value } = await this.#control.get(this.#key);
    if (revision === 0) return undefined;
    const { holder, epoch } = decodeLeaseRecord(value);
    return { holder, epoch };
  }
}
