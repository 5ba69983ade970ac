import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { DuckDbOfflineStore } from '#adapters/duckdb/duckdb-offline-store';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { Feature, FeatureValue, JoinKey, ScalarType, ScalarValue } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';
import type { BadRow, OfflineRow, OfflineRun } from '#ports/offline-store';

let folder: string;
let store: DuckDbOfflineStore;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'antipode-offline-'));
  store = await DuckDbOfflineStore.open({ projectFolder: folder, memoryLimit: '256MB' });
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run(`
    CREATE TABLE trips AS SELECT i AS id, 'd' || i AS driver, i * 1.5 AS fare, TIMESTAMP '2026-01-01' + to_seconds(i) AS started FROM range(5000) r(i);
    COPY trips TO '${join(folder, "it''s.parquet")}';
    COPY (SELECT * FROM trips LIMIT 10) TO '${join(folder, 'trips.csv')}';
    COPY (SELECT * FROM trips LIMIT 10) TO '${join(folder, 'trips.json')}';
  `);
  connection.closeSync();
  instance.closeSync();
});

after(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

interface Shape {
  readonly sql: string | null;
  readonly features: Readonly<Record<string, string>>;
  readonly keys?: Readonly<Record<string, JoinKey['type']>>;
  readonly sources?: Readonly<Record<string, string>>;
  readonly nullable?: boolean;
}

function codecOf(shape: Shape): ViewCodec {
  const features = Object.entries(shape.features).map(([name, type]): Feature => {
    const list = type.startsWith('list<');
    return {
      name,
      nullable: shape.nullable ?? true,
      type: { scalar: (list ? type.slice(5, -1) : type) as ScalarType, list },
    };
  });
  return new ViewCodec(
    withVersion({
      name: 'sample',
      namespace: 'tests',
      joinKeys: Object.entries(shape.keys ?? { id: 'int64' }).map(([name, type]) => ({
        name,
        type: type as JoinKey['type'],
      })),
      features,
      ttlSeconds: null,
      resolver: { kind: 'last-writer-wins' },
      granularity: 'row',
      eventTimeAheadMsMax: 0,
      sources: Object.entries(shape.sources ?? {}).map(([name, path]) => ({
        name,
        path,
        format: path.split('.').at(-1) as 'parquet' | 'csv' | 'json',
      })),
      sql: shape.sql,
      eventTimeColumn: 'event_timestamp',
      owner: '',
      description: '',
      tags: {},
    }),
  );
}

interface Computed {
  readonly rows: readonly OfflineRow[];
  readonly bad: readonly BadRow[];
  readonly batchSizes: readonly number[];
  readonly keys: readonly ScalarValue[][];
  readonly values: readonly FeatureValue[][];
  readonly times: readonly number[];
}

async function compute(shape: Shape, run: Partial<OfflineRun> = {}): Promise<Computed> {
  const codec = codecOf(shape);
  const bad: BadRow[] = [];
  const rows: OfflineRow[] = [];
  const batchSizes: number[] = [];
  const computation = await store.compute({ codec, onBadRow: (row) => bad.push(row), ...run });
  for await (const batch of computation.batches) {
    rows.push(...batch.rows);
    batchSizes.push(batch.rows.length);
    assert.equal(batch.rowsRead, rows.length + bad.length);
  }
  return {
    rows,
    bad,
    batchSizes,
    keys: rows.map((row) => codec.decodeKey(row.key)),
    values: rows.map((row) => codec.decodeRow(row.row)),
    times: rows.map((row) => row.eventTimeUs),
  };
}

/** The one value of `expression` as a feature of the type. */
async function value(type: string, expression: string): Promise<FeatureValue> {
  const { values, bad } = await compute({
    sql: `SELECT 1 AS id, ${expression} AS x, TIMESTAMP '2026-01-01' AS event_timestamp`,
    features: { x: type },
  });
  assert.deepEqual(bad, []);
  return (values[0] as FeatureValue[])[0] as FeatureValue;
}

async function failure(shape: Shape, run: Partial<OfflineRun> = {}): Promise<AntipodeError> {
  const caught: unknown = await compute(shape, run).then(
    () => assert.fail('computed'),
    (error: unknown) => error,
  );
  assert.ok(caught instanceof AntipodeError, String(caught));
  assert.equal(caught.code, 'SOURCE_FAILED');
  return caught;
}

const TRIPS = 'SELECT id, driver, fare, started AS event_timestamp FROM trips';

test('under feature granularity the SQL may yield some of the features; the rows say which', async () => {
  const shape: Shape = {
    sql: "SELECT 1 AS id, 2.5 AS fare, TIMESTAMP '2026-01-01' AS event_timestamp",
    features: { driver: 'string', fare: 'float64' },
  };
  assert.match((await failure(shape)).message, /the column driver is missing/);
  const view = { ...codecOf(shape).view, granularity: 'feature' as const };
  const codec = new ViewCodec(view);
  const rows: OfflineRow[] = [];
  for await (const batch of (await store.compute({ codec })).batches) rows.push(...batch.rows);
  assert.deepEqual(rows[0]?.features, [1]);
  assert.deepEqual(codec.decodeFeatures([1], rows[0]?.row ?? Buffer.alloc(0)), [2.5]);
});

test('rows stream in batches, in the order of the SQL', async () => {
  const result = await compute(
    {
      sql: `${TRIPS} ORDER BY id DESC`,
      features: { driver: 'string', fare: 'float64' },
      sources: { trips: "it's.parquet" },
    },
    { batchRows: 500 },
  );
  assert.equal(result.rows.length, 5000);
  assert.ok(Math.max(...result.batchSizes) <= 500);
  assert.deepEqual(result.keys[0], [4999n]);
  assert.deepEqual(result.values[0], ['d4999', 7498.5]);
  assert.equal(result.times[4999], Date.UTC(2026, 0, 1) * 1000);
});

test('CSV and JSON are sources, and a path can be replaced', async () => {
  for (const path of ['trips.csv', 'trips.json']) {
    const features = { driver: 'string', fare: 'float64' };
    const direct = await compute({ sql: TRIPS, features, sources: { trips: path } });
    assert.equal(direct.rows.length, 10);
    const parquet = await compute({ sql: `${TRIPS} LIMIT 10`, features, sources: { trips: "it's.parquet" } });
    assert.deepEqual(
      direct.rows.map((row) => row.row),
      parquet.rows.map((row) => row.row),
    );
  }
  const replaced = await compute(
    { sql: TRIPS, features: { fare: 'float64' }, sources: { trips: 'absent.csv' } },
    { sourcePaths: { trips: join(folder, 'trips.csv') } },
  );
  assert.equal(replaced.rows.length, 10);
});

test('the number of rows is known for sorted SQL and for a plain scan, and not guessed otherwise', async () => {
  const features = { fare: 'float64' };
  const cases: [string, number | null][] = [
    [TRIPS, 5000],
    [`${TRIPS} WHERE id < 100`, null],
    [`${TRIPS} WHERE id < 100 ORDER BY id; -- done`, 100],
    [`WITH t AS MATERIALIZED (${TRIPS}) SELECT * FROM t WHERE id < 7 ORDER BY fare DESC`, 7],
    [`SELECT id, max(fare) AS fare, max(started) AS event_timestamp FROM trips GROUP BY id`, null],
  ];
  for (const [sql, expected] of cases) {
    const computation = await store.compute({ codec: codecOf({ sql, features, sources: { trips: "it's.parquet" } }) });
    assert.equal(computation.rowsExpected, expected, sql);
    let rowsRead = 0;
    for await (const batch of computation.batches) rowsRead = batch.rowsRead;
    assert.equal(rowsRead, expected ?? rowsRead);
  }
});

test('$today is the day of the run', async () => {
  const shape: Shape = {
    sql: 'SELECT 1 AS id, $today AS x, $today::TIMESTAMP AS event_timestamp',
    features: { x: 'timestamp' },
  };
  const { values, times } = await compute(shape, { today: '2026-11-23' });
  assert.deepEqual(values, [[Date.UTC(2026, 10, 23) * 1000]]);
  assert.deepEqual(times, [Date.UTC(2026, 10, 23) * 1000]);
  const [now] = (await compute(shape)).times;
  assert.equal((now as number) % 86_400_000_000, 0);
  assert.ok(Math.abs((now as number) / 1000 - Date.now()) < 2 * 86_400_000);
  assert.match((await failure(shape, { today: '2026-02-30' })).message, /today is not a day/);
  assert.match((await failure({ ...shape, sql: 'SELECT $x AS x' })).message, /unknown parameter \$x/);
});

test('integers of every width are exact', async () => {
  for (const type of [
    'TINYINT',
    'SMALLINT',
    'INTEGER',
    'UTINYINT',
    'USMALLINT',
    'UINTEGER',
    'BIGINT',
    'UBIGINT',
    'HUGEINT',
    'UHUGEINT',
  ]) {
    assert.equal(await value('int32', `42::${type}`), 42, type);
    assert.equal(await value('int64', `42::${type}`), 42n, type);
    assert.equal(await value('float64', `42::${type}`), 42, type);
  }
  assert.equal(await value('int64', '9007199254740993'), 9007199254740993n);
  assert.equal(await value('int64', '(-9223372036854775808)::HUGEINT'), -9223372036854775808n);
  assert.equal(await value('int64', '123.00::DECIMAL(38,2)'), 123n);
  assert.equal(await value('int32', '-7::DECIMAL(4,0)'), -7);
  assert.equal(await value('int64', 'NULL::BIGINT'), null);
});

test('floats keep their bits, decimals give the nearest double', async () => {
  assert.equal(await value('float64', '0.1::DOUBLE'), 0.1);
  assert.equal(await value('float64', '0.1::DECIMAL(18,3)'), 0.1);
  assert.equal(
    await value('float64', '123456789012345678901234567890.12345678::DECIMAL(38,8)'),
    Number('123456789012345678901234567890.12345678'),
  );
  assert.equal(await value('float64', '0.1::FLOAT'), Math.fround(0.1));
  assert.equal(await value('float32', '0.1::DOUBLE'), Math.fround(0.1));
  assert.ok(Object.is(await value('float64', "'-0.0'::DOUBLE"), -0));
  assert.ok(Number.isNaN(await value('float64', "'nan'::DOUBLE")));
});

test('text, bytes, booleans and lists', async () => {
  assert.equal(await value('string', "'Grüße 😀'"), 'Grüße 😀');
  assert.equal(await value('string', "''"), '');
  assert.equal(await value('string', "repeat('x', 1000)"), 'x'.repeat(1000));
  assert.equal(await value('string', "'b'::ENUM('a', 'b')"), 'b');
  assert.equal(
    await value('string', "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID"),
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  );
  assert.deepEqual(await value('bytes', "'\\x00\\xFF'::BLOB"), new Uint8Array([0, 255]));
  assert.equal(await value('bool', 'true'), true);
  assert.deepEqual(await value('list<int64>', '[1, 2, 3]'), [1n, 2n, 3n]);
  assert.deepEqual(await value('list<int32>', '[]::BIGINT[]'), []);
  assert.deepEqual(await value('list<float32>', '[0.1, 2]::DOUBLE[2]'), [Math.fround(0.1), 2]);
  assert.deepEqual(await value('list<string>', "['a', '']"), ['a', '']);
  assert.deepEqual(await value('list<timestamp>', "[DATE '1970-01-02']"), [86_400_000_000]);
});

test('every timestamp type becomes microseconds, whatever the zone of the machine', async () => {
  const us = Date.UTC(2026, 7, 2, 10, 0, 0) * 1000;
  assert.equal(await value('timestamp', "TIMESTAMP '2026-08-02 10:00:00.000001'"), us + 1);
  assert.equal(await value('timestamp', "TIMESTAMPTZ '2026-08-02 12:00:00+02'"), us);
  assert.equal(await value('timestamp', "'2026-08-02 10:00:00'::TIMESTAMP_S"), us);
  assert.equal(await value('timestamp', "'2026-08-02 10:00:00.001'::TIMESTAMP_MS"), us + 1000);
  assert.equal(await value('timestamp', "'2026-08-02 10:00:00.000001999'::TIMESTAMP_NS"), us + 1);
  assert.equal(await value('timestamp', "'1969-12-31 23:59:59.999999999'::TIMESTAMP_NS"), -1);
  assert.equal(await value('timestamp', "DATE '2026-08-02'"), us - 36_000_000_000);
  assert.equal(await value('timestamp', "TIMESTAMP '2026-08-02 10:00:00'::TIMESTAMPTZ"), us);
});

test('bad rows are reported by index and left out', async () => {
  const { keys, bad } = await compute({
    sql: `SELECT * FROM (VALUES
      (0, 1::BIGINT, 1.0::DOUBLE, [1], TIMESTAMP '2026-01-01'),
      (1, 2147483648, 1.0, [1], TIMESTAMP '2026-01-01'),
      (2, 1, 'inf'::DOUBLE, [1], TIMESTAMP '2026-01-01'),
      (3, 1, 1.0, [1, NULL], TIMESTAMP '2026-01-01'),
      (4, 1, 1.0, [1], NULL),
      (NULL, 1, 1.0, [1], TIMESTAMP '2026-01-01'),
      (6, NULL, 1.0, [1], TIMESTAMP '2026-01-01'),
      (7, 1, 1.0, [1], 'infinity'::TIMESTAMP),
      (8, 1, 1.0, [1], TIMESTAMP '2400-01-01'),
      (9, 1, 1.0, [1], TIMESTAMP '2026-01-01')
    ) t(id, small, ratio, list, event_timestamp)`,
    features: { small: 'int32', ratio: 'float64', list: 'list<int32>' },
    nullable: false,
  });
  assert.deepEqual(keys, [[0n], [9n]]);
  assert.deepEqual(
    bad.map((row) => `${row.index} ${row.reason}`.replace('view sample, column ', '')),
    [
      '1 small: 2147483648 is outside the range of int32',
      '2 ratio: Infinity cannot be stored: JSON serving has no form for it',
      '3 list: element 1 of the list is null',
      '4 event_timestamp: the event time is null',
      '5 id: the join key is null',
      '6 small: expected an int32, got null',
      '7 event_timestamp: infinity is outside the years 1684 to 2255',
      '8 event_timestamp: 2400-01-01 00:00:00 is outside the years 1684 to 2255',
    ],
  );
});

test('integers without exact double, and decimals with a fraction, are bad rows rather than rounded', async () => {
  const { bad } = await compute({
    sql: `SELECT * FROM (VALUES (1, 9007199254740993, 1.0), (2, 1, 1.5)) t(id, f, i) CROSS JOIN (SELECT TIMESTAMP '2026-01-01' AS event_timestamp)`,
    features: { f: 'float64', i: 'int32' },
  });
  assert.deepEqual(
    bad.map((row) => row.reason),
    [
      'view sample, column f: 9007199254740993 has no exact floating-point form',
      'view sample, column i: 1.5 is not a whole number',
    ],
  );
});

test('columns that are missing or do not fit are named before any row', async () => {
  const cases: [string, string, RegExp][] = [
    ['int64', '1.5::DOUBLE AS x', /column x is DOUBLE, which does not fit int64: cast it to BIGINT/],
    ['int32', "'1' AS x", /column x is VARCHAR, which does not fit int32/],
    ['string', "DATE '2026-01-01' AS x", /column x is DATE, which does not fit string: cast it to VARCHAR/],
    ['string', 'NULL AS x', /column x is INTEGER, which does not fit string/],
    ['bool', '1 AS x', /does not fit bool: cast it to BOOLEAN/],
    ['list<int32>', '1 AS x', /column x is INTEGER, which does not fit list<int32>: cast it to INTEGER\[\]/],
    ['list<int32>', "['a'] AS x", /VARCHAR\[\], which does not fit/],
    ['int32', "{'a': 1} AS x", /STRUCT/],
    ['int32', '1 AS xx', /column x is missing; did you mean "xx"\?/],
    ['int32', '1 AS x, 2 AS x', /column x appears twice/],
  ];
  for (const [type, expression, message] of cases) {
    const error = await failure({
      sql: `SELECT 1 AS id, ${expression}, TIMESTAMP '2026-01-01' AS event_timestamp`,
      features: { x: type },
    });
    assert.match(error.message, message);
    assert.match(error.message, /view sample/);
  }
  const error = await failure({ sql: 'SELECT 1 AS x, 5 AS event_timestamp', features: { x: 'int32' } });
  assert.match(error.message, /column id is missing; .*event_timestamp is INTEGER, which does not fit an event time/);
});

test('what DuckDB refuses is SOURCE_FAILED in its own words', async () => {
  const features = { fare: 'float64' };
  const cases: [Shape, RegExp][] = [
    [{ sql: 'SELEC 1', features }, /Parser Error: syntax error at or near "SELEC"/],
    [
      { sql: 'SELECT nope FROM trips', features, sources: { trips: 'trips.csv' } },
      /Binder Error: Referenced column "nope" not found/,
    ],
    [{ sql: TRIPS, features, sources: { trips: 'absent.parquet' } }, /No files found that match/],
    [{ sql: TRIPS, features, sources: { trips: 'trips.csv', other: 'broken.parquet' } }, /broken\.parquet/],
    [{ sql: 'SELECT 1; SELECT 2', features }, /has 2 statements/],
    [{ sql: 'CREATE TABLE x (a INT)', features }, /not a SELECT/],
    [{ sql: '-- nothing', features }, /has no statement/],
    [
      {
        sql: "SELECT 1 AS id, 1.0::DOUBLE AS fare, CASE WHEN range > 4000 THEN 'x' ELSE '2026-01-01' END::TIMESTAMP AS event_timestamp FROM range(5000)",
        features,
      },
      /Conversion Error/,
    ],
    [{ sql: null, features }, /pushed only/],
  ];
  await writeFile(join(folder, 'broken.parquet'), 'PAR1 not really PAR1');
  for (const [shape, message] of cases) {
    const error = await failure(shape);
    assert.match(error.message, message);
    assert.equal(error.where, 'sample');
  }
  const unknown = await failure(
    { sql: TRIPS, features, sources: { trips: 'trips.csv' } },
    { sourcePaths: { trip: 'x.csv' } },
  );
  assert.match(unknown.message, /no source "trip"; did you mean "trips"\?/);
});

test('a computation ends when its signal is raised, and when it is left early', { timeout: 20_000 }, async () => {
  const endless =
    "SELECT a.range AS id, TIMESTAMP '2026-01-01' AS event_timestamp, sum(b.range) AS fare FROM range(100000) a, range(100000000) b GROUP BY ALL ORDER BY ALL";
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('enough')), 100);
  await assert.rejects(
    compute({ sql: endless, features: { fare: 'float64' } }, { signal: controller.signal }),
    /^Error: enough$/,
  );
  await assert.rejects(
    compute({ sql: endless, features: {} }, { signal: AbortSignal.abort(new Error('before')) }),
    /^Error: before$/,
  );
  const later = new AbortController();
  const codec = codecOf({
    sql: "SELECT range AS id, TIMESTAMP '2026-01-01' AS event_timestamp FROM range(10000000)",
    features: {},
  });
  await assert.rejects(async () => {
    for await (const batch of (await store.compute({ codec, signal: later.signal })).batches)
      if (batch.rowsRead >= 1000) later.abort(new Error('later'));
  }, /^Error: later$/);
  for await (const batch of (await store.compute({ codec })).batches) if (batch.rowsRead >= 1000) break;
});
