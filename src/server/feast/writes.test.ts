import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import { DRIVERS, EVERYTHING, makeView } from '#server/testing/fixtures';
import { detail, feastError, startFace } from '#server/testing/test-face';

const frame = {
  driver_id: [1001, '1002'],
  conv_rate: [0.5, null],
  trips: [9, null],
  event_timestamp: ['2026-08-02T09:00:00', '2026-08-02 09:00:00.250+00:00'],
  created: ['2026-08-02T09:00:00', null],
};

suite('writing', () => {
  test("what Feast's remote client sends is ingested and can be read", async (t) => {
    const face = startFace(t);
    const answer = await face.write('/write-to-online-store', {
      feature_view_name: 'driver_stats',
      df: frame,
      allow_registry_cache: false,
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.text, 'null');
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['antipode-hub'], 'us-east');
    assert.equal(answer.headers['antipode-region'], 'eu-west');
    assert.match(String(answer.headers['antipode-positions']), /^flights\/0\/us-east\/9f3c2b1a00c4d2e8=1$/);
    const [request] = face.engine.requests;
    assert.equal(request?.version, DRIVERS.version);
    const codec = new ViewCodec(DRIVERS);
    assert.deepEqual(
      request?.changes.map(({ key, row, eventTimeUs, operation }) => [
        operation,
        codec.decodeKey(key),
        codec.decodeRow(row),
        eventTimeUs,
      ]),
      [
        ['upsert', [1001n], [0.5, 9n], Date.UTC(2026, 7, 2, 9) * 1000],
        ['upsert', [1002n], [null, null], Date.UTC(2026, 7, 2, 9) * 1000 + 250_000],
      ],
    );
    const read = await face.post('/get-online-features', {
      features: ['driver_stats:trips'],
      entities: { driver_id: [1001] },
    });
    assert.match(read.text, /"values":\[9\]/);
  });

  test('push: empty body, and the names a view goes by', async (t) => {
    const face = startFace(t);
    for (const name of ['driver_stats', 'driver_stats_push']) {
      const answer = await face.write('/push', { push_source_name: name, df: frame, to: 'online' });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.text, '');
      assert.equal(answer.headers['antipode-hub'], 'us-east');
    }
    const unknown = await face.write('/push', { push_source_name: 'nope', df: frame });
    assert.equal(unknown.status, 422);
    assert.deepEqual(feastError(unknown), {
      module: 'feast.errors',
      class: 'PushSourceNotFoundException',
      message: "Unable to find push source 'nope'.",
    });
  });

  test("the event time may come under the view's own name", async (t) => {
    const face = startFace(t);
    const view = makeView('late', { id: 'int64' }, { f: 'int64?' }, { eventTimeColumn: 'observed_at' });
    face.engine.known = [view];
    face.clock.advance(5000);
    await new Promise(setImmediate);
    const rows = { id: [1], f: [2] };
    const own = await face.write('/push', { push_source_name: 'late', df: { ...rows, observed_at: [1_785_000_000] } });
    assert.equal(own.status, 200, own.text);
    assert.equal(face.engine.requests[0]?.changes[0]?.eventTimeUs, 1_785_000_000_000_000);
    const feast = await face.write('/push', {
      push_source_name: 'late',
      df: { ...rows, event_timestamp: ['2026-08-01'] },
    });
    assert.equal(feast.status, 200, feast.text);
    const none = await face.write('/push', { push_source_name: 'late', df: rows });
    assert.deepEqual(detail(none)[0]?.loc, ['body', 'df', 'observed_at']);
  });

  test('every type is taken', async (t) => {
    const face = startFace(t);
    const text =
      '{"feature_view_name":"everything","df":{"id":["x"],"a_int32":[-7],"b_int64":[-9223372036854775808],"c_float32":[0.1],"d_float64":[-0.0],' +
      '"e_bool":[false],"f_string":["é"],"g_bytes":["AP8="],"h_timestamp":[1785664800],"i_int32s":[[1]],"j_int64s":[[9007199254740993]],' +
      '"k_float32s":[[1,2.5]],"l_float64s":[[]],"m_bools":[null],"n_strings":[["a"]],"o_bytess":[["AA=="]],"p_timestamps":[["2026-08-02T10:00:00Z"]],' +
      '"event_timestamp":["2026-08-02T09:00:00Z"]}}';
    const answer = await face.write('/write-to-online-store', text);
    assert.equal(answer.status, 200, answer.text);
    const row = face.engine.requests[0]?.changes[0]?.row;
    assert.deepEqual(new ViewCodec(EVERYTHING).decodeRow(row as Buffer), [
      -7,
      -(1n << 63n),
      Math.fround(0.1),
      -0,
      false,
      'é',
      new Uint8Array([0, 255]),
      1_785_664_800_000_000,
      [1],
      [9007199254740993n],
      [1, 2.5],
      [],
      null,
      ['a'],
      [new Uint8Array([0])],
      [1_785_664_800_000_000],
    ]);
  });

  test('the idempotency key travels, and a repetition says so', async (t) => {
    const face = startFace(t);
    const body = { push_source_name: 'driver_stats', df: frame };
    const first = await face.write('/push', body, { 'idempotency-key': 'job-7' });
    const second = await face.write('/push', body, { 'idempotency-key': 'job-7' });
    assert.equal(face.engine.requests[0]?.idempotencyKey, 'job-7');
    assert.equal(first.headers['antipode-duplicate'], undefined);
    assert.equal(second.headers['antipode-duplicate'], 'true');
    for (const key of ['', 'a b', 'x'.repeat(129), 'ü']) {
      assert.equal((await face.write('/push', body, { 'idempotency-key': key })).status, 422, key);
    }
    assert.equal(face.engine.requests.length, 2);
  });

  test('a retry says so in a header, and is one of a key', async (t) => {
    const face = startFace(t);
    const push = (headers: Record<string, string>) =>
      face.write('/push', { push_source_name: 'driver_stats', df: frame }, headers);
    const key = { 'idempotency-key': 'job-7' };
    for (const headers of [key, { ...key, 'antipode-retry': 'false' }, { ...key, 'antipode-retry': 'true' }])
      assert.equal((await push(headers)).status, 200);
    assert.deepEqual(
      face.engine.requests.map(({ retried }) => retried),
      [false, false, true],
    );
    for (const wrong of [{ 'antipode-retry': 'true' }, { ...key, 'antipode-retry': 'yes' }]) {
      const answer = await push(wrong);
      assert.deepEqual([answer.status, answer.headers['antipode-error']], [422, 'REQUEST_MALFORMED']);
    }
    assert.equal(face.engine.requests.length, 3);
  });

  test('rows ahead of time are reported; only such rows are an error', async (t) => {
    const face = startFace(t);
    const later = '2027-01-01T00:00:00Z';
    const some = await face.write('/push', {
      push_source_name: 'driver_stats',
      df: { ...frame, event_timestamp: ['2026-08-02T09:00:00Z', later] },
    });
    assert.equal(some.status, 200);
    assert.equal(some.headers['antipode-quarantined'], '1');
    assert.equal(some.headers['antipode-quarantined-rows'], '1');
    const all = await face.write('/push', {
      push_source_name: 'driver_stats',
      df: { ...frame, event_timestamp: [later, later] },
    });
    assert.equal(all.status, 422);
    assert.equal(all.headers['antipode-error'], 'ROW_EVENT_TIME_AHEAD');
    assert.deepEqual(detail(all)[0]?.loc, ['body', 'df', 'event_timestamp', 0]);
  });

  test('no rows are nothing to do', async (t) => {
    const face = startFace(t);
    const df = { driver_id: [], conv_rate: [], trips: [], event_timestamp: [] };
    assert.equal((await face.write('/push', { push_source_name: 'driver_stats', df })).status, 200);
    assert.equal(face.engine.requests.length, 0);
  });

  const refusals: readonly [what: string, body: unknown, type: string, loc: (string | number)[], code: string][] = [
    [
      'a missing feature column',
      { ...frame, trips: undefined },
      'missing',
      ['body', 'df', 'trips'],
      'REQUEST_MALFORMED',
    ],
    [
      'a missing key column',
      { ...frame, driver_id: undefined },
      'missing',
      ['body', 'df', 'driver_id'],
      'REQUEST_MALFORMED',
    ],
    [
      'no event time',
      { ...frame, event_timestamp: undefined },
      'missing',
      ['body', 'df', 'event_timestamp'],
      'REQUEST_MALFORMED',
    ],
    [
      'columns of unequal length',
      { ...frame, trips: [1] },
      'value_error',
      ['body', 'df', 'trips'],
      'REQUEST_MALFORMED',
    ],
    [
      'a value of the wrong type',
      { ...frame, trips: [1, 'many'] },
      'value_error',
      ['body', 'df', 'trips', 1],
      'ROW_INVALID',
    ],
    [
      'an int64 with a fraction',
      { ...frame, trips: [1, 1.5] },
      'value_error',
      ['body', 'df', 'trips', 1],
      'ROW_INVALID',
    ],
    ['a null key', { ...frame, driver_id: [1, null] }, 'value_error', ['body', 'df', 'driver_id', 1], 'ROW_INVALID'],
    [
      'a time that is none',
      { ...frame, event_timestamp: ['yesterday', '2026-08-02'] },
      'value_error',
      ['body', 'df', 'event_timestamp', 0],
      'ROW_INVALID',
    ],
    [
      'a null time',
      { ...frame, event_timestamp: [null, '2026-08-02'] },
      'value_error',
      ['body', 'df', 'event_timestamp', 0],
      'ROW_INVALID',
    ],
    ['a column that is no list', { ...frame, trips: 1 }, 'list_type', ['body', 'df', 'trips'], 'REQUEST_MALFORMED'],
    ['rows instead of columns', [{ driver_id: 1 }], 'dict_type', ['body', 'df'], 'REQUEST_MALFORMED'],
    ['an empty frame', {}, 'missing', ['body', 'df', 'driver_id'], 'REQUEST_MALFORMED'],
    [
      'a reserved column',
      { ...frame, constructor: [1, 2] },
      'value_error',
      ['body', 'df', 'constructor'],
      'REQUEST_MALFORMED',
    ],
  ];
  for (const [what, df, type, loc, code] of refusals) {
    test(`refused whole: ${what}`, async (t) => {
      const face = startFace(t);
      for (const [url, name] of [
        ['/push', 'push_source_name'],
        ['/write-to-online-store', 'feature_view_name'],
      ] as const) {
        const answer = await face.write(url, { [name]: 'driver_stats', df });
        assert.equal(answer.status, 422, answer.text);
        assert.equal(answer.headers['antipode-error'], code);
        assert.equal(detail(answer)[0]?.type, type, answer.text);
        assert.deepEqual(detail(answer)[0]?.loc, loc);
      }
      assert.equal(face.engine.requests.length, 0);
    });
  }

  test('a lone surrogate in a key, a value or a list is refused, with the same code as every row that is none', async (t) => {
    const face = startFace(t);
    const time = '"event_timestamp":["2026-08-02T09:00:00Z"]';
    const rest = EVERYTHING.features
      .map(({ name }) => `"${name}":[null]`)
      .filter((column) => !/f_str|n_str/.test(column));
    // As JSON carries it: an escape that stands for no character.
    for (const lone of ['\\ud800', 'a\\udc00b', '\\udc00\\ud800']) {
      for (const [column, key, text, texts] of [
        ['id', lone, 'a', 'a'],
        ['f_string', 'x', lone, 'a'],
        ['n_strings', 'x', 'a', lone],
      ] as const) {
        const frame = [`"id":["${key}"]`, `"f_string":["${text}"]`, `"n_strings":[["b","${texts}"]]`, ...rest, time];
        const body = `{"push_source_name":"everything","df":{${frame.join(',')}}}`;
        const answer = await face.write('/push', body);
        assert.equal(answer.status, 422, answer.text);
        assert.equal(answer.headers['antipode-error'], 'ROW_INVALID');
        assert.deepEqual(detail(answer)[0]?.loc, ['body', 'df', column, 0]);
        assert.ok(answer.text.isWellFormed());
      }
      const entity = `{"feature_view_name":"everything","df":{"id":["${lone}"]}}`;
      const deletion = await face.write('/delete-from-online-store', entity);
      assert.deepEqual([deletion.status, deletion.headers['antipode-error']], [422, 'ROW_INVALID']);
    }
    assert.equal(face.engine.requests.length, 0);
  });

  test('all missing columns are named, and several bad rows', async (t) => {
    const face = startFace(t);
    const missing = await face.write('/push', { push_source_name: 'driver_stats', df: { driver_id: [1] } });
    assert.deepEqual(
      detail(missing).map(({ loc }) => loc[2]),
      ['conv_rate', 'trips', 'event_timestamp'],
    );
    const rows = Array.from({ length: 50 }, (_, i) => i);
    const bad = await face.write('/push', {
      push_source_name: 'driver_stats',
      df: { driver_id: rows, conv_rate: rows, trips: rows.map(() => 'x'), event_timestamp: rows },
    });
    assert.equal(detail(bad).length, 10);
  });

  test('the other fields of a request', async (t) => {
    const face = startFace(t);
    const push = (more: object) => face.write('/push', { push_source_name: 'driver_stats', df: frame, ...more });
    for (const to of ['offline', 'online_and_offline', 'sideways', 1, null]) {
      const answer = await push({ to });
      assert.equal(answer.status, 422);
      assert.deepEqual(detail(answer)[0]?.loc, ['body', 'to']);
    }
    assert.equal((await push({ push_source_name: 1 })).status, 422);
    assert.equal((await push({ transform_on_write: 'x' })).status, 422);
    assert.equal((await push({ transform_on_write: false, allow_registry_cache: false, extra: 1 })).status, 200);
    const unknown = await face.write('/write-to-online-store', { feature_view_name: 'nope', df: frame });
    assert.equal(unknown.status, 404);
    assert.equal(feastError(unknown).message, "Can't recognize feast object with a name nope");
    assert.equal((await face.write('/write-to-online-store', { df: frame })).status, 422);
    assert.equal((await face.write('/push', '')).status, 422);
  });

  test('too many rows are 413', async (t) => {
    const face = startFace(t, { limits: { bodyBytes: 1e6, entitiesPerRequest: 1, featuresPerRequest: 9 } });
    assert.equal((await face.write('/push', { push_source_name: 'driver_stats', df: frame })).status, 413);
  });

  test('what the engine refuses keeps its code and status', async (t) => {
    const face = startFace(t);
    const codes = [
      ['NO_HUB', 503, '1'],
      ['OUTCOME_UNKNOWN', 504, undefined],
      ['OVERLOADED', 429, '1'],
      ['DISK_FULL', 507, undefined],
      ['ROW_INVALID', 422, undefined],
    ] as const;
    assert.equal((await face.write('/push', { push_source_name: 'driver_stats', df: frame })).status, 200);
    for (const [code, status, retryAfter] of codes) {
      face.engine.failure = new AntipodeError(code, 'so it is');
      const answer = await face.write('/push', { push_source_name: 'driver_stats', df: frame });
      assert.equal(answer.status, status);
      assert.equal(answer.headers['antipode-error'], code);
      assert.equal(answer.headers['retry-after'], retryAfter);
      const body = JSON.parse(answer.text) as { detail: string; code: string; remedy: string };
      assert.equal(body.detail, 'so it is');
      assert.equal(body.code, code);
      assert.ok(body.remedy.length > 0);
    }
    face.engine.failure = new Error('secret internals');
    const broken = await face.write('/push', { push_source_name: 'driver_stats', df: frame });
    assert.equal(broken.status, 500);
    assert.doesNotMatch(broken.text, /secret/);
    assert.ok(face.logger.lines.some((line) => line.event === 'request-failed'));
    face.engine.failure = undefined;
  });
});

suite('deleting', () => {
  const codec = new ViewCodec(DRIVERS);

  test('a frame of join keys deletes rows: as of now, or as of the time it names', async (t) => {
    const face = startFace(t);
    const body = { feature_view_name: 'driver_stats', df: { driver_id: [1001, '1002'] } };
    const answer = await face.write('/delete-from-online-store', body);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['antipode-hub'], 'us-east');
    const timed = { ...body.df, event_timestamp: ['2026-08-02T09:00:00', '2026-08-02T10:00:00'] };
    await face.write('/delete-from-online-store', { ...body, df: timed });
    const nowUs = Math.floor(face.clock.wallMs()) * 1000;
    assert.deepEqual(
      face.engine.requests.map(({ changes }) =>
        changes.map(({ operation, key, row, eventTimeUs }) => [
          operation,
          codec.decodeKey(key),
          row.length,
          eventTimeUs,
        ]),
      ),
      [
        [
          ['delete', [1001n], 0, nowUs],
          ['delete', [1002n], 0, nowUs],
        ],
        [
          ['delete', [1001n], 0, Date.UTC(2026, 7, 2, 9) * 1000],
          ['delete', [1002n], 0, Date.UTC(2026, 7, 2, 10) * 1000],
        ],
      ],
    );
  });

  test('a delete that may be repeated names its time, so that the repetition is the same delete', async (t) => {
    const face = startFace(t);
    const keyed = { 'idempotency-key': 'k' };
    const body = { feature_view_name: 'driver_stats', df: { driver_id: [1] } };
    const untimed = await face.write('/delete-from-online-store', body, keyed);
    assert.equal(untimed.status, 422);
    assert.match(untimed.text, /event_timestamp/);
    const timed = { ...body, df: { ...body.df, event_timestamp: ['2026-08-02T09:00:00'] } };
    assert.equal((await face.write('/delete-from-online-store', timed, keyed)).status, 200);
  });

  test('wrong keys, missing keys and unknown views are named', async (t) => {
    const face = startFace(t);
    const ask = (view: string, df: object) => face.write('/delete-from-online-store', { feature_view_name: view, df });
    assert.equal((await ask('nope', { driver_id: [1] })).status, 404);
    assert.match((await ask('driver_stats', { driver: [1] })).text, /driver_id/);
    assert.match((await ask('driver_stats', { driver_id: ['x'] })).text, /driver_id/);
    assert.equal((await ask('driver_stats', { driver_id: [] })).status, 200);
    assert.deepEqual(face.engine.requests, []);
  });
});

suite('partial rows and counters', () => {
  test('under feature granularity the columns that are there are written, the others keep what they have', async (t) => {
    const face = startFace(t);
    const view = { ...DRIVERS, granularity: 'feature' as const };
    face.engine.known = [view];
    const codec = new ViewCodec(view);
    const time = { event_timestamp: ['2026-08-02T09:00:00'] };
    const push = (df: object) => face.write('/push', { push_source_name: 'driver_stats', df: { ...df, ...time } });
    assert.equal((await push({ driver_id: [1], trips: [7] })).status, 200);
    assert.equal((await push({ driver_id: [1], trips: [null], conv_rate: [0.5] })).status, 200);
    const [partial, whole] = face.engine.requests.map(({ changes }) => changes[0]);
    assert.deepEqual(partial?.features, [1]);
    assert.deepEqual(codec.decodeFeatures([1], partial?.row ?? Buffer.alloc(0)), [7n]);
    assert.equal(whole?.features, undefined);
    assert.deepEqual(codec.decodeRow(whole?.row ?? Buffer.alloc(0)), [0.5, null]);
    const none = await push({ driver_id: [1] });
    assert.equal(none.status, 422);
    assert.match(none.text, /conv_rate/);
  });

  test('under row granularity a column that is missing is refused, as ever', async (t) => {
    const face = startFace(t);
    const df = { driver_id: [1], trips: [7], event_timestamp: ['2026-08-02T09:00:00'] };
    const answer = await face.write('/push', { push_source_name: 'driver_stats', df });
    assert.equal(answer.status, 422);
    assert.match(answer.text, /conv_rate/);
  });

  test('producer, sequence and acknowledgement are headers of every way to write', async (t) => {
    const face = startFace(t);
    const headers = { 'antipode-producer': 'nightly', 'antipode-sequence': '9007199254740991' };
    const body = { push_source_name: 'driver_stats', df: frame };
    await face.write('/push', body, { ...headers, 'antipode-acknowledge': '2' });
    assert.deepEqual(face.engine.requests[0]?.producer, { name: 'nightly', sequence: Number.MAX_SAFE_INTEGER });
    assert.equal(face.engine.requests[0]?.acknowledge, 2);
    for (const wrong of [
      { 'antipode-producer': 'nightly' },
      { 'antipode-sequence': '1' },
      { ...headers, 'antipode-sequence': '-1' },
      { ...headers, 'antipode-sequence': '9007199254740992' },
      { 'antipode-acknowledge': 'all' },
    ])
      assert.ok([400, 422].includes((await face.write('/push', body, wrong)).status), JSON.stringify(wrong));
  });
});
