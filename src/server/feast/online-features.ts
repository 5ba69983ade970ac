import { AntipodeError } from '#core/errors';
import { Lru } from '#core/lru';
import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';
import type { OnlineReader } from '#ports/online-store';
import type { RegionEngine } from '#region/engine-api';
import { CELLS_PER_REQUEST_MAX, type FaceLimits } from '#server/face-options';
import { ConsistentReads } from '#server/feast/consistent-reads';
import { featureServiceNotFound, invalidRequest } from '#server/feast/faults';
import { type OnlineFeaturesRequest, parseOnlineFeaturesRequest } from '#server/feast/online-features-request';
import { type AskedConsistency, demandOf } from '#server/feast/read-demand';
import { buildReadPlan, parseReference, type ReadPlan } from '#server/feast/read-plan';
import { entityRows, readRows } from '#server/feast/read-rows';
import type { FreshnessHeaders, ServingStateCache } from '#server/serving-state';
import type { ViewCatalog } from '#server/views/view-catalog';

/** Plans kept. A model asks for the same features all the time; there are far fewer models than this. */
const PLANS_MAX = 256;
/** Longer lists of references are planned anew each time, so that the cache stays small. */
const PLAN_KEY_CHARACTERS_MAX = 32 * 1024;

export interface OnlineFeaturesAnswer {
  readonly body: Buffer;
  readonly headers: FreshnessHeaders;
  readonly rows: number;
  readonly corrupt: number;
}

/** `POST /get-online-features`: from a parsed body to the bytes of the answer. */
export class OnlineFeatures {
  readonly #project: string;
  readonly #catalog: ViewCatalog;
  readonly #reader: OnlineReader;
  readonly #state: ServingStateCache;
  readonly #limits: FaceLimits;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #consistent: ConsistentReads;
  readonly #plans = new Lru<ReadPlan>(PLANS_MAX);
  #plansGeneration = -1;

  constructor(options: {
    readonly project: string;
    readonly catalog: ViewCatalog;
    readonly reader: OnlineReader;
    readonly state: ServingStateCache;
    readonly limits: FaceLimits;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly engine: RegionEngine;
  }) {
    this.#project = options.project;
    this.#catalog = options.catalog;
    this.#reader = options.reader;
    this.#state = options.state;
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#consistent = new ConsistentReads(options);
  }

  /** Without a word of consistency, in the request or of its views, the rows are read as they are. */
  async answer(body: unknown, asked: AskedConsistency = {}): Promise<OnlineFeaturesAnswer> {
    const request = parseOnlineFeaturesRequest(body);
    const plan = await this.#plan(request);
    this.#limit(plan, request);
    const demand = demandOf(plan.policy, asked);
    if (demand.level === 'eventual' && !demand.session) return this.#asTheyAre(plan, request);
    const { outcome, headers } = await this.#consistent.answer(plan, request.entities, demand);
    this.#tellCorrupt(plan, outcome.corrupt);
    return { body: Buffer.from(outcome.text, 'utf8'), headers, rows: outcome.rows, corrupt: outcome.corrupt };
  }

  #asTheyAre(plan: ReadPlan, request: OnlineFeaturesRequest): OnlineFeaturesAnswer {
    this.#state.serving();
    const outcome = readRows({
      plan,
      entities: request.entities,
      reader: this.#reader,
      nowUs: this.#clock.wallMs() * 1000,
    });
    this.#tellCorrupt(plan, outcome.corrupt);
    return {
      body: Buffer.from(outcome.text, 'utf8'),
      headers: this.#state.headers(plan.namespaces),
      rows: outcome.rows,
      corrupt: outcome.corrupt,
    };
  }

  #tellCorrupt(plan: ReadPlan, rows: number): void {
    if (rows === 0) return;
    this.#logger.error('rows-not-decodable', { views: plan.views.map((view) => view.name), rows });
  }

  #limit(plan: ReadPlan, request: OnlineFeaturesRequest): void {
    const rows = entityRows(plan, request.entities);
    const { entitiesPerRequest } = this.#limits;
    if (rows > entitiesPerRequest) {
      throw new AntipodeError('REQUEST_TOO_LARGE', `${rows} entity rows in one request, at most ${entitiesPerRequest}`);
    }
    const cells = rows * plan.outputs.length;
    if (cells > CELLS_PER_REQUEST_MAX) {
      throw new AntipodeError('REQUEST_TOO_LARGE', `${cells} values in one answer, at most ${CELLS_PER_REQUEST_MAX}`);
    }
  }

  async #plan(request: OnlineFeaturesRequest): Promise<ReadPlan> {
    if (request.featureService !== null) throw featureServiceNotFound(request.featureService, this.#project);
    const { features, fullFeatureNames } = request;
    if (features.length === 0) throw invalidRequest('No features specified for retrieval');
    if (features.length > this.#limits.featuresPerRequest) {
      throw new AntipodeError(
        'REQUEST_TOO_LARGE',
        `${features.length} features in one request, at most ${this.#limits.featuresPerRequest}`,
      );
    }
    // No reference that resolves holds a line feed, so with the count in front no other list has the same key.
    const key = `${fullFeatureNames ? 'full' : 'short'} ${features.length}\n${features.join('\n')}`;
    if (this.#plansGeneration !== this.#catalog.generation) this.#plans.clear();
    this.#plansGeneration = this.#catalog.generation;
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    const references = features.map(parseReference);
    await this.#catalog.settle(references.map((reference) => reference.view));
    const generation = this.#catalog.generation;
    const plan = buildReadPlan({
      references,
      fullFeatureNames,
      project: this.#project,
      find: (view) => this.#catalog.current(view),
    });
    if (key.length <= PLAN_KEY_CHARACTERS_MAX && generation === this.#plansGeneration) this.#plans.set(key, plan);
    return plan;
  }
}
