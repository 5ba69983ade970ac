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
import { type AskedConsistency, demandOf, NOTHING_ASKED, type ReadDemand } from '#server/feast/read-demand';
import { buildReadPlan, parseReference, type ReadPlan } from '#server/feast/read-plan';
import { entityRows, type ReadOutcome, readRows } from '#server/feast/read-rows';
import type { HeaderList } from '#server/response-headers';
import type { ServingStateCache } from '#server/serving-state';
import type { ViewCatalog } from '#server/views/view-catalog';

/** Plans kept. A model asks for the same features all the time; there are far fewer models than this. */
const PLANS_MAX = 256;
/** Longer lists of references are planned anew each time, so that the cache stays small. */
const PLAN_KEY_CHARACTERS_MAX = 32 * 1024;

export interface OnlineFeaturesAnswer {
  /** JSON. */
  readonly body: string;
  /** The body is known to be ASCII; when not, it may be all the same. */
  readonly ascii: boolean;
  readonly headers: HeaderList;
  readonly rows: number;
  readonly corrupt: number;
}

/** `POST /get-online-features`: from a parsed body to the text of the answer. */
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
  /** The plan of the last read, which the next one often asks for too. */
  #last: { readonly features: readonly string[]; readonly full: boolean; readonly plan: ReadPlan } | undefined;
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

  /**
   * Without a word of consistency, in the request or of its views, the rows are read as they are: then the answer is there
   * at once, unless a view must first be looked up. Throws what is wrong with the request, or rejects with it.
   */
  answer(body: unknown, asked: AskedConsistency = NOTHING_ASKED): OnlineFeaturesAnswer | Promise<OnlineFeaturesAnswer> {
    const request = parseOnlineFeaturesRequest(body);
    const plan = this.#knownPlan(request);
    if (plan !== undefined) return this.#follow(plan, request, asked);
    return this.#newPlan(request).then((fresh) => this.#follow(fresh, request, asked));
  }

  #follow(
    plan: ReadPlan,
    request: OnlineFeaturesRequest,
    asked: AskedConsistency,
  ): OnlineFeaturesAnswer | Promise<OnlineFeaturesAnswer> {
    const rows = entityRows(plan, request.entities);
    this.#limit(plan, rows);
    const demand = demandOf(plan.policy, asked);
    if (demand.level !== 'eventual' || demand.session) return this.#asDemanded(plan, request, demand);
    this.#state.serving();
    const outcome = readRows({
      plan,
      entities: request.entities,
      reader: this.#reader,
      nowUs: this.#clock.wallMs() * 1000,
    });
    return this.#answered(plan, outcome, this.#state.headers(plan.namespaces));
  }

  async #asDemanded(plan: ReadPlan, request: OnlineFeaturesRequest, demand: ReadDemand): Promise<OnlineFeaturesAnswer> {
    const { outcome, headers } = await this.#consistent.answer(plan, request.entities, demand);
    return this.#answered(plan, outcome, headers);
  }

  #answered(plan: ReadPlan, outcome: ReadOutcome, headers: HeaderList): OnlineFeaturesAnswer {
    const { text, rows, corrupt } = outcome;
    if (corrupt > 0) {
      this.#logger.error('rows-not-decodable', { views: plan.views.map((view) => view.name), rows: corrupt });
    }
    return { body: text, ascii: plan.ascii, headers, rows, corrupt };
  }

  #limit(plan: ReadPlan, rows: number): void {
    const { entitiesPerRequest } = this.#limits;
    if (rows > entitiesPerRequest) {
      throw new AntipodeError('REQUEST_TOO_LARGE', `${rows} entity rows in one request, at most ${entitiesPerRequest}`);
    }
    const cells = rows * plan.outputs.length;
    if (cells > CELLS_PER_REQUEST_MAX) {
      throw new AntipodeError('REQUEST_TOO_LARGE', `${cells} values in one answer, at most ${CELLS_PER_REQUEST_MAX}`);
    }
  }

  /** The plan of an earlier request for the same, made of the catalog as it is now. */
  #knownPlan(request: OnlineFeaturesRequest): ReadPlan | undefined {
    if (request.featureService !== null) throw featureServiceNotFound(request.featureService, this.#project);
    const { features, fullFeatureNames: full } = request;
    if (features.length === 0) throw invalidRequest('No features specified for retrieval');
    if (features.length > this.#limits.featuresPerRequest) {
      throw new AntipodeError(
        'REQUEST_TOO_LARGE',
        `${features.length} features in one request, at most ${this.#limits.featuresPerRequest}`,
      );
    }
    if (this.#plansGeneration !== this.#catalog.generation) {
      this.#plans.clear();
      this.#last = undefined;
      this.#plansGeneration = this.#catalog.generation;
    }
    const last = this.#last;
    if (last !== undefined && last.full === full && sameTexts(last.features, features)) return last.plan;
    const plan = this.#plans.get(planKey(request));
    if (plan !== undefined) this.#last = { features, full, plan };
    return plan;
  }

  async #newPlan(request: OnlineFeaturesRequest): Promise<ReadPlan> {
    const references = request.features.map(parseReference);
    await this.#catalog.settle(references.map((reference) => reference.view));
    const generation = this.#catalog.generation;
    const plan = buildReadPlan({
      references,
      fullFeatureNames: request.fullFeatureNames,
      project: this.#project,
      find: (view) => this.#catalog.current(view),
    });
    const key = planKey(request);
    if (key.length <= PLAN_KEY_CHARACTERS_MAX && generation === this.#plansGeneration) this.#plans.set(key, plan);
    return plan;
  }
}

/** No reference that resolves holds a line feed, so with the count in front no other list has the same key. */
function planKey({ features, fullFeatureNames }: OnlineFeaturesRequest): string {
  return `${fullFeatureNames ? 'full' : 'short'} ${features.length}\n${features.join('\n')}`;
}

function sameTexts(one: readonly string[], other: readonly string[]): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}
