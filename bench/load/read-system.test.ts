import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { loadProject } from '#adapters/project-files/load-project';
import { featureNames, JOIN_KEY, NARROW_VIEWS, type Row, RowMaker } from '../lib/rows.ts';
import { Scope, WrongAnswer } from '../lib/scope.ts';
import { newProject } from '../lib/stage.ts';
import { assertRow, columnsOf } from './antipode-contender.ts';
import { ConstantSystem, FeastFormSystem, type ReadShape, RedisSystem } from './read-system.ts';

const ENDPOINT = { region: 'r1', host: '127.0.0.1', port: 1, token: 'secret' };
const POOL: readonly Row[] = Array.from({ length: 50 }, (_, row) =>
  Array.from({ length: 10 }, (_, feature) => (feature % 4 === 3 ? Math.fround(row + 0.1) : row * 10 + feature)),
);
const VIEWS = NARROW_VIEWS.slice(0, 2);
const SHAPE: ReadShape = { entities: 2, views: VIEWS };
const KEYS = [3, 4];

async function makers(): Promise<ReadonlyMap<string, RowMaker>> {
  const scope = new Scope();
  const { views } = await loadProject(await newProject(scope, { regions: 1 }));
  await scope.end();
  return new Map(views.map((view) => [view.name, new RowMaker(view, POOL)]));
}

/** An answer in Feast's form, its features backwards, with `change` made to the values. */
function answer(of: ReadonlyMap<string, RowMaker>, generation: number, change: (columns: unknown[][]) => void): Buffer {
  const names = VIEWS.flatMap(featureNames);
  const rows = KEYS.map((key) => VIEWS.flatMap((view) => of.get(view)?.values(key, generation) ?? []));
  const columns = names.map((_, at): unknown[] => rows.map((row) => row[at]));
  change(columns);
  const results = [...columns.toReversed(), ['a', 'b']].map((values) => ({ values }));
  return Buffer.from(JSON.stringify({ metadata: { feature_names: [...names.toReversed(), JOIN_KEY] }, results }));
}

suite('answers are verified', () => {
  test('what was written is right, in whatever order features come, of any generation that may be there', async () => {
    const known = await makers();
    const system = new FeastFormSystem(ENDPOINT, known);
    for (const generation of [1, 2]) {
      const bytes = answer(known, generation, () => undefined);
      system.verify(bytes, KEYS, SHAPE, [1, 2]);
    }
  });

  test('another value, another generation, a missing value or a missing feature is wrong', async () => {
    const known = await makers();
    const system = new FeastFormSystem(ENDPOINT, known);
    const wrong: [string, Buffer][] = [
      ['value', answer(known, 1, (columns) => Object.assign(columns[7] ?? [], { 1: -1 }))],
      ['null', answer(known, 1, (columns) => Object.assign(columns[0] ?? [], { 0: null }))],
      ['generation', answer(known, 3, () => undefined)],
      ['rows exchanged', answer(known, 1, (columns) => columns.forEach((column) => void column.reverse()))],
    ];
    for (const [what, bytes] of wrong)
      assert.throws(() => system.verify(bytes, KEYS, SHAPE, [1, 2]), WrongAnswer, what);
    const empty = Buffer.from('{"metadata":{"feature_names":[]},"results":[]}');
    assert.throws(() => system.verify(empty, KEYS, SHAPE, [1, 2]), WrongAnswer);
    assert.throws(() => columnsOf(503, Buffer.from('busy'), ['a']), /503/);
  });

  test('Redis and the constant server are held to the same', async () => {
    const known = await makers();
    const redis = new RedisSystem(1, known);
    const replies = KEYS.flatMap((key) => VIEWS.map((view) => known.get(view)?.values(key, 1).map(String) ?? []));
    redis.verify(replies, KEYS, SHAPE, [1]);
    assert.throws(() => redis.verify(replies.toReversed(), KEYS, SHAPE, [1]), WrongAnswer);
    const constant = new ConstantSystem(ENDPOINT, known, Buffer.from('abc'));
    constant.verify(Buffer.from('abc'));
    assert.throws(() => constant.verify(Buffer.from('abd')), WrongAnswer);
  });

  test('a float of four bytes is right in its shortest form, and nothing else is', () => {
    assertRow('here', [0.1], [Math.fround(0.1)]);
    assert.throws(() => assertRow('here', [0.11], [Math.fround(0.1)]), WrongAnswer);
    assert.throws(() => assertRow('here', [], [1]), WrongAnswer);
  });
});
