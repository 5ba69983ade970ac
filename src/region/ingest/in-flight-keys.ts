import { AntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';

interface InFlight {
  /** Of a client's request; null for keys that a replayed tail carries. */
  readonly digest: string | null;
  readonly answer: Promise<Record<StreamKey, number>>;
  /** Ends when the outcome is in the store, or certainly never will be. */
  readonly settled: Promise<unknown>;
}

/**
 * Idempotency keys whose writes are on their way: between the first try and the moment when the store knows of it, a retry
 * finds it here. A key stays as long as its write may still become valid, also when its client was told `unknown` already.
 */
export class InFlightKeys {
  readonly #byName = new Map<string, InFlight>();

  static nameOf(view: string, key: string): string {
    return `${view}/${key}`;
  }

  /**
   * What is on its way under a key. Who finds nothing must add its own write in the same step: after an `await` another
   * one may stand here.
   */
  get(name: string): InFlight | undefined {
    return this.#byName.get(name);
  }

  add(name: string, entry: InFlight): void {
    this.#byName.set(name, entry);
    const forget = (): void => {
      if (this.#byName.get(name) === entry) this.#byName.delete(name);
    };
    entry.settled.then(forget, forget);
  }

  /** Resolves when nothing is on its way under the key. */
  async settled(name: string): Promise<void> {
    for (let running = this.#byName.get(name); running !== undefined; running = this.#byName.get(name)) {
      await running.settled.catch(() => undefined);
    }
  }
}

export function reused(name: string): AntipodeError {
  return new AntipodeError('IDEMPOTENCY_KEY_REUSED', `the key of ${name} was used for other rows`);
}
