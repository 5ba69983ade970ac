import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';
import type { RegionEngine } from '#region/engine-api';

/** A view version with what is worth computing once. */
export interface CompiledView {
  readonly view: FeatureView;
  readonly codec: ViewCodec;
  /** Place of each feature in a decoded row. */
  readonly featureIndex: ReadonlyMap<string, number>;
}

/** How often the engine is asked for its views. */
const REFRESH_MS = 5000;
/** A name that is not known asks the engine at once, but not more often than this: wrong names must not become load. */
const REFRESH_MS_MIN = 500;

/**
 * The views this face can serve, as of the last answer of the engine. Reads use what is cached, so that they go on while
 * the engine is away; a new view is found within moments because an unknown name asks again.
 *
 * Of several versions of one name the engine's first is current: its own definitions come before those from streams.
 */
export class ViewCatalog {
  readonly #engine: RegionEngine;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #stop: (() => void) | undefined;
  #current: ReadonlyMap<string, CompiledView> = new Map();
  #byVersion: ReadonlyMap<string, CompiledView> = new Map();
  #loaded = false;
  #generation = 0;
  #refreshing: Promise<void> | undefined;
  #refreshedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly engine: RegionEngine; readonly clock: Clock; readonly logger: Logger }) {
    this.#engine = options.engine;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** Loads the views and keeps them fresh. The engine may be away at first: the catalogue fills as soon as it answers. */
  start(): void {
    this.#stop = this.#clock.every(REFRESH_MS, () => void this.#refresh());
    void this.#refresh();
  }

  stop(): void {
    this.#stop?.();
  }

  /** Changes whenever a name means another version than before; what was compiled from views is only valid within one. */
  get generation(): number {
    return this.#generation;
  }

  /** The current version of a name, without waiting. */
  current(name: string): CompiledView | undefined {
    return this.#current.get(name);
  }

  /** Waits for the engine when the name is not known and the engine was not asked just now. */
  async find(name: string): Promise<CompiledView | undefined> {
    await this.settle([name]);
    return this.#current.get(name);
  }

  /** Like `find`, for several names and at most one question to the engine. */
  async settle(names: readonly string[]): Promise<void> {
    if (names.every((name) => this.#current.has(name))) return;
    const due = this.#clock.monotonicMs() - this.#refreshedAtMs >= REFRESH_MS_MIN;
    if (due || this.#refreshing !== undefined) await this.#refresh();
    if (!this.#loaded) throw new AntipodeError('REBUILDING', 'the region has not said yet which views it serves');
  }

  #refresh(): Promise<void> {
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #load(): Promise<void> {
    this.#refreshedAtMs = this.#clock.monotonicMs();
    try {
      this.#take(await this.#engine.views());
    } catch (error) {
      this.#logger.warn('views-not-refreshed', { error: String(error) });
    }
  }

  #take(views: readonly FeatureView[]): void {
    const current = new Map<string, CompiledView>();
    const byVersion = new Map<string, CompiledView>();
    for (const view of views) {
      const compiled = this.#byVersion.get(view.version) ?? compile(view);
      byVersion.set(view.version, compiled);
      if (!current.has(view.name)) current.set(view.name, compiled);
    }
    const same =
      current.size === this.#current.size &&
      [...current].every(([name, compiled]) => this.#current.get(name) === compiled);
    if (!same) this.#generation += 1;
    this.#current = current;
    this.#byVersion = byVersion;
    this.#loaded = true;
  }
}

function compile(view: FeatureView): CompiledView {
  return {
    view,
    codec: new ViewCodec(view),
    featureIndex: new Map(view.features.map((feature, index) => [feature.name, index])),
  };
}
