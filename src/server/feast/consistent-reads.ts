import { greatestReadingOf } from '#core/codec/stored-reading';
import { toAntipodeError } from '#core/errors';
import type { ReadLevel } from '#core/model/read-policy';
import { coverOf } from '#core/model/seen';
import { EMPTY_TOKEN, encodeToken, type SeenPositions, TOKEN_CHARACTERS_MAX } from '#core/model/session-token';
import { parseStreamKey } from '#core/model/stream';
import { compareHlc, type Hlc } from '#core/time/hlc';
import type { Clock } from '#ports/clock';
import type { OnlineReader } from '#ports/online-store';
import type { NamespaceServingState, ServingState } from '#region/apply/records';
import type { ReadRowsResult, RegionEngine } from '#region/engine-api';
import type { ReadDemand } from '#server/feast/read-demand';
import type { ReadPlan } from '#server/feast/read-plan';
import { type ReadOutcome, type ReadRequest, readRows, storageKeys } from '#server/feast/read-rows';
import type { HeaderList } from '#server/response-headers';
import { epochsText, positionsText, type ServingStateCache } from '#server/serving-state';

export interface ConsistentAnswer {
  readonly outcome: ReadOutcome;
  readonly headers: HeaderList;
}

/**
 * Reads that ask for more than the rows as they are. What this region's store can answer at the level is answered here;
 * everything else goes to the engine, which waits, asks another region, or says why not.
 */
export class ConsistentReads {
  readonly #engine: RegionEngine;
  readonly #reader: OnlineReader;
  readonly #state: ServingStateCache;
  readonly #clock: Clock;

  constructor(options: {
    readonly engine: RegionEngine;
    readonly reader: OnlineReader;
    readonly state: ServingStateCache;
    readonly clock: Clock;
  }) {
    this.#engine = options.engine;
    this.#reader = options.reader;
    this.#state = options.state;
    this.#clock = options.clock;
  }

  async answer(plan: ReadPlan, entities: ReadRequest['entities'], demand: ReadDemand): Promise<ConsistentAnswer> {
    return this.#here(plan, entities, demand) ?? this.#throughEngine(plan, entities, demand);
  }

  /** One synchronous run, thus one moment of the store. Undefined when the store does not show enough. */
  #here(plan: ReadPlan, entities: ReadRequest['entities'], demand: ReadDemand): ConsistentAnswer | undefined {
    let state: ServingState;
    try {
      state = this.#state.serving();
    } catch (caught) {
      if (demand.level === 'eventual' || toAntipodeError(caught).code !== 'REBUILDING') throw caught;
      return undefined;
    }
    if (!plan.namespaces.every((name) => this.#suffices(name, state.namespaces[name], demand))) return undefined;
    const readings = new ReadingsSeen(plan);
    const reader = readings.over(this.#reader);
    const outcome = readRows({ plan, entities, reader, nowUs: this.#clock.wallMs() * 1000 });
    const seen = new Map<string, SeenPositions>();
    for (const name of plan.namespaces) {
      const { sealedBefore: epoch, folded } = state.namespaces[name] as NamespaceServingState;
      const applied = [...this.#reader.checkpoints()].filter(([stream]) => parseStreamKey(stream)?.namespace === name);
      seen.set(name, coverOf({ epoch, folded: new Set(folded) }, applied, demand.token?.namespaces[name]));
    }
    return {
      outcome,
      headers: [
        ...this.#state.headers(plan.namespaces),
        ...consistencyHeaders(demand.level, false),
        ...sessionHeaders(demand, seen, readings.greatest),
      ],
    };
  }

  #suffices(name: string, state: NamespaceServingState | undefined, demand: ReadDemand): boolean {
    if (state === undefined || demand.level === 'strong') return false;
    if (demand.level === 'eventual') return true;
    const seen = demand.token?.namespaces[name];
    if (seen !== undefined) {
      if (seen.epoch > state.sealedBefore) return false;
      for (const [stream, position] of Object.entries(seen.streams))
        if (this.#reader.checkpoint(stream) < position) return false;
    }
    if (demand.level !== 'bounded') return true;
    return state.certainAnchorMs !== null && this.#clock.wallMs() - state.certainAnchorMs <= demand.maxStalenessMs;
  }

  async #throughEngine(
    plan: ReadPlan,
    entities: ReadRequest['entities'],
    demand: ReadDemand,
  ): Promise<ConsistentAnswer> {
    const keys = storageKeys(plan, entities);
    const results = await Promise.all(
      plan.namespaces.map(async (namespace) => {
        const wanted = plan.views.flatMap((view, place) =>
          view.codec.view.namespace === namespace ? (keys[place] ?? []) : [],
        );
        const result = await this.#engine.readRows({
          namespace,
          level: demand.level,
          keys: wanted,
          seen: demand.token?.namespaces[namespace],
          maxStalenessMs: demand.maxStalenessMs,
          fallback: demand.fallback,
          budgetMs: demand.budgetMs,
        });
        return { namespace, wanted, result };
      }),
    );
    const rows = new Map<string, Buffer>();
    for (const { wanted, result } of results)
      for (const [place, key] of wanted.entries()) {
        const row = result.rows[place];
        if (row !== null && row !== undefined) rows.set(key.toString('latin1'), row);
      }
    const readings = new ReadingsSeen(plan);
    const reader = readings.over({ row: (key) => rows.get(key.toString('latin1')) });
    const outcome = readRows({ plan, entities, reader, nowUs: this.#clock.wallMs() * 1000 });
    const seen = new Map(results.map(({ namespace, result }) => [namespace, result.seen] as const));
    const stale = results.some(({ result }) => result.stale);
    return {
      outcome,
      headers: [
        ...this.#state.placeHeaders(plan.namespaces),
        ...resultHeaders(results),
        ...consistencyHeaders(demand.level, stale),
        ...sessionHeaders(demand, seen, readings.greatest),
      ],
    };
  }
}

/** Notes the greatest clock reading of the rows that pass through a reader. */
class ReadingsSeen {
  greatest: Hlc = { wallMs: 0, counter: 0 };
  readonly #views: readonly { readonly prefix: Buffer; readonly view: ReadPlan['views'][number]['codec']['view'] }[];

  constructor(plan: ReadPlan) {
    this.#views = plan.views.map(({ codec }) => ({ prefix: codec.rowKey(Buffer.alloc(0)), view: codec.view }));
  }

  over(reader: Pick<OnlineReader, 'row'>): Pick<OnlineReader, 'row'> {
    return {
      row: (key) => {
        const stored = reader.row(key);
        if (stored !== undefined) this.#note(key, stored);
        return stored;
      },
    };
  }

  #note(key: Buffer, stored: Buffer): void {
    const found = this.#views.find(({ prefix }) => key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0);
    if (found === undefined) return;
    const reading = greatestReadingOf(found.view, stored);
    if (compareHlc(reading, this.greatest) > 0) this.greatest = reading;
  }
}

function consistencyHeaders(level: ReadLevel, stale: boolean): HeaderList {
  return stale ? ['antipode-consistency', 'eventual', 'antipode-stale', 'true'] : ['antipode-consistency', level];
}

/** What the region that was read says of its rows. What this one knows says nothing of them. */
function resultHeaders(
  results: readonly { readonly namespace: string; readonly result: ReadRowsResult }[],
): HeaderList {
  const headers = [
    'antipode-read-in',
    [...new Set(results.map(({ result }) => result.region))].join(', '),
    'antipode-epoch',
    epochsText(
      results.map(({ namespace, result }) => ({ name: namespace, epoch: result.epoch })),
      results.length,
    ),
  ];
  const freshness = results.map(({ result }) => result.freshnessMs);
  if (freshness.every((ms) => ms !== null)) headers.push('antipode-freshness-ms', String(Math.max(...freshness)));
  const positions = positionsText(results.map(({ result }) => result.seen.streams));
  if (positions !== undefined) headers.push('antipode-positions', positions);
  return headers;
}

/** Left out when it would be too long for a header: a part of a session would promise more than it holds. */
function sessionHeaders(demand: ReadDemand, seen: ReadonlyMap<string, SeenPositions>, reading: Hlc): HeaderList {
  if (!demand.session) return [];
  const before = demand.token ?? EMPTY_TOKEN;
  const text = encodeToken({
    hlc: compareHlc(before.hlc, reading) >= 0 ? before.hlc : reading,
    namespaces: { ...before.namespaces, ...Object.fromEntries(seen) },
  });
  return text.length > TOKEN_CHARACTERS_MAX ? [] : ['antipode-session', text];
}
