import type { ViewCodec } from '#core/codec/view-codec';
import type { JoinKey, ScalarType, ScalarValue } from '#core/model/feature-view';
import { DEFAULT_READ_POLICY, type ReadPolicy, strictestPolicy } from '#core/model/read-policy';
import { featureNotFound, invalidRequest, nameCollision, viewNotFound } from '#server/feast/faults';
import { scalarWriter, type ValueWriter, valueWriter } from '#server/json/value-writer';
import type { CompiledView } from '#server/views/view-catalog';

/** One join key column that the plan's views need, in one type. */
export interface PlanKey {
  readonly joinKey: JoinKey;
  readonly codec: ViewCodec;
  /** Its name as JSON. */
  readonly nameText: string;
  readonly write: (value: ScalarValue) => string;
}

export interface PlanView {
  readonly name: string;
  readonly codec: ViewCodec;
  /** Rows older than this are OUTSIDE_MAX_AGE, microseconds; infinite when the view has no TTL. */
  readonly maxAgeUs: number;
  /** For each join key of the view, in the view's order, its place in `ReadPlan.keys`. */
  readonly keys: readonly number[];
  /** The requested features: place in a decoded row, and the writer of the type. */
  readonly columns: readonly { readonly featureIndex: number; readonly write: ValueWriter }[];
}

/** What a list of feature references comes down to; computed once and used for every request that names the same. */
export interface ReadPlan {
  readonly keys: readonly PlanKey[];
  readonly views: readonly PlanView[];
  /** Namespaces of the views, without repetition. */
  readonly namespaces: readonly string[];
  /** What the views ask for, unless a request says otherwise. */
  readonly policy: ReadPolicy;
  /** For each feature in request order: its view's place in `views` and its place in that view's columns. */
  readonly outputs: readonly { readonly view: number; readonly column: number }[];
  /** Names of the outputs as in the answer, JSON, separated by commas. */
  readonly outputNamesText: string;
  /** Every answer is ASCII, whatever the values: none of them is a string. */
  readonly ascii: boolean;
}

export interface FeatureReference {
  readonly view: string;
  readonly feature: string;
}

/**
 * `view:feature`, or `view@latest:feature` for the same. Versions by number are Feast's own count and do not exist here.
 * Names that no answer could carry back (empty, or not well-formed text) are refused with the rest.
 */
export function parseReference(reference: string): FeatureReference {
  const colon = reference.indexOf(':');
  const view = reference.slice(0, Math.max(colon, 0));
  const feature = reference.slice(colon + 1);
  const at = view.indexOf('@');
  const version = at < 0 ? 'latest' : view.slice(at + 1).toLowerCase();
  if (colon < 1 || at === 0 || feature === '' || !reference.isWellFormed()) {
    throw invalidRequest(
      `Invalid feature reference '${reference.slice(0, 200).toWellFormed()}'. Expected format: '<feature_view>:<feature>'`,
    );
  }
  if (version !== 'latest' && version !== '') {
    throw invalidRequest(
      `Invalid feature reference '${reference.slice(0, 200)}'. Versions cannot be chosen; leave '@${view.slice(at + 1, 100)}' out`,
    );
  }
  return { view: at < 0 ? view : view.slice(0, at), feature };
}

/** Resolves the references. Throws what Feast calls FeatureViewNotFoundException, FeatureNameCollisionError and so on. */
export function buildReadPlan(options: {
  readonly references: readonly FeatureReference[];
  readonly fullFeatureNames: boolean;
  readonly project: string;
  readonly find: (view: string) => CompiledView | undefined;
}): ReadPlan {
  const keys: PlanKey[] = [];
  const views: (Omit<PlanView, 'columns'> & { readonly columns: { featureIndex: number; write: ValueWriter }[] })[] =
    [];
  const places = new Map<string, number>();
  const namespaces = new Set<string>();
  const policies: ReadPolicy[] = [];
  const outputs: { view: number; column: number }[] = [];
  const outputNames: string[] = [];
  const types: ScalarType[] = [];
  for (const { view, feature } of options.references) {
    const compiled = options.find(view);
    if (compiled === undefined) throw viewNotFound(view, options.project);
    let place = places.get(view);
    if (place === undefined) {
      place = views.length;
      places.set(view, place);
      namespaces.add(compiled.view.namespace);
      policies.push(compiled.view.reads ?? DEFAULT_READ_POLICY);
      views.push({ ...planView(compiled, keys), columns: [] });
    }
    const featureIndex = compiled.featureIndex.get(feature);
    const type = featureIndex === undefined ? undefined : compiled.view.features[featureIndex]?.type;
    if (featureIndex === undefined || type === undefined) throw featureNotFound(view, feature);
    const columns = views[place]?.columns ?? [];
    outputs.push({ view: place, column: columns.length });
    columns.push({ featureIndex, write: valueWriter(type) });
    types.push(type.scalar);
    outputNames.push(options.fullFeatureNames ? `${view}__${feature}` : feature);
  }
  refuseCollisions(keys, outputNames, options.fullFeatureNames);
  const outputNamesText = outputNames.map((name) => JSON.stringify(name)).join(',');
  const texts = [outputNamesText, ...keys.map((key) => key.nameText)];
  const ascii =
    texts.every((text) => Buffer.byteLength(text) === text.length) &&
    types.every((type) => type !== 'string') &&
    keys.every((key) => key.joinKey.type !== 'string');
  return {
    keys,
    views,
    namespaces: [...namespaces],
    policy: strictestPolicy(policies),
    outputs,
    outputNamesText,
    ascii,
  };
}

/** Adds the view's join keys to those of the plan. Two views may give one name two types; each then reads its own. */
function planView(compiled: CompiledView, keys: PlanKey[]): Omit<PlanView, 'columns'> {
  const places = compiled.view.joinKeys.map((joinKey) => {
    const known = keys.findIndex((key) => key.joinKey.name === joinKey.name && key.joinKey.type === joinKey.type);
    if (known >= 0) return known;
    const nameText = JSON.stringify(joinKey.name);
    keys.push({ joinKey, codec: compiled.codec, nameText, write: scalarWriter(joinKey.type) });
    return keys.length - 1;
  });
  const { ttlSeconds, name } = compiled.view;
  return {
    name,
    codec: compiled.codec,
    maxAgeUs: ttlSeconds === null ? Number.POSITIVE_INFINITY : ttlSeconds * 1_000_000,
    keys: places,
  };
}

/** Clients find columns by name, so two columns of one name would hide each other. */
function refuseCollisions(keys: readonly PlanKey[], outputNames: readonly string[], fullFeatureNames: boolean): void {
  const seen = new Set(keys.map((key) => key.joinKey.name));
  const collisions = new Set<string>();
  for (const name of outputNames) {
    if (seen.has(name)) collisions.add(name);
    seen.add(name);
  }
  if (collisions.size > 0) throw nameCollision([...collisions].slice(0, 10), fullFeatureNames);
}
