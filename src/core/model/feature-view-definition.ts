import { z } from 'zod';
import { canonicalJson, type JsonValue } from '#core/canonical-json';
import { validate } from '#core/config/issue';
import { columnNameFault, nameFault } from '#core/config/names';
import { AntipodeError } from '#core/errors';
import { sha256Hex } from '#core/hash';
import type { FeatureType, FeatureView, Resolver, ScalarType } from '#core/model/feature-view';
import { LATENCY_BUDGET_MS_MAX, MAX_STALENESS_MS_MAX, READ_FALLBACKS, READ_LEVELS } from '#core/model/read-policy';
import { resolverFaults } from '#core/model/resolver';

const SCALAR_NAMES = ['int32', 'int64', 'float32', 'float64', 'bool', 'string', 'bytes', 'timestamp'] as const;
export const KEY_TYPE_NAMES = ['int32', 'int64', 'bool', 'string', 'bytes', 'timestamp'] as const;
export const TYPE_NAMES = [...SCALAR_NAMES, ...SCALAR_NAMES.map((scalar) => `list<${scalar}>` as const)] as const;
export type TypeName = (typeof TYPE_NAMES)[number];

/** Versions name a definition in keys and frames: 32 hexadecimal digits. */
const VERSION_DIGITS = 32;
const VERSION = /^[0-9a-f]{32}$/;

// Bounds of one definition. They keep a definition frame far below the frame limit.
export const FEATURES_MAX = 1000;
export const JOIN_KEYS_MAX = 8;
export const SOURCES_MAX = 32;
export const REGIONS_MAX = 64;
export const SQL_CHARACTERS_MAX = 64 * 1024;
export const TEXT_CHARACTERS_MAX = 4096;
const DEFINITION_BYTES_MAX = 1024 * 1024;

/** Names are ASCII, so that code-unit order is byte order. */
export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

export function formatFeatureType(type: FeatureType): TypeName {
  return type.list ? `list<${type.scalar}>` : type.scalar;
}

export function parseFeatureType(name: TypeName): FeatureType {
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
    resolver: resolverForm(view.resolver),
    sources: view.sources.map((source) => ({ format: source.format, name: source.name, path: source.path })),
    sql: view.sql,
    ttlSeconds: view.ttlSeconds,
  };
}

function resolverForm(resolver: Resolver): { readonly [key: string]: JsonValue } {
  switch (resolver.kind) {
    case 'region-priority':
      return { kind: resolver.kind, regions: [...resolver.regions] };
    case 'max':
    case 'min':
      return { by: resolver.by, kind: resolver.kind };
    default:
      return { kind: resolver.kind };
  }
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
      about: {
        description: view.description,
        features: descriptions,
        owner: view.owner,
        tags: view.tags,
        ...(view.reads === undefined ? {} : { reads: { ...view.reads } }),
      },
      view: form,
      version: view.version,
    }),
    'utf8',
  );
}

const wireName = z.string().refine((name) => nameFault(name) === undefined);
const wireColumn = z.string().refine((name) => columnNameFault(name) === undefined);

const wireResolver = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('last-writer-wins') }),
  z.strictObject({ kind: z.literal('region-priority'), regions: z.array(z.string()).min(1).max(REGIONS_MAX) }),
  z.strictObject({ kind: z.enum(['max', 'min']), by: z.string().nullable() }),
  z.strictObject({ kind: z.literal('counter') }),
]);

const wireSchema = z.strictObject({
  about: z.strictObject({
    description: z.string().max(TEXT_CHARACTERS_MAX),
    features: z.record(z.string(), z.string().max(TEXT_CHARACTERS_MAX)),
    owner: z.string().max(TEXT_CHARACTERS_MAX),
    tags: z.record(z.string(), z.string().max(TEXT_CHARACTERS_MAX)),
    reads: z
      .strictObject({
        consistency: z.enum(READ_LEVELS),
        fallback: z.enum(READ_FALLBACKS),
        latencyBudgetMs: z.int().nonnegative().max(LATENCY_BUDGET_MS_MAX),
        maxStalenessMs: z.int().nonnegative().max(MAX_STALENESS_MS_MAX),
      })
      .optional(),
  }),
  view: z.strictObject({
    eventTimeAheadMsMax: z.int().nonnegative(),
    eventTimeColumn: z.string(),
    features: z
      .array(z.strictObject({ name: wireColumn, nullable: z.boolean(), type: z.enum(TYPE_NAMES) }))
      .max(FEATURES_MAX),
    granularity: z.enum(['row', 'feature']),
    joinKeys: z
      .array(z.strictObject({ name: wireColumn, type: z.enum(KEY_TYPE_NAMES) }))
      .min(1)
      .max(JOIN_KEYS_MAX),
    name: wireName,
    namespace: wireName,
    resolver: wireResolver,
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
    ...(about.reads === undefined ? {} : { reads: about.reads }),
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
  const [fault] = resolverFaults(decoded);
  if (fault !== undefined)
    throw new AntipodeError('DEFINITION_INVALID', `the definition of view ${view.name}: ${fault.message}`);
  return decoded;
}

function undecodable(reason: string, cause?: unknown): AntipodeError {
  return new AntipodeError('DEFINITION_UNDECODABLE', `a feature view definition cannot be decoded: ${reason}`, {
    cause,
  });
}
