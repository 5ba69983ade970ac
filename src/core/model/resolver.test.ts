import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import { buildFeatureViews, parseFeaturesDocument } from '#core/model/feature-view-build';
import { decodeDefinition, encodeDefinition, withVersion } from '#core/model/feature-view-definition';

const FEATURES = [
  { name: 'clicks', type: 'int64' },
  { name: 'score', type: 'float64' },
];
const TOPOLOGY = { namespaces: ['ads'], regions: ['us-east', 'eu-west'] };

function read(more: Record<string, unknown>): { view?: FeatureView | undefined; faults: string[] } {
  const view = { name: 'users', namespace: 'ads', entities: ['user'], features: FEATURES, ...more };
  const entities = [{ name: 'user', joinKeys: [{ name: 'id', type: 'string' }] }];
  const parsed = parseFeaturesDocument({ entities, featureViews: [view] });
  const built = parsed.ok ? buildFeatureViews([parsed.value], TOPOLOGY) : { views: [], issues: parsed.issues };
  return {
    view: built.views[0],
    faults: built.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
  };
}

test('every resolver and granularity that merges, in a file and in a definition frame', () => {
  const cases: [Record<string, unknown>, FeatureView['resolver'], FeatureView['granularity']][] = [
    [{}, { kind: 'last-writer-wins' }, 'row'],
    [{ granularity: 'feature' }, { kind: 'last-writer-wins' }, 'feature'],
    [{ resolver: 'max', granularity: 'feature' }, { kind: 'max', by: null }, 'feature'],
    [{ resolver: { min: 'score' } }, { kind: 'min', by: 'score' }, 'row'],
    [{ resolver: 'counter' }, { kind: 'counter' }, 'row'],
    [
      { resolver: { 'region-priority': ['eu-west', 'us-east'] }, granularity: 'feature' },
      { kind: 'region-priority', regions: ['eu-west', 'us-east'] },
      'feature',
    ],
  ];
  const versions = new Set<string>();
  for (const [more, resolver, granularity] of cases) {
    const { view, faults } = read(more);
    assert.deepEqual(faults, []);
    assert.ok(view !== undefined);
    assert.deepEqual([view.resolver, view.granularity], [resolver, granularity]);
    const bytes = encodeDefinition(view);
    assert.deepEqual(decodeDefinition(bytes), view);
    assert.deepEqual(encodeDefinition(decodeDefinition(bytes)), bytes);
    versions.add(view.version);
  }
  assert.equal(versions.size, cases.length, 'how rows merge is part of the version');
});

test('what does not merge is refused where it stands', () => {
  const lists = [...FEATURES, { name: 'tags', type: 'list<string>' }];
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ resolver: 'median' }, /^featureViews\.0\.resolver: a resolver is last-writer-wins, max/],
    [{ resolver: 'region-priority' }, /^featureViews\.0\.resolver: a resolver is/],
    [{ resolver: { max: 'score', min: 'score' } }, /^featureViews\.0\.resolver: a resolver is/],
    [{ resolver: { 'region-priority': [] } }, /^featureViews\.0\.resolver/],
    [{ granularity: 'cell' }, /^featureViews\.0\.granularity: "cell" is not allowed/],
    [{ resolver: 'max' }, /^featureViews\.0\.resolver: with rows as the granularity, max needs a feature/],
    [
      { resolver: { max: 'skore' } },
      /^featureViews\.0\.resolver\.max: the view has no feature "skore"; did you mean "score"/,
    ],
    [{ resolver: { min: 'tags' }, features: lists }, /^featureViews\.0\.resolver\.min: "tags" is a list/],
    [
      { resolver: { max: 'score' }, granularity: 'feature' },
      /^featureViews\.0\.resolver\.max: with features as the granularity/,
    ],
    [
      { resolver: 'min', granularity: 'feature', features: lists },
      /^featureViews\.0\.resolver: the feature "tags" is a list/,
    ],
    [
      { resolver: 'counter', granularity: 'feature' },
      /^featureViews\.0\.granularity: a counter is written by whole rows/,
    ],
    [
      { resolver: 'counter', features: [{ name: 'n', type: 'int32' }] },
      /^featureViews\.0\.resolver: the feature "n" cannot be counted/,
    ],
    [
      { resolver: { 'region-priority': ['us-east', 'eu-wst'] } },
      /^featureViews\.0\.resolver\.region-priority\.1: antipode\.yaml has no region "eu-wst"; did you mean "eu-west"/,
    ],
    [
      { resolver: { 'region-priority': ['us-east', 'us-east'] } },
      /^featureViews\.0\.resolver\.region-priority\.1: the region "us-east" is listed twice/,
    ],
  ];
  for (const [more, expected] of cases) {
    const { view, faults } = read(more);
    assert.equal(view, undefined, JSON.stringify(more));
    assert.match(faults[0] ?? '', expected);
  }
});

test('a definition from a stream is held to the same rules, but for the regions of the topology', () => {
  const { view } = read({});
  assert.ok(view !== undefined);
  const gone = withVersion({ ...view, resolver: { kind: 'region-priority', regions: ['mars'] } });
  assert.deepEqual(decodeDefinition(encodeDefinition(gone)), gone);
  for (const resolver of [{ kind: 'max', by: null } as const, { kind: 'min', by: 'nothing' } as const]) {
    const wrong = withVersion({ ...view, resolver });
    assert.throws(
      () => decodeDefinition(encodeDefinition(wrong)),
      (error) => error instanceof AntipodeError && error.code === 'DEFINITION_INVALID',
    );
  }
});
