import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadProject } from '#adapters/project-files/load-project';
import { FILE_BYTES_MAX } from '#adapters/project-files/yaml-file';
import { AntipodeError } from '#core/errors';

const TOPOLOGY = `version: 1
name: demo
regions:
  us-east: { place: Virginia, link: 127.0.0.1:7101, serve: 127.0.0.1:6566 }
  eu-west: { place: Ireland, link: 127.0.0.1:7102, serve: 127.0.0.1:6567 }
  ap-south:
    place: Mumbai
    link: 127.0.0.1:7103
    serve: 127.0.0.1:6568
control:
  link: 127.0.0.1:7100
namespaces:
  flights:
    hub: us-east
`;

const FEATURES = `entities:
  - name: route
    joinKeys:
      - { name: origin, type: string }
featureViews:
  - name: daily
    namespace: flights
    entities: [route]
    ttl: 7d
    features:
      - name: flights
        type: int32
      - { name: mean, type: float64 }
`;

async function project(context: TestContext, files: Record<string, string | Uint8Array>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'antipode-project-'));
  context.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'features'));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

async function failure(context: TestContext, files: Record<string, string | Uint8Array>): Promise<AntipodeError> {
  const folder = await project(context, files);
  const caught: unknown = await loadProject(folder).then(
    () => assert.fail('loaded'),
    (error: unknown) => error,
  );
  assert.ok(caught instanceof AntipodeError, String(caught));
  return caught;
}

test('a project is loaded with its views', async (context) => {
  const folder = await project(context, {
    'antipode.yaml': TOPOLOGY,
    'features/b.yaml': FEATURES.replace('daily', 'weekly').slice(FEATURES.indexOf('featureViews')),
    'features/a.yml': FEATURES,
    'features/notes.txt': 'not yaml: [',
    'features/.hidden.yaml': '[',
    'features/empty.yaml': '{}',
  });
  const { config, views, folder: absolute } = await loadProject(folder);
  assert.equal(absolute, folder);
  const flights = config.namespaces['flights'];
  assert.equal(flights?.replication === 'active-passive' && flights.hub, 'us-east');
  assert.deepEqual(
    views.map((view) => view.name),
    ['daily', 'weekly'],
  );
});

test('a project without definitions has no views', async (context) => {
  const folder = await project(context, { 'antipode.yaml': TOPOLOGY });
  await rm(join(folder, 'features'), { recursive: true });
  assert.deepEqual((await loadProject(folder)).views, []);
});

/** [what is changed, by what, where it is reported, what is said] */
type Case = readonly [find: string, replacement: string, where: string, message: RegExp];

const BROKEN_TOPOLOGIES: readonly Case[] = [
  [
    'regions:',
    'regoins:',
    'antipode.yaml:1:1',
    /the key "regions" is missing\n1 more:\n {2}antipode\.yaml:3:1: unknown key "regoins"; did you mean "regions"\? \(Keys allowed here: /,
  ],
  [
    '    place: Mumbai',
    '    palce: Mumbai',
    'antipode.yaml:6:3',
    /the key "place" is missing\n1 more:\n {2}antipode\.yaml:7:5: unknown key "palce"; did you mean "place"/,
  ],
  ['link: 127.0.0.1:7103', 'link: 127.0.0.1', 'antipode.yaml:8:11', /expected host:port/],
  [
    'link: 127.0.0.1:7103',
    'link: 127.0.0.1:7101',
    'antipode.yaml:8:11',
    /127\.0\.0\.1:7101 is taken by the link of us-east/,
  ],
  ['link: 127.0.0.1:7103', 'link:', 'antipode.yaml:8:10', /expected text, got nothing/],
  ['serve: 127.0.0.1:6568', 'serve: 0.0.0.0:6568', 'antipode.yaml:9:12', /beyond loopback, without TLS/],
  ['hub: us-east', 'hub: us-eats', 'antipode.yaml:14:10', /no region is named "us-eats"; did you mean "us-east"\?/],
  ['ap-south:', 'AP:', 'antipode.yaml:6:3', /the region name "AP" is not allowed/],
  ['version: 1', 'version: 1\nversion: 1', 'antipode.yaml:2:1', /Map keys must be unique/],
  ['    place: Mumbai', '\tplace: Mumbai', 'antipode.yaml:7:1', /Tabs are not allowed/],
  ['name: demo', 'name: demo\n__proto__: { polluted: true }', 'antipode.yaml:3:1', /"__proto__" is not allowed/],
  ['  us-east:', '  __proto__:', 'antipode.yaml:4:3', /"__proto__" is not allowed/],
  ['name: demo', 'name: !!js/function x', 'antipode.yaml:2:7', /Unresolved tag/],
  ['name: demo', 'name: *nothing', 'antipode.yaml:2:7', /nothing is anchored as &nothing/],
  ['name: demo', 'name: [demo', 'antipode.yaml:3:1', /YAML: /],
  ['name: demo', 'name: 5', 'antipode.yaml:2:7', /expected text, got 5/],
  ['name: demo', 'name: "a\\ud800"', 'antipode.yaml:2:7', /is not allowed/],
  ['name: demo', '? [a]\n: b', 'antipode.yaml:2:3', /keys/i],
  ['hub: us-east', 'hub: us-east\n---\nversion: 1', 'antipode.yaml:15:1', /multiple documents/],
  ['hub: us-east', 'hub: us-east\n    lease: 1s', 'antipode.yaml:15:12', /is not longer than 3 margins/],
];

test('every fault of antipode.yaml is reported with line and column', async (context) => {
  for (const [find, replacement, where, message] of BROKEN_TOPOLOGIES) {
    assert.ok(TOPOLOGY.includes(find));
    const error = await failure(context, { 'antipode.yaml': TOPOLOGY.replace(find, replacement) });
    assert.match(error.message, message, replacement);
    assert.equal(error.where, where, `${replacement}: ${error.message}`);
    assert.equal(error.code, replacement.includes('0.0.0.0') ? 'UNSAFE_BINDING' : 'CONFIG_INVALID');
    assert.ok(error.remedy.length > 10);
  }
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

const BROKEN_FEATURES: readonly Case[] = [
  ['type: int32', 'type: int23', 'features/a.yaml:12:15', /"int23" is not allowed; did you mean "int32"\?/],
  [
    '        type: int32',
    '        typ: int32',
    'features/a.yaml:11:9',
    /the key "type" is missing\n1 more:\n {2}features\/a\.yaml:12:9: unknown key "typ"; did you mean "type"/,
  ],
  [
    '{ name: mean, type: float64 }',
    '{ name: flights, type: float64 }',
    'features/a.yaml:13:17',
    /the feature "flights" is listed twice/,
  ],
  ['{ name: mean, type: float64 }', '{ name: mean__x, type: float64 }', 'features/a.yaml:13:17', /double underscore/],
  ['{ name: mean, type: float64 }', '[mean, float64]', 'features/a.yaml:13:9', /expected a mapping, got a list/],
  [
    'entities: [route]',
    'entities: [roote]',
    'features/a.yaml:8:16',
    /no entity is named "roote"; did you mean "route"\?/,
  ],
  ['entities: [route]', 'entities: route', 'features/a.yaml:8:15', /expected a list, got text "route"/],
  [
    'namespace: flights',
    'namespace: fligths',
    'features/a.yaml:7:16',
    /no namespace "fligths"; did you mean "flights"\?/,
  ],
  ['ttl: 7d', 'ttl: a week', 'features/a.yaml:9:10', /expected a duration/],
  ['ttl: 7d', 'ttl: .inf', 'features/a.yaml:9:10', /expected a duration/],
  ['ttl: 7d', 'ttl: 7d\n    tll: 7d', 'features/a.yaml:10:5', /unknown key "tll"; did you mean "ttl"/],
  ['featureViews:', 'featureviews:', 'features/a.yaml:5:1', /did you mean "featureViews"/],
  [FEATURES, '- 1', 'features/a.yaml:1:1', /expected a mapping, got a list/],
  [FEATURES, '', 'features/a.yaml:1:1', /expected a mapping, got nothing/],
];

test('every fault of a definition file is reported with line and column', async (context) => {
  for (const [find, replacement, where, message] of BROKEN_FEATURES) {
    assert.ok(FEATURES.includes(find));
    const error = await failure(context, {
      'antipode.yaml': TOPOLOGY,
      'features/a.yaml': FEATURES.replace(find, replacement),
    });
    assert.match(error.message, message, replacement);
    assert.equal(error.where, where, `${replacement}: ${error.message}`);
    assert.equal(error.code, 'DEFINITION_INVALID');
  }
});

test('faults of several files come together, in their order', async (context) => {
  const error = await failure(context, {
    'antipode.yaml': TOPOLOGY,
    'features/b.yaml': 'entitys: []',
    'features/a.yaml': FEATURES.replace('int32', 'int23').replace('7d', 'x'),
  });
  assert.equal(error.where, 'features/a.yaml:9:10');
  assert.match(
    error.message,
    /2 more:\n {2}features\/a\.yaml:12:15: .*\n {2}features\/b\.yaml:1:1: unknown key "entitys"/,
  );
});

test('a view that is defined in two files is refused in the second', async (context) => {
  const views = FEATURES.slice(FEATURES.indexOf('featureViews'));
  const error = await failure(context, {
    'antipode.yaml': TOPOLOGY,
    'features/a.yaml': FEATURES,
    'features/b.yaml': views,
  });
  assert.equal(error.where, 'features/b.yaml:2:11');
  assert.match(error.message, /"daily" is defined twice/);
});

test('a missing antipode.yaml says how to make one', async (context) => {
  const error = await failure(context, {});
  assert.equal(error.code, 'CONFIG_INVALID');
  assert.match(error.remedy, /antipode init/);
});

test('hostile and unreadable files are refused in bounded time', { timeout: 20_000 }, async (context) => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((name, i) => `${name}: &${name} [${Array(10).fill(`*${'abcdefg'[i]}`).join(',')}]`)
    .join('\n')}\n`;
  const cases: [string | Uint8Array, RegExp][] = [
    [bomb, /alias/i],
    [`a: &a 1\nb: [${'*a,'.repeat(50_000)}]`, /more than 100 aliases/],
    ['['.repeat(FILE_BYTES_MAX), /YAML: /],
    ['- '.repeat(FILE_BYTES_MAX / 2), /YAML: /],
    ['x'.repeat(FILE_BYTES_MAX + 1), /has 262145 bytes; at most 262144/],
    [new Uint8Array([0x61, 0x3a, 0x20, 0xff]), /not UTF-8/],
    ['\0\0\0', /./],
  ];
  for (const [text, message] of cases) {
    const error = await failure(context, { 'antipode.yaml': text });
    assert.equal(error.code, 'CONFIG_INVALID');
    assert.match(error.message, message);
    assert.ok(error.message.length < 10_000);
  }
});
