import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAcknowledged, checkHistory } from '#sim/oracle/history/check-history';
import type { Operation, ReadOperation, WriteOperation } from '#sim/oracle/history/types';

let next = 0;

function write(fields: Partial<WriteOperation> & { readonly at: number; readonly time: number }): WriteOperation {
  const id = fields.id ?? `w${next++}`;
  return {
    kind: 'write',
    id,
    session: null,
    region: 'a',
    namespace: 'n',
    invokedMs: fields.at,
    completedMs: fields.at + 1,
    outcome: 'ok',
    code: null,
    epoch: 1,
    changes: [{ register: 'r', value: id, rank: { eventTimeUs: fields.time, order: null } }],
    ...fields,
  };
}

function read(fields: Partial<ReadOperation> & { readonly at: number; readonly finds: WriteOperation | null }) {
  const change = fields.finds?.changes[0];
  const operation: ReadOperation = {
    kind: 'read',
    id: `r${next++}`,
    session: null,
    region: 'b',
    namespace: 'n',
    invokedMs: fields.at,
    completedMs: fields.at + 1,
    outcome: 'ok',
    code: null,
    epoch: 1,
    level: 'eventual',
    maxStalenessMs: null,
    stale: false,
    rows: [{ register: 'r', value: change?.value ?? null, rank: change?.rank ?? null }],
    ...fields,
  };
  return operation;
}

function promises(history: readonly Operation[]): string[] {
  return checkHistory(history).map(({ promise }) => promise);
}

const old = write({ at: 0, time: 10 });
const mine = write({ at: 10, time: 20, session: 's' });
const later = write({ at: 12, time: 30 });

test('a session shows its own writes, or what outranks them', () => {
  const asked = { at: 20, session: 's', level: 'session' as const };
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: mine })]), []);
  assert.deepEqual(promises([old, mine, later, read({ ...asked, finds: later })]), []);
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: old })]), ['session']);
  assert.deepEqual(promises([mine, read({ ...asked, finds: null })]), ['session']);
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: old, stale: true })]), []);
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: old, level: 'eventual' })]), []);
  assert.deepEqual(promises([old, { ...mine, outcome: 'unknown' }, read({ ...asked, finds: old })]), []);
});

test('a session never goes back behind what it read', () => {
  const first = read({ at: 20, session: 's', finds: later });
  const asked = { session: 's', level: 'session' as const };
  assert.deepEqual(promises([old, later, first, read({ ...asked, at: 30, finds: old })]), ['session']);
  assert.deepEqual(promises([old, later, first, read({ ...asked, at: 30, finds: later })]), []);
  // Begun before the first one ended: the two are not in order.
  assert.deepEqual(promises([old, later, first, read({ ...asked, at: 20.5, finds: old })]), []);
});

test('a delete explains a missing row, and nothing else does', () => {
  const gone = write({
    at: 15,
    time: 25,
    changes: [{ register: 'r', value: null, rank: { eventTimeUs: 25, order: null } }],
  });
  const asked = { at: 20, session: 's', level: 'session' as const, finds: null };
  assert.deepEqual(promises([mine, gone, read(asked)]), []);
  assert.deepEqual(promises([mine, { ...gone, outcome: 'refused' }, read(asked)]), ['session']);
  assert.deepEqual(promises([mine, { ...gone, invokedMs: 40, completedMs: 41 }, read(asked)]), ['session']);
});

test('a bounded read shows all that is older than its bound', () => {
  const asked = { at: 100, level: 'bounded' as const, maxStalenessMs: 50 };
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: old })]), ['bounded']);
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: mine })]), []);
  assert.deepEqual(promises([old, mine, read({ ...asked, maxStalenessMs: 90, finds: old })]), []);
  const excess = checkHistory([old, mine, read({ ...asked, finds: old })], { lossyEpochs: {}, clockExcessMs: 40 });
  assert.deepEqual(excess, []);
});

test('a strong read shows all that was acknowledged or strongly read before it began', () => {
  const asked = { at: 100, level: 'strong' as const };
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: old })]), ['strong']);
  assert.deepEqual(promises([old, mine, read({ ...asked, finds: mine })]), []);
  // An unknown write need not be there; once it was read it must stay.
  const open: WriteOperation = { ...later, outcome: 'unknown', completedMs: null };
  assert.deepEqual(promises([old, mine, open, read({ ...asked, finds: mine })]), []);
  const shown = read({ ...asked, finds: open });
  assert.deepEqual(promises([old, mine, open, shown, read({ ...asked, at: 200, finds: mine })]), ['strong']);
  assert.deepEqual(promises([old, mine, open, shown, read({ ...asked, at: 100.5, finds: mine })]), []);
});

test('a lossy end of an epoch excuses later reads of what came before it', () => {
  const asked = read({ at: 100, level: 'strong', finds: old, epoch: 2 });
  assert.deepEqual(checkHistory([old, mine, asked], { lossyEpochs: { n: [1] }, clockExcessMs: 0 }), []);
  const clean = checkHistory([old, mine, asked], { lossyEpochs: { n: [2] }, clockExcessMs: 0 });
  assert.deepEqual(
    clean.map(({ promise }) => promise),
    ['strong'],
  );
});

test('a value that nobody had written by then is a phantom, and so is one of a refused write', () => {
  assert.deepEqual(promises([read({ at: 5, finds: later }), later]), ['no-phantom']);
  assert.deepEqual(promises([{ ...mine, outcome: 'refused' }, read({ at: 50, finds: mine })]), ['no-phantom']);
});

test('equal event times are told apart by the rest of the stamp, or not at all', () => {
  const ranked = (id: string, at: number, order: string | null) =>
    write({ id, at, time: 5, session: 's', changes: [{ register: 'r', value: id, rank: { eventTimeUs: 5, order } }] });
  const low = ranked('low', 0, '01');
  const high = ranked('high', 2, '02');
  const asked = { at: 20, session: 's', level: 'session' as const };
  assert.deepEqual(promises([low, high, read({ ...asked, finds: low })]), ['session']);
  assert.deepEqual(promises([low, high, read({ ...asked, finds: high })]), []);
  assert.deepEqual(
    promises([ranked('one', 0, null), ranked('two', 2, null), read({ ...asked, finds: ranked('one', 0, null) })]),
    [],
  );
});

test('acknowledged writes are there in the end, outranked or excused', () => {
  const end = (found: WriteOperation) => ({
    region: 'b',
    rows: new Map(found.changes.map((change) => [change.register, change])),
  });
  assert.deepEqual(checkAcknowledged([old, mine], end(mine)), []);
  assert.equal(checkAcknowledged([old, mine], end(old)).length, 1);
  assert.deepEqual(checkAcknowledged([old, mine], end(old), new Set([mine.id])), []);
});

test('a session stamps its later writes above all that it saw', () => {
  const stamped = (id: string, at: number, order: string | null, session = 's') =>
    write({
      id,
      at,
      time: 5,
      session,
      changes: [{ register: `only ${id}`, value: id, rank: { eventTimeUs: 5, order } }],
    });
  assert.deepEqual(promises([stamped('a', 0, '02'), stamped('b', 5, '03')]), []);
  assert.deepEqual(promises([stamped('a', 0, '02'), stamped('b', 5, '01')]), ['causal']);
  assert.deepEqual(promises([stamped('a', 0, '02'), stamped('b', 5, null)]), []);
  assert.deepEqual(promises([stamped('a', 0, '02'), stamped('b', 5, '01', 'other')]), []);
  // Begun before the first one ended: neither caused the other.
  assert.deepEqual(promises([stamped('a', 0, '02'), stamped('b', 0.5, '01')]), []);
});
