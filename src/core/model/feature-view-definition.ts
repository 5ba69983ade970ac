import { z } from 'zod';
import { canonicalJson, type JsonValue } from '#core/canonical-json';
import { type ConfigIssue, didYouMean, quote, type Validated, validate } from '#core/config/issue';
import { columnNameFault, columnNameSchema, nameFault, nameSchema } from '#core/config/names';
import { durationSchema } from '#core/config/units';
import { AntipodeError } from '#core/errors';
import { sha256Hex } from '#core/hash';
import type { Feature, FeatureType, FeatureView, FileSource, JoinKey, ScalarType } from '#core/model/feature-view';

const SCALAR_NAMES = ['int32', 'int64', 'float32', 'float64', 'bool', 'string', 'bytes', 'timestamp'] as const;
const KEY_TYPE_NAMES = ['int32', 'int64', 'bool', 'string', 'bytes', 'timestamp'] as const;
const TYPE_NAMES = [...SCALAR_NAMES, ...SCALAR_NAMES.map((scalar) => `list<${scalar}>` as const)] as const;
type TypeName = (typeof TYPE_NAMES)[number];

/** Versions name a definition in keys and frames: 32 hexadecimal digits. */
const VERSION_DIGITS = 32;
const VERSION = /^[0-9a-f]{32}$/;

// Bounds of one definition. They keep a definition frame far below the frame limit.
const FEATURES_MAX = 1000;
const JOIN_KEYS_MAX = 8;
const SOURCES_MAX = 32;
const SQL_CHARACTERS_MAX = 64 * 1024;
const TEXT_CHARACTERS_MAX = 4096;
const TAGS_MAX = 64;
const DEFINITION_BYTES_MAX = 1024 * 1024;

const EVENT_TIME_COLUMN = 'event_timestamp';
const EVENT_TIME_AHEAD_MS = 300_000;
const DAY_MS = 86_400_000;

const text = (what: string) =>
  z.string().max(TEXT_CHARACTERS_MAX, `${what} is longer than ${TEXT_CHARACTERS_MAX} characters`);

const joinKeySchema = z
  .strictObject({
    name: columnNameSchema.describe('Name of the column; the key under which clients send it.'),
    type: z.enum(KEY_TYPE_NAMES).describe('Type of the value. Floats cannot identify an entity.'),
    description: text('the description').optional(),
  })
  .meta({ description: 'One column of the entity key.' });

const entitySchema = z
  .strictObject({
    name: nameSchema,
    joinKeys: z
      .array(joinKeySchema)
      .min(1, 'an entity needs at least one join key')
      .max(JOIN_KEYS_MAX, `at most ${JOIN_KEYS_MAX} join keys are allowed`),
    description: text('the description').optional(),
  })
  .meta({ description: 'What features are about: a thing identified by its join keys.' });

const featureSchema = z
  .strictObject({
    name: columnNameSchema,
    type: z.enum(TYPE_NAMES).describe('A scalar type, or list<scalar>; list elements are never null.'),
    nullable: z.boolean().default(true),
    description: text('the description').optional(),
  })
  .meta({ description: 'One feature: a typed column of the view.' });

const sourceSchema = z
  .strictObject({
    name: nameSchema.describe('The SQL reads the files under this name.'),
    path: z
      .string()
      .min(1, 'the path is empty')
      .max(1024, 'the path is longer than 1024 characters')
      .describe('A file or a glob pattern, relative to the project folder.'),
    format: z
      .enum(['parquet', 'csv', 'json'])
      .optional()
      .describe('Taken from the extension of the path when left out.'),
  })
  .meta({ description: 'Files that DuckDB scans.' });

const viewSchema = z
  .strictObject({
    name: nameSchema,
    namespace: nameSchema.describe('A namespace of antipode.yaml: it decides how the view is replicated.'),
    entities: z
      .array(z.string())
      .min(1, 'a feature view needs at least one entity')
      .describe('Names of entities; their join keys together are the entity key.'),
    features: z
      .array(featureSchema)
      .min(1, 'a feature view needs at least one feature')
      .max(FEATURES_MAX, `at most ${FEATURES_MAX} features are allowed`),
    ttl: durationSchema({ minMs: 1000, maxMs: 36_500 * DAY_MS })
      .optional()
      .describe(
        'Older rows are served as OUTSIDE_MAX_AGE, such as 7d or 90m, or a number of seconds. Left out: never.',
      ),
    owner: text('the owner').default(''),
    description: text('the description').default(''),
    tags: z
      .record(z.string().max(128, 'the tag is longer than 128 characters'), text('the tag'))
      .refine((tags) => Object.keys(tags).length <= TAGS_MAX, `at most ${TAGS_MAX} tags are allowed`)
      .default({}),
    sources: z.array(sourceSchema).max(SOURCES_MAX, `at most ${SOURCES_MAX} sources are allowed`).default([]),
    sql: z
      .string()
      .max(SQL_CHARACTERS_MAX, `the SQL is longer than ${SQL_CHARACTERS_MAX} characters`)
      .optional()
      .describe(
        'DuckDB SQL that yields one column per join key and feature, and the event-time column; other columns are ignored. $today is the day of the run (UTC).',
      ),
    eventTimeColumn: z
      .string()
      .min(1, 'the name is empty')
      .max(128, 'the name is longer than 128 characters')
      .default(EVENT_TIME_COLUMN),
    eventTimeAhead: durationSchema({ minMs: 0, maxMs: 365 * DAY_MS })
      .default(EVENT_TIME_AHEAD_MS)
      .describe('Rows whose event time lies further ahead of now are quarantined. Default 5m.'),
  })
  .meta({ description: 'A named set of typed features over an entity key.' });

/** A features/*.yaml document. */
export const featuresDocumentSchema = z.strictObject({
  entities: z.array(entitySchema).default([]),
  featureViews: z.array(viewSchema).default([]),
});

export type FeaturesDocument = z.output<typeof featuresDocumentSchema>;
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
 * that use it. Returns every fault found, and the views that have none. `namespaces`: those of the topology; unchecked
 * when left out.
 */
export function buildFeatureViews(
  documents: readonly FeaturesDocument[],
  namespaces?: readonly string[],
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
      if (namespaces !== undefined && !namespaces.includes(view.namespace)) {
        faults.push({
          path: ['namespace'],
          message: `antipode.yaml has no namespace ${quote(view.namespace)}${didYouMean(view.namespace, namespaces)}`,
          remedy: `Namespaces: ${namespaces.join(', ')}.`,
        });
      }
      const built = buildView(view, entities, faults);
      if (built !== undefined) views.push(built);
      for (const fault of faults) issues.push({ document, ...fault, path: ['featureViews', index, ...fault.path] });
    });
  });
  return { views, issues };
}

function buildView(
  view: ViewDocument,
  entities: ReadonlyMap<string, EntityDocument>,
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
  if (faults.length > 0) return undefined;
  return withVersion({
    name: view.name,
    namespace: view.namespace,
    joinKeys: joinKeys.sort(byName),
    features: view.features.map(buildFeature).sort(byName),
    ttlSeconds,
    resolver: 'last-writer-wins',
    granularity: 'row',
    eventTimeAheadMsMax: view.eventTimeAhead,
    sources,
    sql,
    eventTimeColumn: view.eventTimeColumn,
    owner: view.owner,
    description: view.description,
    tags: view.tags,
  });
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

/** Names are ASCII, so that code-unit order is byte order. */
function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

export function formatFeatureType(type: FeatureType): TypeName {
  return type.list ? `list<${type.scalar}>` : type.scalar;
}

function parseFeatureType(name: TypeName): FeatureType {
  const list = name.startsWith('list<');
  return { scalar: (list ? name.slice(5, -1) : name) as ScalarType, list };
}

/** Everything that gives a row its meaning, and nothing else: a new owner or description makes no new version. */
function canonicalForm(view: Omit<FeatureView, 'version'>): { readonly [key: string]: JsonValue } {
  return {
    eventTimeAheadMsMax: view.eventTimeAheadMsMax,
    eventTimeColumn: view.eventTimeColumn,
    features: view.features.map((feature) => ({
      name: feature.name,
      nullable: feature.nullable,
      type: formatFeatureType(feature.type),
    })),
    granularity: view.granularity,
    joinKeys: view.joinKeys.map((key) => ({ name: key.name, type: key.type })),
    name: view.name,
    namespace: view.namespace,
    resolver: view.resolver,
    sources: view.sources.map((source) => ({ format: source.format, name: source.name, path: source.path })),
    sql: view.sql,
    ttlSeconds: view.ttlSeconds,
  };
}

/** The version: the first 32 digits of the SHA-256 of the canonical form. */
export function featureViewVersion(view: Omit<FeatureView, 'version'>): string {
  return sha256Hex(canonicalJson(canonicalForm(view))).slice(0, VERSION_DIGITS);
}

export function withVersion(view: Omit<FeatureView, 'version'>): FeatureView {
  return { ...view, version: featureViewVersion(view) };
}

/** Bytes of a definition frame: canonical JSON of the whole view. The same view gives the same bytes. */
export function encodeDefinition(view: FeatureView): Buffer {
  const descriptions: Record<string, string> = {};
  for (const feature of view.features)
    if (feature.description !== undefined) descriptions[feature.name] = feature.description;
  const form = canonicalForm(view);
  return Buffer.from(
    canonicalJson({
      about: { description: view.description, features: descriptions, owner: view.owner, tags: view.tags },
      view: form,
      version: view.version,
    }),
    'utf8',
  );
}

const wireName = z.string().refine((name) => nameFault(name) === undefined);
const wireColumn = z.string().refine((name) => columnNameFault(name) === undefined);

const wireSchema = z.strictObject({
  about: z.strictObject({
    description: z.string().max(TEXT_CHARACTERS_MAX),
    features: z.record(z.string(), z.string().max(TEXT_CHARACTERS_MAX)),
    owner: z.string().max(TEXT_CHARACTERS_MAX),
    tags: z.record(z.string(), z.string().max(TEXT_CHARACTERS_MAX)),
  }),
  view: z.strictObject({
    eventTimeAheadMsMax: z.int().nonnegative(),
    eventTimeColumn: z.string(),
    features: z
      .array(z.strictObject({ name: wireColumn, nullable: z.boolean(), type: z.enum(TYPE_NAMES) }))
      .max(FEATURES_MAX),
    granularity: z.literal('row'),
    joinKeys: z
      .array(z.strictObject({ name: wireColumn, type: z.enum(KEY_TYPE_NAMES) }))
      .min(1)
      .max(JOIN_KEYS_MAX),
    name: wireName,
    namespace: wireName,
    resolver: z.literal('last-writer-wins'),
    sources: z
      .array(z.strictObject({ format: z.enum(['parquet', 'csv', 'json']), name: wireName, path: z.string() }))
      .max(SOURCES_MAX),
    sql: z.string().max(SQL_CHARACTERS_MAX).nullable(),
    ttlSeconds: z.int().positive().nullable(),
  }),
  version: z.string().regex(VERSION),
});

/**
 * The view of a definition frame. DEFINITION_UNDECODABLE when this release does not understand it (a type, resolver or
 * key of a later one), DEFINITION_INVALID when it is not what its version promises.
 */
export function decodeDefinition(bytes: Uint8Array): FeatureView {
  if (bytes.length > DEFINITION_BYTES_MAX)
    throw undecodable(`${bytes.length} bytes; at most ${DEFINITION_BYTES_MAX} are allowed`);
  let raw: unknown;
  try {
    raw = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw undecodable('it is not JSON', cause);
  }
  const parsed = validate(wireSchema, raw);
  if (!parsed.ok) {
    const [issue] = parsed.issues;
    throw undecodable(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
  }
  const { about, view, version } = parsed.value;
  const decoded = withVersion({
    ...view,
    features: view.features.map((feature) => {
      const base = { name: feature.name, nullable: feature.nullable, type: parseFeatureType(feature.type) };
      const description = Object.hasOwn(about.features, feature.name) ? about.features[feature.name] : undefined;
      return description === undefined ? base : { ...base, description };
    }),
    owner: about.owner,
    description: about.description,
    tags: about.tags,
  });
  if (decoded.version !== version) {
    throw new AntipodeError(
      'DEFINITION_INVALID',
      `the definition of view ${view.name} has version ${decoded.version} and claims ${version}`,
    );
  }
  for (const list of [view.joinKeys, view.features, view.sources]) {
    // Order is meaning: it is the order of the parts of keys and rows.
    const ordered = list.every((item, i) => i === 0 || byName(list[i - 1] as { readonly name: string }, item) < 0);
    if (!ordered)
      throw new AntipodeError(
        'DEFINITION_INVALID',
        `the definition of view ${view.name} lists names twice or out of order`,
      );
  }
  if (view.joinKeys.some((key) => view.features.some((feature) => feature.name === key.name))) {
    throw new AntipodeError(
      'DEFINITION_INVALID',
      `the definition of view ${view.name} has a feature named as a join key`,
    );
  }
  return decoded;
}

function undecodable(reason: string, cause?: unknown): AntipodeError {
  return new AntipodeError('DEFINITION_UNDECODABLE', `a feature view definition cannot be decoded: ${reason}`, {
    cause,
  });
}
