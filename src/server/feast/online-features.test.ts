import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeStored } from '#core/codec/stored-value';
import { formatTimestamp } from '#core/codec/value-time';
import { ViewCodec } from '#core/codec/view-codec';
import { mergeOf } from '#core/merge/merge-of';
import { DRIVERS, EVERYTHING, makeView, ROUTES, STREAM, servingState } from '#server/testing/fixtures';
import { detail, feastError, startFace } from '#server/testing/test-face';

const AT = Date.UTC(2026, 7, 1, 12) * 1000;
const EPOCH = '1970-01-01T00:00:00Z';

interface Body {
  readonly results: { readonly values: unknown[]; readonly statuses: string[]; readonly event_timestamps: string[] }[];
  readonly metadata: { readonly feature_names: string[] };
}

/** Column of the answer by name. */
function column(text: string, name: string): Body['results'][number] {
  const body = JSON.parse(text) as Body;
  const result = body.results[body.metadata.feature_names.indexOf(name)];
  assert.ok(result !== undefined, `no column ${name}`);
  return result;
}

suite('reading online features', () => {
  test('the answer, to the byte', async (t) => {
    const face = startFace(t);
    face.reader.put(DRIVERS, [1001n], AT, [1, 10n]);
    const answer = await face.post('/get-online-features', {
      features: ['driver_stats:trips', 'driver_stats:conv_rate'],
      entities: { driver_id: [1001, 9999] },
    });
    assert.equal(answer.status, 200);
    assert.equal(
      answer.text,
      '{"results":[' +
        '{"values":[1001,9999],"statuses":["PRESENT","PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},' +
        '{"values":[10,null],"statuses":["PRESENT","NOT_FOUND"],"event_timestamps":["2026-08-01T12:00:00Z","1970-01-01T00:00:00Z"]},' +
        '{"values":[1.0,null],"statuses":["PRESENT","NOT_FOUND"],"event_timestamps":["2026-08-01T12:00:00Z","1970-01-01T00:00:00Z"]}],' +
        '"metadata":{"feature_names":["driver_id","trips","conv_rate"]}}',
    );
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['content-length'], String(Buffer.byteLength(answer.text)));
  });

  test('every type in its form', async (t) => {
    const face = startFace(t);
    const f32 = Math.fround(0.1);
    face.reader.put(EVERYTHING, ['x'], AT + 123_456, [
      -7,
      9007199254740993n,
      f32,
      -0,
      true,
      'naïve "é"',
      new Uint8Array([0, 255]),
      AT + 999_999,
      [1, 2],
      [9223372036854775807n],
      [f32, 1],
      [3, 1e-7],
      [true, false],
      ['a', ''],
      [new Uint8Array([1])],
      [AT],
    ]);
    const features = EVERYTHING.features.map((feature) => `everything:${feature.name}`);
    const answer = await face.post('/get-online-features', { features, entities: { id: ['x'] } });
    const values = [
      ...answer.text.matchAll(/\{"values":\[(.*?)\],"statuses":\["(\w+)"\],"event_timestamps":\["(.*?)"\]\}/g),
    ];
    assert.deepEqual(
      values.map((match) => match[1]),
      [
        '"x"',
        '-7',
        '9007199254740993',
        '0.10000000149011612',
        '-0.0',
        'true',
        '"naïve \\"é\\""',
        '"AP8="',
        String(AT / 1_000_000),
        '[1,2]',
        '[9223372036854775807]',
        '[0.10000000149011612,1.0]',
        '[3.0,1e-7]',
        '[true,false]',
        '["a",""]',
        '["AQ=="]',
        `[${AT / 1_000_000}]`,
      ],
    );
    assert.ok(values.every((match) => match[2] === 'PRESENT'));
    assert.ok(values.slice(1).every((match) => match[3] === '2026-08-01T12:00:00.123456Z'));
    assert.equal(answer.headers['antipode-freshness-ms'], '700');
    assert.equal(answer.headers['antipode-hub'], undefined);
  });

  test("null and NaN are null and PRESENT, with the row's time", async (t) => {
    const face = startFace(t);
    face.reader.put(DRIVERS, [1n], AT, [Number.NaN, null]);
    const { text } = await face.post('/get-online-features', {
      features: ['driver_stats:conv_rate', 'driver_stats:trips'],
      entities: { driver_id: [1] },
    });
    for (const name of ['conv_rate', 'trips']) {
      assert.deepEqual(column(text, name), {
        values: [null],
        statuses: ['PRESENT'],
        event_timestamps: ['2026-08-01T12:00:00Z'],
      });
    }
  });

  test('a deleted row is not found', async (t) => {
    const face = startFace(t);
    face.reader.put(DRIVERS, [1n], AT, null);
    const { text } = await face.post('/get-online-features', {
      features: ['driver_stats:trips'],
      entities: { driver_id: [1] },
    });
    assert.deepEqual(column(text, 'trips'), { values: [null], statuses: ['NOT_FOUND'], event_timestamps: [EPOCH] });
  });

  test('a row beyond its TTL is OUTSIDE_MAX_AGE with its value; at the limit it is PRESENT', async (t) => {
    const face = startFace(t);
    const now = face.clock.wallMs() * 1000;
    face.reader.put(ROUTES, ['BOS', 'JFK'], now - 3_600_000_000, [1.5, 2]);
    face.reader.put(ROUTES, ['LAX', 'JFK'], now - 3_600_000_001, [2.5, 3]);
    const { text } = await face.post('/get-online-features', {
      features: ['route_stats:delay'],
      entities: { origin: ['JFK', 'JFK'], destination: ['BOS', 'LAX'] },
    });
    assert.deepEqual(column(text, 'delay').values, [1.5, 2.5]);
    assert.deepEqual(column(text, 'delay').statuses, ['PRESENT', 'OUTSIDE_MAX_AGE']);
  });

  test('composite keys, several views, duplicate rows, keys in request order, unknown columns skipped', async (t) => {
    const face = startFace(t);
    const now = face.clock.wallMs() * 1000;
    face.reader.put(ROUTES, ['BOS', 'JFK'], now, [1.5, 2]);
    face.reader.put(DRIVERS, [7n], AT, [0.5, 3n]);
    const { text } = await face.post('/get-online-features', {
      features: ['route_stats:flights', 'driver_stats:trips', 'route_stats@latest:delay'],
      entities: {
        nonsense: [1, 2, 3],
        origin: ['JFK', 'JFK', 'X'],
        driver_id: ['7', 7, 8],
        destination: ['BOS', 'BOS', 'Y'],
      },
    });
    const body = JSON.parse(text) as Body;
    assert.deepEqual(body.metadata.feature_names, ['origin', 'driver_id', 'destination', 'flights', 'trips', 'delay']);
    assert.deepEqual(
      body.results.map((result) => result.values),
      [
        ['JFK', 'JFK', 'X'],
        [7, 7, 8],
        ['BOS', 'BOS', 'Y'],
        [2, 2, null],
        [3, 3, null],
        [1.5, 1.5, null],
      ],
    );
    assert.deepEqual(column(text, 'trips').statuses, ['PRESENT', 'PRESENT', 'NOT_FOUND']);
    assert.equal(face.reader.lookups, 6, 'one lookup an entity row and view');
  });

  test('full feature names', async (t) => {
    const face = startFace(t);
    const request = { features: ['driver_stats:trips', 'driver_stats@latest:conv_rate'], entities: { driver_id: [1] } };
    const full = await face.post('/get-online-features', { ...request, full_feature_names: true });
    assert.deepEqual((JSON.parse(full.text) as Body).metadata.feature_names, [
      'driver_id',
      'driver_stats__trips',
      'driver_stats__conv_rate',
    ]);
    const short = await face.post('/get-online-features', request);
    assert.deepEqual((JSON.parse(short.text) as Body).metadata.feature_names, ['driver_id', 'trips', 'conv_rate']);
  });

  test('integer keys beyond 2^53 are found and echoed exactly', async (t) => {
    const face = startFace(t);
    face.reader.put(DRIVERS, [9007199254740993n], AT, [0.5, 1n]);
    const answer = await face.post(
      '/get-online-features',
      '{"features":["driver_stats:trips"],"entities":{"driver_id":[9007199254740993,"9007199254740993"]}}',
    );
    assert.ok(answer.text.startsWith('{"results":[{"values":[9007199254740993,9007199254740993],'));
    assert.deepEqual(column(answer.text, 'trips').values, [1, 1]);
  });

  test('no entity rows give empty columns', async (t) => {
    const face = startFace(t);
    const { text } = await face.post('/get-online-features', {
      features: ['driver_stats:trips'],
      entities: { driver_id: [] },
    });
    assert.deepEqual(column(text, 'trips'), { values: [], statuses: [], event_timestamps: [] });
  });

  test('features written one by one have an event time and a status each', async (t) => {
    const view = makeView(
      'profile',
      { id: 'string' },
      { city: 'string?', score: 'float64?', visits: 'int64?' },
      { granularity: 'feature', ttlSeconds: 3600 },
    );
    const codec = new ViewCodec(view);
    const stored = (eventTimeUs: number, features: number[], row: Buffer, operation: 'upsert' | 'delete' = 'upsert') =>
      encodeStored(codec, {
        eventTimeUs,
        hlc: { wallMs: 1, counter: 0 },
        source: { origin: Buffer.from('us-east'), incarnation: Buffer.alloc(8, 1) },
        seq: 1,
        operation,
        generation: 0,
        features: operation === 'delete' ? undefined : features,
        row,
      });
    const face = startFace(t);
    face.engine.known = [view];
    const now = face.clock.wallMs() * 1000;
    const old = now - 3_600_000_001;
    const both = mergeOf(codec)(
      stored(old, [0], codec.encodeFeatures([0], ['Oslo'])),
      stored(now, [2], codec.encodeFeatures([2], [7n])),
    );
    assert.ok(typeof both !== 'string');
    face.reader.putStored(view, ['a'], both);
    face.reader.putStored(view, ['gone'], stored(now, [], Buffer.alloc(0), 'delete'));
    const { text } = await face.post('/get-online-features', {
      features: ['profile:city', 'profile:score', 'profile:visits'],
      entities: { id: ['a', 'gone', 'never'] },
    });
    const missing = ['NOT_FOUND', 'NOT_FOUND'];
    const answer = (value: unknown, status: string, time: string) => ({
      values: [value, null, null],
      statuses: [status, ...missing],
      event_timestamps: [time, EPOCH, EPOCH],
    });
    assert.deepEqual(column(text, 'city'), answer('Oslo', 'OUTSIDE_MAX_AGE', formatTimestamp(old)));
    assert.deepEqual(column(text, 'score'), answer(null, 'NOT_FOUND', EPOCH));
    assert.deepEqual(column(text, 'visits'), answer(7, 'PRESENT', formatTimestamp(now)));
  });

  test('rows of undecodable bytes are INVALID and hurt nobody else', async (t) => {
    const face = startFace(t);
    face.reader.put(DRIVERS, [1n], AT, [0.5, 1n]);
    face.reader.put(DRIVERS, [2n], AT, [0.5, 1n]);
    face.reader.put(DRIVERS, [3n], AT, [0.5, 1n]);
    const [first, second] = face.reader.rows.values();
    first?.fill(0xff, 30);
    second?.fill(0x07, 26, 27);
    const { text, status } = await face.post('/get-online-features', {
      features: ['driver_stats:trips'],
      entities: { driver_id: [1, 2, 3] },
    });
    assert.equal(status, 200);
    assert.deepEqual(column(text, 'trips').statuses, ['INVALID', 'INVALID', 'PRESENT']);
    assert.deepEqual(column(text, 'trips').values, [null, null, 1]);
    assert.ok(face.logger.lines.some((line) => line.event === 'rows-not-decodable'));
  });

  test('headers say where the answer comes from and how fresh it is', async (t) => {
    const face = startFace(t);
    const one = await face.post('/get-online-features', {
      features: ['driver_stats:trips'],
      entities: { driver_id: [1] },
    });
    assert.equal(one.headers['antipode-region'], 'eu-west');
    assert.equal(one.headers['antipode-freshness-ms'], '120');
    assert.equal(one.headers['antipode-hub'], 'us-east');
    assert.equal(one.headers['antipode-epoch'], '3');
    assert.equal(one.headers['antipode-positions'], `${STREAM}=1201`);
    face.clock.advance(40);
    const both = await face.post('/get-online-features', {
      features: ['driver_stats:trips', 'everything:a_int32'],
      entities: { driver_id: [1], id: ['x'] },
    });
    assert.equal(both.headers['antipode-freshness-ms'], '740');
    assert.equal(both.headers['antipode-hub'], 'flights=us-east');
    assert.equal(both.headers['antipode-epoch'], 'flights=3, types=1');
  });

  test('a region that rebuilds answers 503, health too', async (t) => {
    const face = startFace(t);
    const request = { features: ['driver_stats:trips'], entities: { driver_id: [1] } };
    face.reader.put(DRIVERS, [1n], AT, [1, 10n]);
    assert.equal((await face.get('/health')).status, 200);
    assert.equal((await face.post('/get-online-features', request)).status, 200);
    face.reader.setState(servingState(face.clock.wallMs(), 'rebuilding'));
    // Neither a row that is missing nor one that is there is believed from a state of a moment ago.
    const refused = await face.post('/get-online-features', request);
    assert.equal(refused.status, 503);
    assert.equal(refused.headers['antipode-error'], 'REBUILDING');
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal((await face.get('/health')).status, 503);
    face.reader.values.clear();
    assert.equal((await face.get('/health')).status, 503);
  });

  test('a view that appears later is found without a restart, and wrong names are no load on the engine', async (t) => {
    const face = startFace(t);
    const request = { features: ['late:f'], entities: { driver_id: [1] } };
    assert.equal((await face.post('/get-online-features', request)).status, 404);
    for (let i = 0; i < 20; i++) await face.post('/get-online-features', { ...request, features: [`wrong${i}:f`] });
    assert.equal(face.engine.viewsAsked, 1);
    face.engine.known = [...face.engine.known, makeView('late', { driver_id: 'int64' }, { f: 'int64?' })];
    face.clock.advance(500);
    assert.equal((await face.post('/get-online-features', request)).status, 200);
  });

  test('a new version of a view is used from the next refresh on', async (t) => {
    const face = startFace(t);
    const request = { features: ['driver_stats:trips'], entities: { driver_id: [1] } };
    await face.post('/get-online-features', request);
    const next = makeView('driver_stats', { driver_id: 'int64' }, { trips: 'float64?' });
    face.reader.put(next, [1n], AT, [2]);
    face.engine.known = [next, DRIVERS];
    face.clock.advance(5000);
    await new Promise(setImmediate);
    const { text } = await face.post('/get-online-features', request);
    assert.match(text, /"values":\[2\.0\]/);
  });

  test('reads go on while the engine is away', async (t) => {
    const face = startFace(t);
    const request = { features: ['driver_stats:trips'], entities: { driver_id: [1] } };
    assert.equal((await face.post('/get-online-features', request)).status, 200);
    face.engine.failure = new Error('away');
    face.clock.advance(6000);
    assert.equal((await face.post('/get-online-features', request)).status, 200);
    face.engine.failure = undefined;
  });

  test('counts reach the engine once a second', async (t) => {
    const face = startFace(t);
    await face.post('/get-online-features', { features: ['driver_stats:trips'], entities: { driver_id: [1, 2] } });
    await face.post('/get-online-features', { features: ['nope:trips'], entities: { driver_id: [1, 2] } });
    face.clock.advance(1000);
    assert.deepEqual(face.engine.reads, [{ requests: 1, rows: 2, errors: 0 }]);
    face.reader.values.clear();
    await face.post('/get-online-features', { features: ['driver_stats:trips'], entities: { driver_id: [1] } });
    face.clock.advance(1000);
    assert.deepEqual(face.engine.reads[1], { requests: 1, rows: 0, errors: 1 });
  });
});

suite("reads that are the caller's mistake", () => {
  const trips = ['driver_stats:trips'];
  const one = { driver_id: [1] };
  const cases: readonly [what: string, body: unknown, status: number, feastClass: string, message: RegExp][] = [
    [
      'unknown view',
      { features: ['nope:x'], entities: one },
      404,
      'FeatureViewNotFoundException',
      /^Feature view nope does not exist in project demo$/,
    ],
    [
      'unknown service',
      { feature_service: 'svc', features: trips, entities: one },
      404,
      'FeatureServiceNotFoundException',
      /^Feature service svc does not exist in project demo$/,
    ],
    [
      'unknown feature',
      { features: ['driver_stats:zzz'], entities: one },
      404,
      'FeastObjectNotFoundException',
      /^Feature zzz not found in projection driver_stats$/,
    ],
    ['no colon', { features: ['trips'], entities: one }, 422, 'FeastError', /^Invalid feature reference 'trips'/],
    ['no view', { features: [':trips'], entities: one }, 422, 'FeastError', /^Invalid feature reference/],
    ['no feature', { features: ['driver_stats:'], entities: one }, 422, 'FeastError', /^Invalid feature reference/],
    [
      'a version by number',
      { features: ['driver_stats@v2:trips'], entities: one },
      422,
      'FeastError',
      /Versions cannot be chosen/,
    ],
    ['no features', { features: [], entities: one }, 422, 'FeastError', /^No features specified for retrieval$/],
    ['features left out', { entities: one }, 422, 'FeastError', /^No features specified for retrieval$/],
    [
      'twice the same',
      { features: [...trips, ...trips], entities: one },
      422,
      'FeatureNameCollisionError',
      /full_feature_names=True/,
    ],
    [
      'a key missing',
      { features: ['route_stats:delay'], entities: { origin: ['A'] } },
      422,
      'FeastError',
      /^Missing join key values for keys: \['destination'\]/,
    ],
    ['no entities', { features: trips, entities: {} }, 422, 'FeastError', /^Missing join key values/],
    [
      'ragged',
      { features: ['route_stats:delay'], entities: { origin: ['A'], destination: [] } },
      422,
      'FeastError',
      /^All entity rows must have the same columns\.$/,
    ],
    [
      'ragged in an unknown column',
      { features: trips, entities: { driver_id: [1], x: [1, 2] } },
      422,
      'FeastError',
      /^All entity rows/,
    ],
  ];
  for (const [what, body, status, feastClass, message] of cases) {
    test(what, async (t) => {
      const face = startFace(t);
      const answer = await face.post('/get-online-features', body);
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.headers['content-type'], 'application/json');
      const error = feastError(answer);
      assert.equal(error.module, 'feast.errors');
      assert.equal(error.class, feastClass);
      assert.match(error.message, message);
    });
  }

  test('the double-encoded body, to the byte', async (t) => {
    const face = startFace(t);
    const answer = await face.post('/get-online-features', { features: ['nöpe"😀:x'], entities: one });
    const inner =
      '{"module": "feast.errors", "class": "FeatureViewNotFoundException", "message": "Feature view n\\u00f6pe\\"\\ud83d\\ude00 does not exist in project demo"}';
    assert.equal(answer.text, JSON.stringify(inner));
  });

  const shapes: readonly [what: string, body: unknown, type: string, loc: (string | number)[]][] = [
    ['empty body', '', 'missing', ['body']],
    ['not JSON', '{"features": [', 'json_invalid', ['body', 0]],
    ['a list', [1], 'model_attributes_type', ['body']],
    ['a number', '5', 'model_attributes_type', ['body']],
    ['null', 'null', 'model_attributes_type', ['body']],
    ['no entities field', { features: trips }, 'missing', ['body', 'entities']],
    ['entities as rows', { features: trips, entities: [{ driver_id: 1 }] }, 'dict_type', ['body', 'entities']],
    [
      'a column that is no list',
      { features: trips, entities: { driver_id: 1 } },
      'list_type',
      ['body', 'entities', 'driver_id'],
    ],
    ['features as text', { features: 'driver_stats:trips', entities: one }, 'list_type', ['body', 'features']],
    ['features null', { features: null, entities: one }, 'list_type', ['body', 'features']],
    ['a feature that is no text', { features: [1], entities: one }, 'string_type', ['body', 'features', 0]],
    [
      'full_feature_names as text',
      { features: trips, entities: one, full_feature_names: 'yes' },
      'bool_type',
      ['body', 'full_feature_names'],
    ],
    ['feature_service as number', { feature_service: 1, entities: one }, 'string_type', ['body', 'feature_service']],
    [
      'a key of the wrong type',
      { features: trips, entities: { driver_id: [1, 'x'] } },
      'value_error',
      ['body', 'entities', 'driver_id', 1],
    ],
    [
      'a null key',
      { features: trips, entities: { driver_id: [null] } },
      'value_error',
      ['body', 'entities', 'driver_id', 0],
    ],
    [
      'a key with a fraction',
      { features: trips, entities: { driver_id: [1.5] } },
      'value_error',
      ['body', 'entities', 'driver_id', 0],
    ],
    [
      'a key beyond int64',
      '{"features":["driver_stats:trips"],"entities":{"driver_id":[9223372036854775808]}}',
      'value_error',
      ['body', 'entities', 'driver_id', 0],
    ],
    [
      'a key that is an object',
      { features: trips, entities: { driver_id: [{ a: 1 }] } },
      'value_error',
      ['body', 'entities', 'driver_id', 0],
    ],
    [
      'a key that is too long',
      { features: ['everything:a_int32'], entities: { id: ['x'.repeat(600)] } },
      'value_error',
      ['body', 'entities', 0],
    ],
    [
      '__proto__ in the body',
      '{"__proto__":{"a":1},"features":[],"entities":{}}',
      'value_error',
      ['body', '__proto__'],
    ],
    [
      '__proto__ in entities',
      '{"features":["driver_stats:trips"],"entities":{"__proto__":[1]}}',
      'value_error',
      ['body', 'entities', '__proto__'],
    ],
    [
      'constructor in entities',
      { features: trips, entities: { constructor: [1] } },
      'value_error',
      ['body', 'entities', 'constructor'],
    ],
  ];
  for (const [what, body, type, loc] of shapes) {
    test(what, async (t) => {
      const face = startFace(t);
      const answer = await face.post('/get-online-features', body);
      assert.equal(answer.status, 422, answer.text);
      assert.equal(answer.headers['antipode-error'], 'REQUEST_MALFORMED');
      assert.equal(detail(answer)[0]?.type, type);
      assert.deepEqual(detail(answer)[0]?.loc, loc);
    });
  }

  test('what exceeds a limit is 413, at the limit it is not', async (t) => {
    const limits = { bodyBytes: 2000, entitiesPerRequest: 3, featuresPerRequest: 2 };
    const face = startFace(t, { limits });
    const ask = (features: string[], rows: number, padding = 0) =>
      face.post('/get-online-features', {
        features,
        entities: { driver_id: Array(rows).fill(1) },
        x: 'x'.repeat(padding),
      });
    const both = ['driver_stats:trips', 'driver_stats:conv_rate'];
    assert.equal((await ask(both, 3)).status, 200);
    assert.equal((await ask(both, 4)).status, 413);
    assert.equal((await ask([...both, 'driver_stats:x'], 1)).status, 413);
    const big = await ask(both, 1, 2000);
    assert.equal(big.status, 413);
    assert.equal(big.headers['antipode-error'], 'REQUEST_TOO_LARGE');
    assert.ok(JSON.parse(big.text));
  });

  test('the content type does not matter', async (t) => {
    const face = startFace(t);
    const body = JSON.stringify({ features: trips, entities: one });
    for (const type of [
      'application/json',
      'text/plain',
      'nonsense',
      'application/x-www-form-urlencoded; charset=utf-8',
      ';;',
    ]) {
      assert.equal((await face.post('/get-online-features', body, { 'content-type': type })).status, 200, type);
    }
    const packed = await face.post('/get-online-features', body, { 'content-encoding': 'gzip' });
    assert.equal(packed.status, 422);
  });

  test('other paths and methods', async (t) => {
    const face = startFace(t);
    const missing = await face.get('/nothing/here');
    assert.equal(missing.status, 404);
    assert.equal((JSON.parse(missing.text) as { detail: string }).detail, 'Not Found');
    assert.equal((await face.get('/get-online-features?x=1')).status, 405);
    assert.equal((await face.get('/%zz')).status, 400);
  });
});
