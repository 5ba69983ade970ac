import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import { buildFeatureViews, parseFeaturesDocument } from '#core/model/feature-view-build';
import { decodeDefinition, encodeDefinition, featureViewVersion } from '#core/model/feature-view-definition';

type Json = Record<string, unknown>;

const sample = (): { entities: Json[]; featureViews: Json[] } => ({
  entities: [
    {
      name: 'route',
      joinKeys: [
        { name: 'origin', type: 'string' },
        { name: 'destination', type: 'string' },
      ],
    },
  ],
  featureViews: [
    {
      name: 'route_daily',
      namespace: 'flights',
      entities: ['route'],
      ttl: '7d',
      owner: 'team@example.com',
      features: [
        { name: 'flights', type: 'int32', nullable: false, description: 'Flights of the day.' },
        { name: 'delays', type: 'list<float32>' },
      ],
      sources: [{ name: 'flights', path: 'data/*.parquet' }],
      sql: 'SELECT 1',
    },
  ],
});

function faultsOf(raw: unknown): string[] {
  const parsed = parseFeaturesDocument(raw);
  const issues = parsed.ok ? buildFeatureViews([parsed.value]).issues : parsed.issues;
  return issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

function build(raw: unknown): FeatureView {
  const parsed = parseFeaturesDocument(raw);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const { views, issues } = buildFeatureViews([parsed.value]);
  assert.deepEqual(issues, []);
  return views[0] as FeatureView;
}

function changed(change: (view: Json, document: { entities: Json[]; featureViews: Json[] }) => void): unknown {
  const document = sample();
  change(document.featureViews[0] as Json, document);
  return document;
}

test('a document becomes feature views with sorted columns and defaults', () => {
  const view = build(sample());
  assert.deepEqual(view.joinKeys, [
    { name: 'destination', type: 'string' },
    { name: 'origin', type: 'string' },
  ]);
  assert.deepEqual(view.features, [
    { name: 'delays', type: { scalar: 'float32', list: true }, nullable: true },
    { name: 'flights', type: { scalar: 'int32', list: false }, nullable: false, description: 'Flights of the day.' },
  ]);
  assert.equal(view.ttlSeconds, 604800);
  assert.equal(view.eventTimeAheadMsMax, 300_000);
  assert.equal(view.eventTimeColumn, 'event_timestamp');
  assert.deepEqual(view.sources, [{ name: 'flights', format: 'parquet', path: 'data/*.parquet' }]);
  assert.match(view.version, /^[0-9a-f]{32}$/);
  assert.equal(view.version, featureViewVersion(view));
});

test('the version is pinned: changing it would orphan every stored row', () => {
  assert.equal(build(sample()).version, '9c6a72d7879245e1e61f366855b48bf2');
});

test('the version follows everything that gives a row its meaning', () => {
  const base = build(sample()).version;
  const same: ((view: Json, document: { entities: Json[]; featureViews: Json[] }) => void)[] = [
    (view) => Object.assign(view, { owner: 'other', description: 'text', tags: { tier: '1' } }),
    (view) => (view['features'] as Json[]).reverse(),
    (view) => Object.assign(view, { ttl: 604800 }),
    (view) => Object.assign(view, { eventTimeColumn: 'event_timestamp' }),
    (_, document) => ((document.entities[0] as Json)['joinKeys'] as Json[]).reverse(),
    (view) => (((view['features'] as Json[])[0] as Json)['description'] = 'other'),
  ];
  for (const change of same) assert.equal(build(changed(change)).version, base, change.toString());
  const different: ((view: Json, document: { entities: Json[]; featureViews: Json[] }) => void)[] = [
    (view) => Object.assign(view, { name: 'route_day' }),
    (view) => Object.assign(view, { namespace: 'other' }),
    (view) => Object.assign(view, { ttl: '8d' }),
    (view) => delete view['ttl'],
    (view) => Object.assign(view, { sql: 'SELECT 2' }),
    (view) => Object.assign(view, { eventTimeColumn: 'ts' }),
    (view) => Object.assign(view, { eventTimeAhead: '1h' }),
    (view) => (((view['features'] as Json[])[0] as Json)['nullable'] = true),
    (view) => (((view['features'] as Json[])[0] as Json)['type'] = 'int64'),
    (view) => (view['features'] as Json[]).pop(),
    (view) => (((view['sources'] as Json[])[0] as Json)['path'] = 'other.parquet'),
    (view) => (((view['sources'] as Json[])[0] as Json)['format'] = 'csv'),
    (_, document) => ((((document.entities[0] as Json)['joinKeys'] as Json[])[0] as Json)['type'] = 'int64'),
  ];
  const versions = new Set([base, ...different.map((change) => build(changed(change)).version)]);
  assert.equal(versions.size, different.length + 1);
});

test('faults are named with path and the nearest allowed word', () => {
  const cases: [unknown, RegExp][] = [
    [
      changed((view) => Object.assign(view, { fetures: [] })),
      /^featureViews\.0\.fetures: unknown key "fetures"; did you mean "features"\?$/,
    ],
    [changed((view) => delete view['namespace']), /^featureViews\.0: the key "namespace" is missing$/],
    [
      changed((view) => Object.assign(view, { entities: ['rout'] })),
      /^featureViews\.0\.entities\.0: no entity is named "rout"; did you mean "route"\?$/,
    ],
    [changed((view) => Object.assign(view, { entities: [] })), /at least one entity/],
    [changed((view) => Object.assign(view, { entities: ['route', 'route'] })), /comes from two entities/],
    [changed((view) => Object.assign(view, { features: [] })), /at least one feature/],
    [
      changed((view) => Object.assign((view['features'] as Json[])[0] as Json, { type: 'int46' })),
      /features\.0\.type: "int46" is not allowed; did you mean "int64"\?$/,
    ],
    [
      changed((view) => Object.assign((view['features'] as Json[])[0] as Json, { type: 'list<list<int32>>' })),
      /is not allowed/,
    ],
    [
      changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: 'flights' })),
      /features\.1\.name: the feature "flights" is listed twice/,
    ],
    [
      changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: 'origin' })),
      /is a join key already/,
    ],
    [
      changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: 'event_timestamp' })),
      /reserved/,
    ],
    [changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: 'Delays' })), /lower-case/],
    [changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: 'a__b' })), /double underscore/],
    [changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: 'constructor' })), /reserved/],
    [changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: 'x'.repeat(64) })), /at most 62/],
    [changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { name: '' })), /not allowed/],
    [
      changed((view) => Object.assign((view['features'] as Json[])[1] as Json, { nullable: 'yes' })),
      /features\.1\.nullable: expected true or false, got text "yes"/,
    ],
    [changed((view) => Object.assign(view, { ttl: '7 days' })), /ttl: expected a duration/],
    [changed((view) => Object.assign(view, { ttl: '1500ms' })), /whole number of seconds/],
    [changed((view) => Object.assign(view, { ttl: -1 })), /expected a duration/],
    [changed((view) => Object.assign(view, { ttl: 0 })), /expected a duration/],
    [changed((view) => Object.assign(view, { ttl: null })), /expected a duration/],
    [changed((view) => Object.assign(view, { ttl: Number.POSITIVE_INFINITY })), /expected a duration/],
    [changed((view) => Object.assign(view, { sql: ' ' })), /SQL is empty/],
    [changed((view) => Object.assign(view, { eventTimeColumn: 'flights' })), /is the event-time column already/],
    [changed((view) => Object.assign(view, { eventTimeColumn: 'origin' })), /eventTimeColumn: "origin" is a join key/],
    [
      changed((view) => Object.assign(view, { sources: [{ name: 'a', path: 'x.txt' }] })),
      /does not follow from the extension/,
    ],
    [
      changed((view) =>
        Object.assign(view, {
          sources: [
            { name: 'a', path: 'x.csv' },
            { name: 'a', path: 'y.csv' },
          ],
        }),
      ),
      /source "a" is listed twice/,
    ],
    [
      changed((view) => {
        delete view['sql'];
        view['sources'] = [
          { name: 'a', path: 'x.csv' },
          { name: 'b', path: 'y.csv' },
        ];
      }),
      /several sources need SQL/,
    ],
    [changed((view) => Object.assign(view, { tags: { a: 1 } })), /tags\.a: expected text, got 1/],
    [
      changed((_, document) => document.featureViews.push(document.featureViews[0] as Json)),
      /featureViews\.1\.name: the feature view "route_daily" is defined twice/,
    ],
    [
      changed((_, document) => document.entities.push(document.entities[0] as Json)),
      /entities\.1\.name: the entity "route" is defined twice/,
    ],
    [
      changed((_, document) =>
        Object.assign(((document.entities[0] as Json)['joinKeys'] as Json[])[0] as Json, { type: 'float64' }),
      ),
      /"float64" is not allowed/,
    ],
    [
      changed((_, document) => Object.assign(document, { entitys: [] })),
      /unknown key "entitys"; did you mean "entities"\?/,
    ],
    [[], /^: expected a mapping, got a list$/],
    [null, /^: expected a mapping, got nothing$/],
    ['text', /expected a mapping/],
  ];
  for (const [raw, pattern] of cases) {
    const faults = faultsOf(raw);
    assert.ok(
      faults.some((fault) => pattern.test(fault)),
      `${pattern} not in ${JSON.stringify(faults)}`,
    );
  }
});

test('all faults of a document are reported together', () => {
  const document = changed((view) => Object.assign(view, { ttl: 'soon', owner: 5, colour: 'red' }));
  assert.equal(faultsOf(document).length, 3);
});

test('views without source are pushed; one source needs no SQL', () => {
  assert.equal(
    build(
      changed((view) => {
        delete view['sql'];
        delete view['sources'];
      }),
    ).sql,
    null,
  );
  assert.equal(build(changed((view) => delete view['sql'])).sql, 'SELECT * FROM flights');
});

test('entities may stand in another document', () => {
  const { entities, featureViews } = sample();
  const [first, second] = [parseFeaturesDocument({ featureViews }), parseFeaturesDocument({ entities })];
  assert.ok(first.ok && second.ok);
  assert.equal(buildFeatureViews([first.value, second.value]).views.length, 1);
  const alone = buildFeatureViews([second.value, first.value, first.value]);
  assert.deepEqual(
    alone.issues.map((issue) => issue.document),
    [2],
  );
});

test('definition frames carry the whole view, byte for byte the same', () => {
  const view = build(
    changed((document) => Object.assign(document, { description: 'Ein Tag "ö"', tags: { b: '2', a: '1' } })),
  );
  const bytes = encodeDefinition(view);
  assert.deepEqual(decodeDefinition(bytes), view);
  assert.deepEqual(encodeDefinition(decodeDefinition(bytes)), bytes);
});

test('a definition frame that this release does not understand is undecodable, one that lies is invalid', () => {
  const text = encodeDefinition(build(sample())).toString('utf8');
  const code = (altered: string | Uint8Array) => {
    try {
      decodeDefinition(typeof altered === 'string' ? Buffer.from(altered) : altered);
    } catch (error) {
      assert.ok(error instanceof AntipodeError);
      return error.code;
    }
    return 'decoded';
  };
  assert.equal(code(text), 'decoded');
  assert.equal(code(text.replace('"int32"', '"decimal128"')), 'DEFINITION_UNDECODABLE');
  assert.equal(code(text.replace('last-writer-wins', 'median')), 'DEFINITION_UNDECODABLE');
  assert.equal(code(text.replace('"granularity":"row"', '"granularity":"list"')), 'DEFINITION_UNDECODABLE');
  assert.equal(code(text.replace('"granularity":"row"', '"granularity":"feature"')), 'DEFINITION_INVALID');
  assert.equal(code(text.replace('"sql"', '"mask":1,"sql"')), 'DEFINITION_UNDECODABLE');
  assert.equal(code('{}'), 'DEFINITION_UNDECODABLE');
  assert.equal(code(''), 'DEFINITION_UNDECODABLE');
  assert.equal(code(new Uint8Array([0xff, 0xfe])), 'DEFINITION_UNDECODABLE');
  assert.equal(code('['.repeat(100_000)), 'DEFINITION_UNDECODABLE');
  assert.equal(code(Buffer.alloc(2 * 1024 * 1024, 0x20)), 'DEFINITION_UNDECODABLE');
  assert.equal(code(text.replace('"int32"', '"int64"')), 'DEFINITION_INVALID');
  assert.equal(code(text.replace('"ttlSeconds":604800', '"ttlSeconds":1')), 'DEFINITION_INVALID');
  const view = build(sample());
  const unordered = { ...view, features: [...view.features].reverse() };
  assert.equal(code(encodeDefinition({ ...unordered, version: featureViewVersion(unordered) })), 'DEFINITION_INVALID');
});
