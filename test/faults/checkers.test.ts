// Each checker is shown a history that is right, and the same with the one thing wrong that it is there for.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { checkHistory } from './checkers.ts';
import { type FinalRegion, History, type HistoryLine, type ReadAttempt, type WriteAttempt } from './history.ts';

const OLD = 'default/0/ap/01';
const NEW = 'default/0/eu/02';

function write(fields: Partial<WriteAttempt> & { readonly write: number; readonly at: number }): WriteAttempt {
  const { at, ...rest } = fields;
  return {
    kind: 'write',
    session: 'client-1',
    region: 'ap',
    key: 1,
    operation: 'upsert',
    eventMs: at,
    invokedMs: at,
    completedMs: at + 10,
    outcome: 'ok',
    code: null,
    token: true,
    positions: { [OLD]: rest.write },
    duplicate: false,
    headers: {},
    ...rest,
  };
}

function read(fields: Partial<ReadAttempt> & { readonly write: number | null; readonly at: number }): ReadAttempt {
  const { at, ...rest } = fields;
  return {
    kind: 'read',
    session: 'client-1',
    region: 'us',
    key: 1,
    level: 'eventual',
    met: null,
    maxStalenessMs: null,
    stale: false,
    freshnessMs: null,
    status: 'PRESENT',
    intact: true,
    invokedMs: at,
    completedMs: at + 5,
    outcome: 'ok',
    code: null,
    token: true,
    headers: {},
    ...rest,
  };
}

function region(name: string, served: number, more: Partial<FinalRegion> = {}): FinalRegion {
  const valid = Object.fromEntries(Array.from({ length: served }, (_, index) => [index + 1, 1]));
  return {
    kind: 'region',
    region: name,
    rows: { '01': `row ${served}` },
    served: { 1: served },
    valid,
    tails: {},
    ...more,
  };
}

/** A history with its ends: two regions that hold `last` writes, all of one epoch unless `lines` says otherwise. */
function history(lines: readonly HistoryLine[], ends: readonly HistoryLine[] = []): History {
  const whole = new History();
  whole.add({
    kind: 'run',
    scenario: 'test',
    seed: 1,
    weakened: null,
    regions: ['ap', 'us'],
    tail: 'replay',
    clockSkewMs: 0,
  });
  for (const line of lines) whole.add(line);
  if (!ends.some(({ kind }) => kind === 'lease'))
    whole.add({ kind: 'lease', epoch: 1, streams: [OLD], seals: {}, lossy: [] });
  for (const line of ends) whole.add(line);
  return whole;
}

function broken(lines: readonly HistoryLine[], ends: readonly HistoryLine[] = []): string[] {
  return checkHistory(history(lines, ends)).violations.map(({ checker }) => checker);
}

suite('checkers', () => {
  const first = write({ write: 1, at: 0 });
  const second = write({ write: 2, at: 100 });

  test('intact: another value, another key, a value from nowhere, one that was refused', () => {
    assert.deepEqual(broken([first, read({ write: 1, at: 50 })]), []);
    assert.deepEqual(broken([first, read({ write: 1, at: 50, intact: false })]), ['intact']);
    assert.deepEqual(broken([first, read({ write: 1, at: 50, key: 2 })]), ['intact']);
    assert.deepEqual(broken([first, read({ write: 7, at: 50 })]), ['intact']);
    assert.deepEqual(broken([{ ...first, outcome: 'refused', positions: null }, read({ write: 1, at: 50 })]), [
      'intact',
    ]);
    assert.deepEqual(broken([{ ...first, outcome: 'unknown', positions: null }, read({ write: 1, at: 50 })]), []);
    assert.deepEqual(broken([second, read({ write: 2, at: 50 })]), ['intact']);
  });

  test('epochs: the old hub accepts what began after the new one had answered', () => {
    const lease: HistoryLine = { kind: 'lease', epoch: 2, streams: [NEW], seals: { 1: { [OLD]: 1 } }, lossy: [1] };
    const late = write({ write: 3, at: 200 });
    const newer = { ...second, positions: { [NEW]: 1 } };
    assert.deepEqual(broken([first, newer, late], [lease]), ['epochs']);
    assert.deepEqual(broken([first, newer, { ...late, duplicate: true }], [lease]), []);
    assert.deepEqual(broken([first, newer, { ...late, invokedMs: 105 }], [lease]), [], 'it began before the answer');
  });

  test('session: a read that forgets what its session wrote or read', () => {
    const met = { met: 'session' } as const;
    assert.deepEqual(broken([first, read({ write: 1, at: 50, ...met })]), []);
    assert.deepEqual(broken([first, read({ write: null, at: 50, ...met })]), ['session']);
    assert.deepEqual(broken([first, read({ write: null, at: 50, ...met, session: 'client-2' })]), []);
    const other = { session: 'client-2' };
    const seen = read({ write: 2, at: 150, ...other });
    assert.deepEqual(broken([first, second, seen, read({ write: 1, at: 200, ...met, ...other })]), ['session']);
    assert.deepEqual(
      broken([first, second, { ...seen, token: false }, read({ write: 1, at: 200, ...met, ...other })]),
      [],
      'without a token nothing was promised',
    );
  });

  test('freshness and bounded: what is older than the bound is missing', () => {
    const fresh = read({ write: 1, at: 400, freshnessMs: 300 });
    assert.deepEqual(broken([first, second, fresh]), []);
    assert.deepEqual(broken([first, second, { ...fresh, freshnessMs: 100 }]), ['freshness']);
    const bounded = read({ write: 1, at: 400, met: 'bounded', maxStalenessMs: 300 });
    assert.deepEqual(broken([first, second, bounded]), []);
    assert.deepEqual(broken([first, second, { ...bounded, maxStalenessMs: 100 }]), ['bounded']);
    assert.deepEqual(broken([first, second, { ...bounded, maxStalenessMs: 100, stale: true }]), [], 'it says so');
  });

  test('eventual: a region that does not show the last write when all is settled, or another than the others', () => {
    const settled: HistoryLine = { kind: 'settled', atMs: 1000 };
    const late = read({ write: 2, at: 1500 });
    assert.deepEqual(broken([first, second, settled, late]), []);
    assert.deepEqual(broken([first, second, settled, read({ write: 1, at: 1500 })]), ['eventual']);
    assert.deepEqual(broken([first, second, settled, read({ write: null, at: 1500 })]), ['eventual']);
    assert.deepEqual(broken([first, second, settled, read({ write: 1, at: 900 })]), [], 'it was not yet settled');
    const third = write({ write: 3, at: 200, outcome: 'unknown', positions: null });
    const other = read({ write: 3, at: 1600, region: 'ap' });
    assert.deepEqual(broken([first, second, third, settled, late, other]), ['eventual'], 'ap has it, us has not');
  });

  test('deletes: a row that comes back, and one that is gone though it was written again', () => {
    const gone = write({ write: 3, at: 200, operation: 'delete' });
    const again = write({ write: 4, at: 300 });
    for (const level of ['session', 'strong'] as const) {
      const reading = (fields: Parameters<typeof read>[0]) => read({ ...fields, met: level });
      assert.deepEqual(broken([first, second, gone, reading({ write: null, at: 250 })]), []);
      assert.deepEqual(broken([first, second, gone, reading({ write: 2, at: 250 })]), [level], 'it comes back');
      assert.deepEqual(broken([first, second, gone, reading({ write: null, at: 150 })]), [level], 'not yet deleted');
      assert.deepEqual(
        broken([first, second, gone, reading({ write: null, at: 199 })]),
        [],
        'the delete was on its way',
      );
      assert.deepEqual(broken([first, second, gone, again, reading({ write: 4, at: 350 })]), []);
      assert.deepEqual(broken([first, second, gone, again, reading({ write: null, at: 350 })]), [level]);
    }
    const ends = (served: number) => ['ap', 'us'].map((name) => region(name, served, { valid: { 1: 1, 2: 1, 3: 1 } }));
    assert.deepEqual(broken([first, second, gone], ends(3)), []);
    assert.deepEqual(broken([first, second, gone], ends(2)), ['acknowledged']);
  });

  test('strong: a read without a write acknowledged before it, or behind an earlier strong read', () => {
    const strong = { met: 'strong' } as const;
    assert.deepEqual(broken([first, second, read({ write: 2, at: 150, ...strong })]), []);
    assert.deepEqual(broken([first, second, read({ write: 1, at: 150, ...strong })]), ['strong']);
    assert.deepEqual(broken([first, second, read({ write: 1, at: 105, ...strong })]), [], 'the write was on its way');
    const slow = { ...second, completedMs: 1000 };
    const lines = [first, slow, read({ write: 2, at: 150, ...strong }), read({ write: 1, at: 200, ...strong })];
    assert.deepEqual(broken(lines), ['strong']);
    const tail: HistoryLine = { kind: 'lease', epoch: 2, streams: [NEW], seals: { 1: { [OLD]: 1 } }, lossy: [1] };
    assert.deepEqual(broken([first, second, read({ write: 1, at: 150, ...strong })], [tail]), [], 'it became a tail');
    // The second try of a tail was accepted by the next hub: what was read in between need not show it.
    const again = write({ write: 2, at: 300, positions: { [NEW]: 1 } });
    assert.deepEqual(broken([first, second, again, read({ write: 1, at: 150, ...strong })], [tail]), []);
    assert.deepEqual(broken([first, second, again, read({ write: 1, at: 350, ...strong })], [tail]), ['strong']);
  });

  test('beyond-seal: a tail is read from a region that has known its seal for long, or stays there', () => {
    const lease: HistoryLine = { kind: 'lease', epoch: 2, streams: [NEW], seals: { 1: { [OLD]: 1 } }, lossy: [1] };
    const later = { headers: { 'antipode-epoch': '2' } };
    const tail = { valid: { 1: 1 }, tails: { 2: 1 } };
    const ends = [lease, region('ap', 1, tail), region('us', 1, tail)];
    const reading = (at: number, known = later): HistoryLine[] => [
      first,
      second,
      read({ write: 1, at: 150, ...known }),
      read({ write: 2, at, key: 1, ...known }),
    ];
    const found = (lines: readonly HistoryLine[], more = ends): string[] =>
      broken(lines, more).filter((checker) => checker !== 'acknowledged');
    assert.deepEqual(found(reading(2000)), ['beyond-seal']);
    assert.deepEqual(found(reading(200)), [], 'it has just learned of it');
    assert.deepEqual(found(reading(2000, { headers: { 'antipode-epoch': '1' } })), [], 'it does not know');
    const elsewhere = read({ write: 1, at: 150, headers: { 'antipode-epoch': '2', 'antipode-read-in': 'ap' } });
    const known = { headers: { 'antipode-epoch': '1', 'antipode-read-in': 'us' } };
    const asked = [first, second, elsewhere, read({ write: 2, at: 2000, ...known })];
    assert.deepEqual(found(asked), [], 'another region knew, and answered the first of them');
    const still = { headers: { 'antipode-epoch': '2', 'antipode-read-in': 'ap' } };
    assert.deepEqual(found([...asked, read({ write: 2, at: 2000, ...still })]), ['beyond-seal']);
    assert.deepEqual(found([first, second], [lease, region('ap', 2, tail), region('us', 2, tail)]), ['beyond-seal']);
  });

  test('ends: regions differ, a change twice, one that was refused, one that is gone', () => {
    const lines = [first, second];
    assert.deepEqual(broken(lines, [region('ap', 2), region('us', 2)]), []);
    assert.deepEqual(broken(lines, [region('ap', 2), region('us', 2, { rows: { '01': 'another' } })]), ['identical']);
    assert.deepEqual(broken(lines, [region('ap', 2), region('us', 2, { valid: { 1: 1, 2: 2 } })]), ['once']);
    const refused: WriteAttempt = { ...second, outcome: 'refused', positions: null };
    assert.deepEqual(broken([first, refused], [region('ap', 2), region('us', 2)]), ['refused']);
    const rows = { rows: { '01': 'row 1' } };
    assert.deepEqual(broken(lines, [region('ap', 1, rows), region('us', 1, rows)]), ['acknowledged']);
    const outranked = { ...rows, valid: { 1: 1, 2: 1 } };
    assert.deepEqual(broken(lines, [region('ap', 1, outranked), region('us', 1, outranked)]), ['acknowledged']);
  });

  test('tails that are kept count as there, and need not be served', () => {
    const lines = [first, second];
    const ends = ['ap', 'us'].map((name) =>
      region(name, 1, { rows: { '01': 'row 1' }, tails: name === 'ap' ? { 2: 1 } : {} }),
    );
    assert.deepEqual(broken(lines, ends), ['acknowledged'], 'a tail that was to be replayed');
    const kept = new History();
    for (const line of history(lines, ends).lines) kept.add(line.kind === 'run' ? { ...line, tail: 'keep' } : line);
    assert.deepEqual(checkHistory(kept).violations, []);
  });
});
