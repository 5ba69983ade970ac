import { z } from 'zod';
import { columnNameSchema, nameSchema, regionNameSchema } from '#core/config/names';
import { durationSchema } from '#core/config/units';
import {
  FEATURES_MAX,
  JOIN_KEYS_MAX,
  KEY_TYPE_NAMES,
  REGIONS_MAX,
  SOURCES_MAX,
  SQL_CHARACTERS_MAX,
  TEXT_CHARACTERS_MAX,
  TYPE_NAMES,
} from '#core/model/feature-view-definition';
import {
  DEFAULT_READ_POLICY,
  LATENCY_BUDGET_MS_MAX,
  MAX_STALENESS_MS_MAX,
  READ_FALLBACKS,
  READ_LEVELS,
} from '#core/model/read-policy';

const TAGS_MAX = 64;
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

const RESOLVERS =
  'a resolver is last-writer-wins, max, min, counter, { max: <feature> }, { min: <feature> } or { region-priority: [<region>, …] }';

const resolverSchema = z
  .union(
    [
      z.enum(['last-writer-wins', 'max', 'min', 'counter']),
      z.strictObject({ max: columnNameSchema.describe('The row with the greatest value of this feature stays.') }),
      z.strictObject({ min: columnNameSchema.describe('The row with the least value of this feature stays.') }),
      z.strictObject({
        'region-priority': z
          .array(regionNameSchema)
          .min(1, 'the list of regions is empty')
          .max(REGIONS_MAX, `at most ${REGIONS_MAX} regions are allowed`)
          .describe('Regions from the first choice down; a region that is not listed comes last.'),
      }),
    ],
    RESOLVERS,
  )
  .default('last-writer-wins')
  .describe(
    'How two writes of one key become one, the same in every region: the later event time, the first of the regions, the greatest or least value, or the sum of the producers’ running totals.',
  );

const readsSchema = z
  .strictObject({
    consistency: z
      .enum(READ_LEVELS)
      .default(DEFAULT_READ_POLICY.consistency)
      .describe('What reads ask for unless a request says otherwise. Default eventual.'),
    maxStaleness: durationSchema({ minMs: 0, maxMs: MAX_STALENESS_MS_MAX })
      .default(DEFAULT_READ_POLICY.maxStalenessMs)
      .describe('Bound of bounded reads. It includes half a second for clocks that stand apart. Default 10s.'),
    fallback: z
      .enum(READ_FALLBACKS)
      .default(DEFAULT_READ_POLICY.fallback)
      .describe(
        'When this region cannot answer at the level: forward (ask another, else refuse), stale (ask another, else answer and say so), refuse. Default forward.',
      ),
    latencyBudget: durationSchema({ minMs: 0, maxMs: LATENCY_BUDGET_MS_MAX })
      .default(DEFAULT_READ_POLICY.latencyBudgetMs)
      .describe('How long waiting and forwarding may take. Default 200ms.'),
  })
  .meta({ description: 'What reads of the view ask for; no part of its version.' });

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
    resolver: resolverSchema,
    granularity: z
      .enum(['row', 'feature'])
      .default('row')
      .describe(
        'What a write replaces: the row as a whole, or each feature it carries, with an event time of its own.',
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
    reads: readsSchema.optional(),
  })
  .meta({ description: 'A named set of typed features over an entity key.' });

/** A features/*.yaml document. */
export const featuresDocumentSchema = z.strictObject({
  entities: z.array(entitySchema).default([]),
  featureViews: z.array(viewSchema).default([]),
});

export type FeaturesDocument = z.output<typeof featuresDocumentSchema>;
