import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { MergeDecision } from '#core/merge/decision';
import type { ApplyBatch, OnlineStore } from '#ports/online-store';

export interface OnlineStoreHarness {
  /** Opens the same store each time; the previous one is closed. */
  open(): OnlineStore;
  dispose(): Promise<void> | void;
}

const b = (text: string): Buffer => Buffer.from(text);

/** Batch from plain objects; rows are given as `[key, value]`. */
export function testBatch(parts: {
  readonly rows?: readonly (readonly [string, string])[];
  readonly checkpoints?: Readonly<Record<string, number>>;
  readonly records?: Readonly<Record<string, string | null>>;
}): ApplyBatch {
  return {
    rows: (parts.rows ?? []).map(([key, value]) => ({ key: b(key), value: b(value) })),
    checkpoints: new Map(Object.entries(parts.checkpoints ?? {})),
    records: new Map(
      Object.entries(parts.records ?? {}).map(([key, value]) => [key, value === null ? null : b(value)]),
    ),
  };
}

/** The larger value wins. */
export function greatest(_key: Buffer, stored: Buffer, incoming: Buffer): MergeDecision {
  return stored.compare(incoming) < 0 ? 'replace' : 'keep';
}

export function onlineStoreContract(
  name: string,
  makeHarness: () => Promise<OnlineStoreHarness> | OnlineStoreHarness,
): void {
  suite(`online store: ${name}`, () => {
    let harness: OnlineStoreHarness;
    let store: OnlineStore;
    beforeEach(async () => {
      harness = await makeHarness();
      store = harness.open();
    });
    afterEach(async () => {
      await store.close();
      await harness.dispose();
    });
    const row = (key: string): string | undefined => store.row(b(key))?.toString();

    test('an empty store', () => {
      assert.equal(row('k'), undefined);
      assert.equal(store.record('r'), undefined);
      assert.deepEqual(store.records(''), []);
      assert.deepEqual(store.scan(b(''), undefined, 10), []);
      assert.equal(store.checkpoint('s'), 0);
      assert.equal(store.checkpoints().size, 0);
      assert.equal(store.rowCount(), 0);
    });

    test('rows, checkpoints and records of a batch are readable when apply resolves', async () => {
      const outcome = await store.apply(
        testBatch({
          rows: [
            ['k1', 'v1'],
            ['k2', ''],
          ],
          checkpoints: { s: 7, t: 2 ** 40 },
          records: { 'def/a': 'x' },
        }),
        greatest,
      );
      assert.deepEqual(outcome, { written: 2, superseded: 0, repeated: 0 });
      assert.equal(row('k1'), 'v1');
      assert.equal(row('k2'), '');
      assert.equal(store.checkpoint('s'), 7);
      assert.deepEqual(
        store.checkpoints(),
        new Map([
          ['s', 7],
          ['t', 2 ** 40],
        ]),
      );
      assert.equal(store.record('def/a')?.toString(), 'x');
      assert.equal(store.rowCount(), 2);
      assert.ok(store.bytes() > 0);
    });

    test('merge decides each row that is stored with other bytes', async () => {
      await store.apply(
        testBatch({
          rows: [
            ['a', '5'],
            ['b', '5'],
            ['c', '5'],
          ],
        }),
        greatest,
      );
      const asked: string[] = [];
      const outcome = await store.apply(
        testBatch({
          rows: [
            ['a', '4'],
            ['b', '5'],
            ['c', '6'],
            ['d', '1'],
          ],
        }),
        (key, stored, incoming, index) => {
          asked.push(`${index} ${key} ${stored}:${incoming}`);
          assert.equal(stored.subarray(0).length, 1, 'the stored buffer has its own length');
          return greatest(key, stored, incoming);
        },
      );
      assert.deepEqual(outcome, { written: 2, superseded: 1, repeated: 1 });
      assert.deepEqual(asked, ['0 a 5:4', '2 c 5:6']);
      assert.deepEqual(['a', 'b', 'c', 'd'].map(row), ['5', '5', '6', '1']);
      assert.equal(store.rowCount(), 4);
    });

    test('a row later in a batch is merged with the earlier one', async () => {
      const outcome = await store.apply(
        testBatch({
          rows: [
            ['k', '2'],
            ['k', '3'],
            ['k', '1'],
            ['k', '3'],
          ],
        }),
        greatest,
      );
      assert.deepEqual(outcome, { written: 2, superseded: 1, repeated: 1 });
      assert.equal(row('k'), '3');
    });

    test('merged bytes are stored, and merged again with later rows of the batch', async () => {
      await store.apply(testBatch({ rows: [['k', 'a']] }), greatest);
      const join = (_key: Buffer, stored: Buffer, incoming: Buffer): MergeDecision => Buffer.concat([stored, incoming]);
      const rows = [
        ['k', 'b'],
        ['k', 'c'],
        ['l', 'x'],
      ] as const;
      const batch = { ...testBatch({ rows }), extra: { operations: 0, bytes: 100 } };
      assert.deepEqual(await store.apply(batch, join), { written: 3, superseded: 0, repeated: 0 });
      assert.deepEqual(['k', 'l'].map(row), ['abc', 'x']);
      assert.equal(store.rowCount(), 2);
    });

    test('what `after` gives is written in the same transaction, after all rows are decided', async () => {
      const decided: string[] = [];
      await store.apply(testBatch({ rows: [['k', '1']], records: { r: '1', gone: '1' } }), greatest);
      await store.apply(
        { ...testBatch({ rows: [['k', '2']], records: { r: '2' } }), extra: { operations: 3, bytes: 100 } },
        (key, stored, incoming) => {
          decided.push(stored.toString());
          return greatest(key, stored, incoming);
        },
        () =>
          new Map([
            ['seen', b(decided.join())],
            ['r', b('3')],
            ['gone', null],
          ]),
      );
      assert.equal(store.record('seen')?.toString(), '1');
      assert.equal(store.record('r')?.toString(), '3');
      assert.equal(store.record('gone'), undefined);
      const fault = new Error('fault');
      const throwing = store.apply(testBatch({ rows: [['k', '3']], checkpoints: { s: 1 } }), greatest, () => {
        throw fault;
      });
      await assert.rejects(throwing, (error) => error === fault);
      assert.equal(row('k'), '2');
      assert.equal(store.checkpoint('s'), 0);
    });

    test('swept rows are replaced or removed without a merge, with the batch and like it', async () => {
      await store.apply(
        testBatch({
          rows: [
            ['a', '1'],
            ['b', '2'],
            ['c', '3'],
          ],
        }),
        greatest,
      );
      const swept = [
        { key: b('a'), value: null },
        { key: b('b'), value: b('1') },
        { key: b('never'), value: null },
      ];
      const unasked = (): never => assert.fail('nothing is merged');
      await store.apply({ ...testBatch({ records: { cut: '7' } }), swept }, unasked);
      assert.deepEqual([row('a'), row('b'), row('c'), store.record('cut')?.toString()], [undefined, '1', '3', '7']);
      assert.equal(store.rowCount(), 2);
      const failing = { ...testBatch({ rows: [['c', '9']] }), swept: [{ key: b('b'), value: null }] };
      await assert.rejects(
        store.apply(failing, () => {
          throw new Error('no');
        }),
      );
      assert.equal(row('b'), '1');
    });

    test('a merge that throws leaves nothing of its batch (P5.2)', async () => {
      await store.apply(testBatch({ rows: [['k', '1']], checkpoints: { s: 1 }, records: { r: '1' } }), greatest);
      const fault = new Error('fault');
      await assert.rejects(
        store.apply(
          testBatch({
            rows: [
              ['j', '1'],
              ['k', '2'],
            ],
            checkpoints: { s: 2 },
            records: { r: '2' },
          }),
          () => {
            throw fault;
          },
        ),
        (error) => error === fault,
      );
      assert.equal(row('j'), undefined);
      assert.equal(row('k'), '1');
      assert.equal(store.checkpoint('s'), 1);
      assert.equal(store.record('r')?.toString(), '1');
      await store.apply(testBatch({ rows: [['j', '1']], checkpoints: { s: 2 } }), greatest);
      assert.equal(store.checkpoint('s'), 2);
    });

    test('a record or row whose key cannot be stored fails the whole batch', async () => {
      const batch = testBatch({
        rows: [
          ['k', '1'],
          ['x'.repeat(2000), '1'],
        ],
        checkpoints: { s: 1 },
      });
      await assert.rejects(store.apply(batch, greatest), { code: 'INTERNAL' });
      assert.equal(row('k'), undefined);
      assert.equal(store.checkpoint('s'), 0);
    });

    test('records: prefix, order, deletion', async () => {
      await store.apply(
        testBatch({ records: { 'idem/b': '2', 'idem/a': '1', 'idem/\u00fc': '3', 'def/x': 'd' } }),
        greatest,
      );
      assert.deepEqual(
        store.records('idem/').map(([key, value]) => `${key}=${value}`),
        ['idem/a=1', 'idem/b=2', 'idem/\u00fc=3'],
      );
      await store.apply(testBatch({ records: { 'idem/a': null, 'idem/never': null } }), greatest);
      assert.equal(store.record('idem/a'), undefined);
      assert.equal(store.records('').length, 3);
    });

    test('scan: in key order, after a key, at most limit, within the prefix', async () => {
      const keys = Array.from({ length: 50 }, (_, i) => `v1/${String(i).padStart(3, '0')}`);
      const shuffled = [...keys].sort((x, y) => (Number(x.slice(3)) % 7) - (Number(y.slice(3)) % 7));
      await store.apply(
        testBatch({ rows: [...shuffled, 'v0/999', 'v2/000', 'v1'].map((key) => [key, `value of ${key}`] as const) }),
        greatest,
      );
      const scan = (prefix: string, after: string | undefined, limit: number): string[] =>
        store.scan(b(prefix), after === undefined ? undefined : b(after), limit).map(([key]) => key.toString());
      assert.deepEqual(scan('v1/', undefined, 100), keys);
      assert.deepEqual(scan('v1/', undefined, 10), keys.slice(0, 10));
      assert.deepEqual(scan('v1/', keys[9], 10), keys.slice(10, 20));
      assert.deepEqual(scan('v1/', keys[49], 10), []);
      assert.deepEqual(scan('v1/', 'a', 1), [keys[0]]);
      assert.deepEqual(scan('v1/', undefined, 0), []);
      assert.equal(scan('', undefined, 1000).length, 53);
      const entries = store.scan(b('v1/'), undefined, 3);
      store.row(b('v2/000'));
      assert.deepEqual(
        entries.map(([key, value]) => `${key}: ${value}`),
        keys.slice(0, 3).map((key) => `${key}: value of ${key}`),
      );
    });

    test('wipe leaves an empty store that works', async () => {
      const rows = Array.from({ length: 3000 }, (_, i) => [`k${i}`, 'x'.repeat(i % 300)] as const);
      await store.apply(testBatch({ rows, checkpoints: { s: 5 }, records: { r: 'v' } }), greatest);
      await store.wipe();
      assert.equal(store.rowCount(), 0);
      assert.equal(row('k1'), undefined);
      assert.deepEqual(store.scan(b(''), undefined, 10), []);
      assert.equal(store.checkpoints().size, 0);
      assert.equal(store.record('r'), undefined);
      await store.apply(testBatch({ rows: [['k', 'v']], checkpoints: { s: 1 } }), greatest);
      assert.equal(row('k'), 'v');
      assert.equal(store.rowCount(), 1);
    });

    test('what was applied is there after a reopening, synced or not', async () => {
      await store.apply(testBatch({ rows: [['k', 'v']], checkpoints: { s: 3 }, records: { r: 'x' } }), greatest);
      await store.sync();
      await store.apply(testBatch({ rows: [['l', 'w']], checkpoints: { s: 4 } }), greatest);
      await store.close();
      store = harness.open();
      assert.equal(row('k'), 'v');
      assert.equal(row('l'), 'w');
      assert.equal(store.checkpoint('s'), 4);
      assert.equal(store.record('r')?.toString(), 'x');
      assert.equal(store.rowCount(), 2);
    });

    test('apply, wipe and sync called together take effect in order', async () => {
      await store.apply(testBatch({ rows: [['k', '1']] }), greatest);
      const order: string[] = [];
      await Promise.all([
        store.sync().then(() => order.push('sync')),
        store.apply(testBatch({ rows: [['k', '2']] }), greatest).then(() => order.push('apply')),
        store.wipe().then(() => order.push('wipe')),
        store.apply(testBatch({ rows: [['l', '1']] }), greatest).then(() => order.push('apply again')),
      ]);
      assert.deepEqual(order, ['sync', 'apply', 'wipe', 'apply again']);
      assert.equal(row('k'), undefined);
      assert.equal(row('l'), '1');
    });

    test('large batches and large rows', async () => {
      const rows = Array.from({ length: 10_000 }, (_, i) => [`key-${(i * 7919) % 10_000}`, `value-${i}`] as const);
      await store.apply(testBatch({ rows: [...rows, ['large', 'x'.repeat(200_000)]] }), greatest);
      assert.equal(store.rowCount(), 10_001);
      assert.equal(row('large')?.length, 200_000);
      assert.equal(row('key-7919'), 'value-1');
    });
  });
}
