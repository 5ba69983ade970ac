import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dialAddress, parseTopology, type TopologyConfig } from '#core/config/topology';
import { durationMs, formatDuration } from '#core/config/units';

interface Sample {
  [key: string]: unknown;
  regions: Record<string, Record<string, unknown>>;
  control: Record<string, unknown>;
  namespaces: Record<string, Record<string, unknown>>;
}

const sample = (): Sample => ({
  version: 1,
  name: 'demo',
  regions: {
    'us-east': { place: 'Virginia', link: '127.0.0.1:7101', serve: '127.0.0.1:6566' },
    'eu-west': { place: 'Ireland', link: '127.0.0.1:7102', serve: '127.0.0.1:6567' },
    'ap-south': { place: 'Mumbai', link: '127.0.0.1:7103', serve: '127.0.0.1:6568' },
  },
  control: { link: '127.0.0.1:7100' },
  namespaces: { flights: { hub: 'us-east' } },
});

function config(change: (document: Sample) => void = () => {}): TopologyConfig {
  const document = sample();
  change(document);
  const parsed = parseTopology(document);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

function faults(change: (document: Sample) => void): string[] {
  const document = sample();
  change(document);
  const parsed = parseTopology(document);
  return parsed.ok
    ? []
    : parsed.issues.map((issue) => `${issue.code ?? 'CONFIG_INVALID'} ${issue.path.join('.')}: ${issue.message}`);
}

const set = (target: object | undefined, values: object) => Object.assign(target as object, values);

const retention = { ageMs: 7 * 24 * 3600 * 1000, bytes: 10 * 1024 ** 3 };

test('defaults are filled in', () => {
  const value = config();
  assert.deepEqual(value.regions['us-east'], {
    name: 'us-east',
    place: 'Virginia',
    link: { host: '127.0.0.1', port: 7101 },
    serve: { host: '127.0.0.1', port: 6566 },
    workers: 1,
    data: '.antipode/data/us-east',
    promotable: true,
    priority: 100,
  });
  assert.deepEqual(value.namespaces['flights'], {
    name: 'flights',
    replication: 'active-passive',
    hub: 'us-east',
    partitions: 1,
    failover: 'automatic',
    leaseMs: 3000,
    marginMs: 500,
    tail: 'replay',
    acknowledge: 0,
    acknowledgeWithinMs: 5000,
    retention,
    lossy: 'allow',
  });
  assert.equal(value.project, 'demo');
  assert.deepEqual(value.control, {
    link: { host: '127.0.0.1', port: 7100 },
    data: '.antipode/data/control',
    place: null,
  });
  assert.deepEqual(value.engines, { log: 'lmdb', online: 'lmdb', offline: 'duckdb' });
  assert.deepEqual(value.security, {
    reads: 'token',
    tokens: '.antipode/tokens.json',
    certificates: '.antipode/certificates',
    serving: { tls: null },
  });
  assert.deepEqual(value.limits, { bodyBytes: 4 * 1024 * 1024, entitiesPerRequest: 10_000 });
});

test('an active-active namespace has partitions and no hub', () => {
  const { namespaces } = config((d) => set(d.namespaces, { flights: { replication: 'active-active', partitions: 4 } }));
  assert.deepEqual(namespaces['flights'], { name: 'flights', replication: 'active-active', partitions: 4, retention });
});

test('a link override holds for its direction only', () => {
  const value = config((document) => {
    document['links'] = [
      { from: 'us-east', to: 'eu-west', address: 'proxy.example:9001' },
      { from: 'us-east', to: 'control', address: '[::1]:9002' },
    ];
  });
  assert.deepEqual(dialAddress(value, 'us-east', 'eu-west'), { host: 'proxy.example', port: 9001 });
  assert.deepEqual(dialAddress(value, 'eu-west', 'us-east'), { host: '127.0.0.1', port: 7101 });
  assert.deepEqual(dialAddress(value, 'us-east', 'control'), { host: '::1', port: 9002 });
  assert.deepEqual(dialAddress(value, 'ap-south', 'control'), { host: '127.0.0.1', port: 7100 });
});

test('faults are named precisely', () => {
  const region = (document: Sample, name = 'us-east') => document.regions[name];
  const namespace = (document: Sample) => document.namespaces['flights'];
  const cases: [(document: Sample) => void, RegExp][] = [
    [(d) => set(d, { version: 2 }), /version: .*2.* is not allowed/],
    [(d) => set(d, { version: '1' }), /version: "1" is not allowed/],
    [(d) => Reflect.deleteProperty(d, 'name'), /^CONFIG_INVALID : the key "name" is missing$/],
    [(d) => Reflect.deleteProperty(d, 'version'), /the key "version" is missing/],
    [(d) => Reflect.deleteProperty(d, 'regions'), /the key "regions" is missing/],
    [(d) => set(d, { regions: {} }), /at least one region/],
    [(d) => set(d, { regions: [] }), /regions: expected a mapping, got a list/],
    [(d) => set(d, { namespaces: {} }), /at least one namespace/],
    [(d) => set(d.regions, { US: region(d) }), /regions\.US: the region name "US" is not allowed/],
    [(d) => set(d.regions, { control: region(d) }), /"control" is reserved/],
    [(d) => set(d.regions, { constructor: region(d) }), /reserved/],
    [(d) => set(d, { regoins: {} }), /regoins: unknown key "regoins"; did you mean "regions"\?/],
    [(d) => set(region(d), { worker: 2 }), /unknown key "worker"; did you mean "workers"\?/],
    [(d) => set(region(d), { workers: -1 }), /regions\.us-east\.workers: /],
    [(d) => set(region(d), { workers: 1.5 }), /regions\.us-east\.workers: expected a whole number, got 1\.5/],
    [(d) => set(region(d), { link: '127.0.0.1' }), /link: expected host:port/],
    [(d) => set(region(d), { link: '127.0.0.1:0' }), /link: expected host:port/],
    [(d) => set(region(d), { link: '127.0.0.1:65536' }), /link: expected host:port/],
    [(d) => set(region(d), { link: 7101 }), /link: expected text, got 7101/],
    [(d) => set(region(d), { link: 'http://a:1' }), /link: expected host:port/],
    [(d) => set(region(d), { link: 'localhost:7100' }), /link: localhost:7100 is taken by the control store/],
    [
      (d) => set(region(d, 'eu-west'), { serve: '127.0.0.1:6566' }),
      /eu-west\.serve: 127\.0\.0\.1:6566 is taken by the serving face of us-east/,
    ],
    [(d) => set(region(d, 'eu-west'), { link: '0.0.0.0:7101' }), /is taken by the link of us-east/],
    [
      (d) => set(region(d, 'eu-west'), { data: '.antipode/data/us-east' }),
      /eu-west\.data: the folder ".antipode\/data\/us-east" is used by us-east/,
    ],
    [
      (d) => set(region(d), { serve: '0.0.0.0:6566' }),
      /^UNSAFE_BINDING regions\.us-east\.serve: us-east would serve on 0\.0\.0\.0:6566/,
    ],
    [(d) => set(region(d), { serve: 'features.example:6566' }), /^UNSAFE_BINDING/],
    [
      (d) => {
        for (const name of Object.keys(d.regions)) set(region(d, name), { promotable: false });
      },
      /no region is promotable/,
    ],
    [(d) => set(region(d), { promotable: false }), /hub: the region us-east is not promotable/],
    [(d) => set(namespace(d), { hub: 'us-eats' }), /hub: no region is named "us-eats"; did you mean "us-east"\?/],
    [(d) => set(namespace(d), { replication: 'active' }), /replication: "active" is not allowed/],
    [
      (d) => set(namespace(d), { replication: 'active-active' }),
      /hub: an active-active namespace has no hub: every region accepts its writes/,
    ],
    [
      (d) => set(namespace(d), { replication: 'active-active', hub: undefined, tail: 'replay' }),
      /tail: an active-active namespace has no tail/,
    ],
    [(d) => set(namespace(d), { hub: undefined }), /hub is missing/],
    [(d) => set(namespace(d), { lease: '1500ms' }), /lease: the lease of 1500ms is not longer than 3 margins of 500ms/],
    [(d) => set(namespace(d), { lease: 'long' }), /lease: expected a duration from 500ms to 10m/],
    [(d) => set(namespace(d), { lease: '1h' }), /lease: expected a duration/],
    [(d) => set(namespace(d), { partitions: 65 }), /partitions/],
    [(d) => set(namespace(d), { tail: 'drop' }), /tail: "drop" is not allowed/],
    [(d) => set(d, { engines: { log: 'nats' } }), /engines\.log: "nats" is not allowed/],
    [(d) => set(d, { engines: { online: 'redis' } }), /engines\.online: "redis" is not allowed/],
    [(d) => set(d, { security: { reads: 'opne' } }), /reads: "opne" is not allowed; did you mean "open"\?/],
    [
      (d) => set(d, { security: { serving: { tls: { cert: 'a' } } } }),
      /security\.serving\.tls: the key "key" is missing/,
    ],
    [(d) => set(d, { limits: { bodyBytes: '4 MB' } }), /bodyBytes: expected a size from 1KiB to 64MiB/],
    [(d) => set(d, { limits: { bodyBytes: 1e12 } }), /bodyBytes: expected a size/],
    [(d) => set(d, { limits: { entitiesPerRequest: 0 } }), /entitiesPerRequest/],
    [
      (d) => set(d, { links: [{ from: 'us-east', to: 'us-east', address: 'a:1' }] }),
      /links\.0: a link leads from us-east to itself/,
    ],
    [
      (d) => set(d, { links: [{ from: 'control', to: 'us-east', address: 'a:1' }] }),
      /links\.0\.from: no region is named "control"/,
    ],
    [
      (d) => set(d, { links: [1, 2].map((port) => ({ from: 'us-east', to: 'eu-west', address: `a:${port}` })) }),
      /links\.1: .* is given twice/,
    ],
    [
      (d) => Reflect.deleteProperty(d.regions, 'ap-south'),
      /failover: automatic failover with two regions needs the control store in a third place/,
    ],
    [
      (d) => {
        Reflect.deleteProperty(d.regions, 'ap-south');
        set(d.control, { place: 'Ireland' });
      },
      /third place/,
    ],
    [
      (d) => {
        Reflect.deleteProperty(d.regions, 'ap-south');
        Reflect.deleteProperty(d.regions, 'eu-west');
      },
      /second promotable region/,
    ],
  ];
  for (const [change, pattern] of cases) {
    const found = faults(change);
    assert.ok(
      found.some((fault) => pattern.test(fault)),
      `${pattern} not in ${JSON.stringify(found)}`,
    );
  }
});

test('two regions with a witness elsewhere, or manual failover, are accepted', () => {
  config((document) => {
    Reflect.deleteProperty(document.regions, 'ap-south');
    document.control['place'] = 'Frankfurt';
  });
  config((document) => {
    document.regions = { solo: { place: 'Here', link: 'localhost:1', serve: '[::1]:2' } };
    document.namespaces = { flights: { hub: 'solo', failover: 'manual' } };
  });
});

test('serving beyond loopback is accepted with TLS', () => {
  const value = config((document) => {
    Object.assign(document.regions['us-east'] as object, { serve: '0.0.0.0:6566' });
    document['security'] = { serving: { tls: { cert: 'c.pem', key: 'k.pem' } } };
  });
  assert.deepEqual(value.security.serving.tls, { cert: 'c.pem', key: 'k.pem' });
});

test('durations', () => {
  assert.equal(durationMs('1.5h'), 5_400_000);
  assert.equal(durationMs('2w'), 1_209_600_000);
  for (const text of ['', '5', 's', '-1s', '1.2345s', '0.1234ms', '1y', ' 1s', '1e3s', '0.0001s', '9'.repeat(20)])
    assert.equal(durationMs(text), undefined, text);
  for (const text of ['1w', '3d', '25h', '90m', '1s', '1500ms', '0ms'])
    assert.equal(formatDuration(durationMs(text) as number), text);
});
