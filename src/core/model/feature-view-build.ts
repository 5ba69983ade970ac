import { type ConfigIssue, didYouMean, quote, type Validated, validate } from '#core/config/issue';
import type { Feature, FeatureView, FileSource, JoinKey, Resolver } from '#core/model/feature-view';
import { byName, JOIN_KEYS_MAX, parseFeatureType, withVersion } from '#core/model/feature-view-definition';
import { type FeaturesDocument, featuresDocumentSchema } from '#core/model/feature-view-document';
import type { ReadPolicy } from '#core/model/read-policy';
import { resolverFaults } from '#core/model/resolver';

type EntityDocument = FeaturesDocument['entities'][number];
type ViewDocument = FeaturesDocument['featureViews'][number];

export interface DefinitionIssue extends ConfigIssue {
  /** Index of the document in the list that was given. */
  readonly document: number;
}

export function parseFeaturesDocument(raw: unknown): Validated<FeaturesDocument> {
  return validate(featuresDocumentSchema, raw);
}

/**
 * Builds the feature views of a project from all its documents: an entity may stand in another document than the views
 * that use it. Returns every fault found, and the views that have none. Namespaces and regions of the topology are
 * unchecked when it is left out.
 */
export function buildFeatureViews(
  documents: readonly FeaturesDocument[],
  topology?: { readonly namespaces: readonly string[]; readonly regions: readonly string[] },
): {
  readonly views: readonly FeatureView[];
  readonly issues: readonly DefinitionIssue[];
} {
  const issues: DefinitionIssue[] = [];
  const entities = new Map<string, EntityDocument>();
  documents.forEach((content, document) => {
    content.entities.forEach((entity, index) => {
      const path = ['entities', index];
      if (entities.has(entity.name))
        issues.push({ document, path: [...path, 'name'], message: `the entity "${entity.name}" is defined twice` });
      else entities.set(entity.name, entity);
      for (const fault of duplicates(entity.joinKeys, 'join key'))
        issues.push({ document, ...fault, path: [...path, 'joinKeys', ...fault.path] });
    });
  });
  const views: FeatureView[] = [];
  const names = new Set<string>();
  documents.forEach((content, document) => {
    content.featureViews.forEach((view, index) => {
      const faults: ConfigIssue[] = names.has(view.name)
        ? [{ path: ['name'], message: `the feature view "${view.name}" is defined twice` }]
        : [];
      names.add(view.name);
      const namespaces = topology?.namespaces;
      if (namespaces !== undefined && !namespaces.includes(view.namespace)) {
        faults.push({
          path: ['namespace'],
          message: `antipode.yaml has no namespace ${quote(view.namespace)}${didYouMean(view.namespace, namespaces)}`,
          remedy: `Namespaces: ${namespaces.join(', ')}.`,
        });
      }
      const built = buildView(view, entities, topology?.regions, faults);
      if (built !== undefined) views.push(built);
      for (const fault of faults) issues.push({ document, ...fault, path: ['featureViews', index, ...fault.path] });
    });
  });
  return { views, issues };
}

function buildView(
  view: ViewDocument,
  entities: ReadonlyMap<string, EntityDocument>,
  regions: readonly string[] | undefined,
  faults: ConfigIssue[],
): FeatureView | undefined {
  const joinKeys: JoinKey[] = [];
  view.entities.forEach((name, index) => {
    const entity = entities.get(name);
    const path = ['entities', index];
    if (entity === undefined) {
      const known = [...entities.keys()];
      faults.push({
        path,
        message: `no entity is named ${quote(name)}${didYouMean(name, known)}`,
        remedy:
          known.length === 0 ? 'Define it under entities.' : `Entities defined: ${known.slice(0, 20).join(', ')}.`,
      });
      return;
    }
    for (const key of entity.joinKeys) {
      if (joinKeys.some((other) => other.name === key.name))
        faults.push({ path, message: `the join key "${key.name}" comes from two entities` });
      else joinKeys.push({ name: key.name, type: key.type });
    }
  });
  if (joinKeys.length > JOIN_KEYS_MAX)
    faults.push({
      path: ['entities'],
      message: `the entity key has ${joinKeys.length} columns; at most ${JOIN_KEYS_MAX} are allowed`,
    });
  for (const fault of duplicates(view.features, 'feature'))
    faults.push({ ...fault, path: ['features', ...fault.path] });
  view.features.forEach((feature, index) => {
    const path = ['features', index, 'name'];
    if (joinKeys.some((key) => key.name === feature.name))
      faults.push({ path, message: `"${feature.name}" is a join key already` });
    if (feature.name === view.eventTimeColumn)
      faults.push({ path, message: `"${feature.name}" is the event-time column already` });
  });
  if (joinKeys.some((key) => key.name === view.eventTimeColumn)) {
    faults.push({ path: ['eventTimeColumn'], message: `"${view.eventTimeColumn}" is a join key already` });
  }
  for (const fault of duplicates(view.sources, 'source')) faults.push({ ...fault, path: ['sources', ...fault.path] });
  const sources = view.sources.map((source, index) => buildSource(source, index, faults)).sort(byName);
  const sql = sqlOf(view, faults);
  const ttlSeconds = view.ttl === undefined ? null : view.ttl / 1000;
  if (ttlSeconds !== null && !Number.isInteger(ttlSeconds))
    faults.push({ path: ['ttl'], message: 'the ttl is not a whole number of seconds' });
  const features = view.features.map(buildFeature).sort(byName);
  const resolver = buildResolver(view.resolver);
  faults.push(...resolverFaults({ resolver, granularity: view.granularity, features }, regions));
  if (faults.length > 0) return undefined;
  return withVersion({
    name: view.name,
    namespace: view.namespace,
    joinKeys: joinKeys.sort(byName),
    features,
    ttlSeconds,
    resolver,
    granularity: view.granularity,
    eventTimeAheadMsMax: view.eventTimeAhead,
    sources,
    sql,
    eventTimeColumn: view.eventTimeColumn,
    owner: view.owner,
    description: view.description,
    tags: view.tags,
    ...(view.reads === undefined ? {} : { reads: readPolicyOf(view.reads) }),
  });
}

function buildResolver(document: ViewDocument['resolver']): Resolver {
  if (document === 'max' || document === 'min') return { kind: document, by: null };
  if (typeof document === 'string') return { kind: document };
  if ('region-priority' in document) return { kind: 'region-priority', regions: document['region-priority'] };
  return 'max' in document ? { kind: 'max', by: document.max } : { kind: 'min', by: document.min };
}

function readPolicyOf(reads: NonNullable<ViewDocument['reads']>): ReadPolicy {
  const { consistency, fallback, maxStaleness, latencyBudget } = reads;
  return { consistency, fallback, maxStalenessMs: maxStaleness, latencyBudgetMs: latencyBudget };
}

function buildFeature(feature: ViewDocument['features'][number]): Feature {
  const base = { name: feature.name, type: parseFeatureType(feature.type), nullable: feature.nullable };
  return feature.description === undefined ? base : { ...base, description: feature.description };
}

const EXTENSIONS: readonly [RegExp, FileSource['format']][] = [
  [/\.parquet$/i, 'parquet'],
  [/\.csv(\.gz|\.zst)?$/i, 'csv'],
  [/\.(json|jsonl|ndjson)(\.gz|\.zst)?$/i, 'json'],
];

function buildSource(source: ViewDocument['sources'][number], index: number, faults: ConfigIssue[]): FileSource {
  const format = source.format ?? EXTENSIONS.find(([pattern]) => pattern.test(source.path))?.[1];
  if (format === undefined) {
    faults.push({
      path: ['sources', index, 'path'],
      message: 'the format does not follow from the extension',
      remedy: 'Add format: parquet, csv or json.',
    });
  }
  return { name: source.name, format: format ?? 'parquet', path: source.path };
}

/** One source and no SQL means all of its columns by their names; no source and no SQL means that the view is pushed. */
function sqlOf(view: ViewDocument, faults: ConfigIssue[]): string | null {
  if (view.sql !== undefined) {
    if (view.sql.trim() === '') faults.push({ path: ['sql'], message: 'the SQL is empty' });
    return view.sql;
  }
  const [source] = view.sources;
  if (source === undefined) return null;
  if (view.sources.length > 1)
    faults.push({ path: [], message: 'several sources need SQL that says how to combine them', remedy: 'Add sql.' });
  return `SELECT * FROM ${source.name}`;
}

function duplicates(items: readonly { readonly name: string }[], what: string): ConfigIssue[] {
  const seen = new Set<string>();
  const faults: ConfigIssue[] = [];
  items.forEach((item, index) => {
    if (seen.has(item.name))
      faults.push({ path: [index, 'name'], message: `the ${what} "${item.name}" is listed twice` });
    seen.add(item.name);
  });
  return faults;
}
