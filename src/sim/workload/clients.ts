import { ViewCodec } from '#core/codec/view-codec';
import { toAntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import type { IngestResult } from '#region/engine-api';
import type { SimKernel } from '#sim/kernel/kernel';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import { BURST_WRITES, type WorkloadKnobs } from '#sim/knobs';
import type { RegionMachine } from '#sim/machine/region-machine';
import { ChangeMaker } from '#sim/workload/change-maker';
import { mayRepeat, type WriteRecord } from '#sim/workload/write-record';

/** Writes waiting for an answer at the same time; more are not begun. */
const OPEN_MAX = 200;
/** Refusals after which a client tries again, with the same key. */
const TRY_AGAIN = new Set([
  'REBUILDING',
  'CLOCK_SKEWED',
  'NO_HUB',
  'NOT_HOLDER',
  'OVERLOADED',
  'DISK_FULL',
  'OUTCOME_UNKNOWN',
]);

export interface ClientOutcomes {
  /** Told done by this region at this moment; the hub may be another one. */
  onAcknowledged(write: WriteRecord, region: string, result: IngestResult): void;
  /** An answer that no client should get. */
  onAnomaly(text: string): void;
}

/** All clients: each writes once under a key of its own, and tries again, perhaps elsewhere, until it is told done. */
export class Clients {
  readonly writes: WriteRecord[] = [];
  readonly outcomes = new Map<string, number>();
  repeats = 0;
  readonly #kernel: SimKernel;
  readonly #random: SeededRandom;
  readonly #knobs: WorkloadKnobs;
  /** Those that clients ask. */
  #regions: readonly RegionMachine[];
  readonly #codecs: readonly ViewCodec[];
  readonly #maker: ChangeMaker;
  readonly #observer: ClientOutcomes;
  #open = 0;
  #running = false;

  constructor(options: {
    kernel: SimKernel;
    random: SeededRandom;
    knobs: WorkloadKnobs;
    regions: readonly RegionMachine[];
    views: readonly FeatureView[];
    observer: ClientOutcomes;
  }) {
    this.#kernel = options.kernel;
    this.#random = options.random;
    this.#knobs = options.knobs;
    this.#regions = options.regions;
    this.#codecs = options.views.map((view) => new ViewCodec(view));
    this.#maker = new ChangeMaker({ ...options, nowMs: () => options.kernel.nowMs });
    this.#observer = options.observer;
  }

  get open(): number {
    return this.#open;
  }

  start(): void {
    this.#running = true;
    this.#next();
  }

  /** From now on only these are asked. */
  reach(regions: readonly RegionMachine[]): void {
    this.#regions = regions;
  }

  stop(): void {
    this.#running = false;
  }

  /** One more write of a view of the namespace, sent to one region until it is acknowledged or `giveUp` answers true. */
  probe(namespace: string, region: RegionMachine, giveUp: () => boolean): WriteRecord {
    const codec = this.#codecs.find(({ view }) => view.namespace === namespace) as ViewCodec;
    const write = this.#make(codec, 1, false);
    const again = (): void => {
      if (write.ackedMs !== undefined || giveUp()) return;
      this.#attempt(write, region, () => this.#kernel.schedule(300, undefined, 'probe', again));
    };
    again();
    return write;
  }

  #next(): void {
    if (!this.#running) return;
    this.#kernel.schedule(this.#random.exponential(this.#knobs.intervalMs), undefined, 'client', () => {
      if (!this.#running) return;
      if (this.#open < OPEN_MAX) {
        const burst = this.#random.chance(this.#knobs.burstShare) ? BURST_WRITES : 1;
        for (let i = 0; i < burst; i++)
          this.#persist(
            this.#make(
              this.#random.pick(this.#codecs),
              1 + this.#random.integer(this.#knobs.changesMax),
              this.#random.chance(this.#knobs.keylessShare),
            ),
            0,
          );
      }
      this.#next();
    });
  }

  /** Without a key nobody can tell a second try from another write, so there is none; nor a delete, which has no name. */
  #make(codec: ViewCodec, count: number, keyless: boolean): WriteRecord {
    const name = `w${this.writes.length}`;
    const write: WriteRecord = {
      namespace: codec.view.namespace,
      version: codec.view.version,
      name,
      request: {
        view: codec.view.name,
        version: codec.view.version,
        idempotencyKey: keyless ? undefined : name,
        acknowledge: this.#running && this.#random.chance(this.#knobs.raiseShare) ? 1 : undefined,
        ...this.#maker.make(codec, name, count, keyless),
      },
      ackedMs: undefined,
      heldBack: new Set(),
      attempts: 0,
      firstAsked: undefined,
      unknown: false,
    };
    this.writes.push(write);
    return write;
  }

  /** Tries until told done or out of tries. */
  #persist(write: WriteRecord, attempt: number): void {
    const keyed = mayRepeat(write);
    // A client in a hurry asks twice at once, perhaps the same region.
    if (keyed && this.#random.chance(this.#knobs.hedgeShare)) this.#once(write);
    this.#open++;
    this.#attempt(write, this.#random.pick(this.#regions), (done) => {
      this.#open--;
      const pause = this.#random.exponential(this.#running ? 200 * 2 ** Math.min(attempt, 4) : 50);
      if (keyed && !done && attempt < this.#knobs.retries)
        this.#kernel.schedule(pause, undefined, 'retry', () => this.#persist(write, attempt + 1));
      if (keyed && done && this.#random.chance(this.#knobs.repeatShare)) {
        this.repeats++;
        this.#kernel.schedule(pause, undefined, 'repeat', () => {
          this.#once(write);
        });
      }
    });
  }

  #once(write: WriteRecord): void {
    this.#open++;
    this.#attempt(write, this.#random.pick(this.#regions), () => {
      this.#open--;
    });
  }

  /** One request to one region; `ended` once, when the client has its answer or waits no longer. */
  #attempt(write: WriteRecord, machine: RegionMachine, ended: (done: boolean) => void): void {
    write.attempts++;
    const running = machine.running;
    if (running === undefined) {
      this.#count('no-connection');
      this.#kernel.schedule(1, undefined, 'no-connection', () => ended(false));
      return;
    }
    const { process, region } = running;
    let settled = false;
    const onDeath = (): void => {
      this.#kernel.schedule(1, undefined, 'connection-lost', () => settle('connection-lost', false));
    };
    process.deathWatchers.add(onDeath);
    const settle = (outcome: string, done: boolean): void => {
      if (settled) return;
      settled = true;
      process.deathWatchers.delete(onDeath);
      this.#kernel.cancel(timeout);
      this.#count(outcome);
      ended(done);
    };
    const timeout = this.#kernel.schedule(this.#knobs.clientTimeoutMs, undefined, 'client-timeout', () =>
      settle('client-timeout', false),
    );
    process.after(this.#random.next(), 'ingest', () => {
      write.firstAsked ??= machine.name;
      region.ingest(write.request).then(
        (result) => {
          if (!process.alive) return;
          this.#acknowledged(write, machine.name, result);
          settle(result.duplicate ? 'duplicate' : 'accepted', true);
        },
        (caught: unknown) => {
          if (!process.alive) return;
          const error = toAntipodeError(caught);
          if (!TRY_AGAIN.has(error.code))
            this.#observer.onAnomaly(`${machine.name} answers ${error.code}: ${error.message} ${stackOf(caught)}`);
          if (error.code === 'OUTCOME_UNKNOWN') write.unknown = true;
          settle(error.code, false);
        },
      );
    });
  }

  #acknowledged(write: WriteRecord, region: string, result: IngestResult): void {
    this.#kernel.note(
      region,
      `acknowledges ${write.name}${result.duplicate ? ' again' : ''} ${JSON.stringify(result.positions)}`,
    );
    write.heldBack = new Set([...write.heldBack, ...result.quarantined.map(({ index }) => index)]);
    if (write.ackedMs === undefined) {
      if (write.unknown) this.#kernel.moment('acked-after-unknown');
      if (write.firstAsked !== region) this.#kernel.moment('acked-by-another-region');
      if (result.hub !== region) this.#kernel.moment('acked-by-forwarding');
      if (result.quarantined.length > 0) this.#kernel.moment('change-held-back');
    }
    write.ackedMs ??= this.#kernel.nowMs;
    this.#observer.onAcknowledged(write, region, result);
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}

function stackOf(caught: unknown): string {
  const cause = caught instanceof Error ? (caught.cause ?? caught) : caught;
  return cause instanceof Error ? (cause.stack ?? '') : '';
}
