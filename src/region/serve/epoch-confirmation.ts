import { decodeLeaseRecord, type Lease, leaseKey } from '#core/failover/lease';
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
  readonly #learn: (lease: Lease) => void;
  #underWay: Promise<unknown> = Promise.resolve();
  #next: Promise<Confirmed | undefined> | undefined;

  /** `learn` takes every record that is read, like any other that this region comes to know. */
  constructor(options: { namespace: string; control: Pick<ControlStore, 'get'>; learn: (lease: Lease) => void }) {
    this.#control = options.control;
    this.#key = leaseKey(options.namespace);
    this.#learn = options.learn;
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
    const record = decodeLeaseRecord(value);
    this.#learn({ revision, record });
    return { holder: record.holder, epoch: record.epoch };
  }
}
