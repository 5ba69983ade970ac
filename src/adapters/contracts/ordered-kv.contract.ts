import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { checkKey, KEY_BYTES_MAX, type KvTable, type OrderedKv, prefixEnd } from '#adapters/kv/ordered-kv';

export interface OrderedKvHarness {
  /** Opens tables `a` and `b` of the same data each time; the previous engine is closed. */
  open(use: 'log' | 'projection'): OrderedKv;
  dispose(): Promise<void> | void;
}

const b = (text: string): Buffer => Buffer.from(text, 'latin1');
const names = (table: KvTable, range: Parameters<KvTable['entries']>[0] = {}): string[] =>
  Array.from(table.entries(range), ([key]) => key.toString('latin1'));
const put = (table: KvTable, key: string, value = key) =>
  ({ kind: 'put', table, key: b(key), value: b(value) }) as const;
const remove = (table: KvTable, key: string) => ({ kind: 'remove', table, key: b(key) }) as const;
const SIZE = { operations: 10, bytes: 10_000 };

export function orderedKvContract(name: string, makeHarness: () => Promise<OrderedKvHarness> | OrderedKvHarness): void {
  suite(`ordered key-value engine: ${name}`, () => {
    let harness: OrderedKvHarness;
    let kv: OrderedKv;
    beforeEach(async () => {
      harness = await makeHarness();
    });
    afterEach(async () => {
      await kv.close();
      await harness.dispose();
    });

    test('a write is readable when it resolves and not before', async () => {
      kv = harness.open('log');
      const table = kv.table('a');
      const written = kv.write([put(table, 'k', 'v')]);
      assert.equal(table.get(b('k')), undefined);
      await written;
      assert.equal(table.get(b('k'))?.toString('latin1'), 'v');
      assert.equal(kv.table('b').get(b('k')), undefined);
    });

    test('writes take effect in call order, and each is atomic', async () => {
      kv = harness.open('log');
      const a = kv.table('a');
      await Promise.all([
        kv.write([put(a, 'x', '1'), put(a, 'y', '1')]),
        kv.write([put(a, 'x', '2'), remove(a, 'y')]),
        kv.write([put(kv.table('b'), 'x', '3')]),
      ]);
      assert.equal(a.get(b('x'))?.toString('latin1'), '2');
      assert.equal(a.get(b('y')), undefined);
      assert.equal(kv.table('b').get(b('x'))?.toString('latin1'), '3');
    });

    test('hundreds of writes at once all arrive, and what they wrote survives a reopening', async () => {
      kv = harness.open('log');
      const keys = Array.from({ length: 500 }, (_, i) => `key-${String(i).padStart(4, '0')}`);
      await Promise.all(keys.map((key) => kv.write([put(kv.table('a'), key)])));
      await kv.close();
      kv = harness.open('log');
      assert.deepEqual(names(kv.table('a')), keys);
      assert.equal(kv.table('a').count(), 500);
    });

    test('closing waits for writes on their way', async () => {
      kv = harness.open('log');
      const written = kv.write([put(kv.table('a'), 'k')]);
      await kv.close();
      await written;
      await assert.rejects(kv.write([put(kv.table('a'), 'l')]));
      kv = harness.open('log');
      assert.deepEqual(names(kv.table('a')), ['k']);
    });

    test('a key that is empty or too long is refused before anything is taken', async () => {
      kv = harness.open('log');
      const a = kv.table('a');
      const long = 'x'.repeat(KEY_BYTES_MAX + 1);
      await assert.rejects(async () => kv.write([put(a, 'good'), put(a, '')]), { code: 'INTERNAL' });
      await assert.rejects(async () => kv.write([put(a, 'good'), put(a, long)]), { code: 'INTERNAL' });
      await kv.write([put(a, 'x'.repeat(KEY_BYTES_MAX))]);
      assert.equal(a.count(), 1);
      assert.throws(() => checkKey(b('')));
    });

    test('values of every size come back as they were', async () => {
      kv = harness.open('log');
      const a = kv.table('a');
      const sizes = [0, 1, 2000, 2100, 4096, 30_000, 32_767, 32_768, 32_769, 100_000, 3_000_000];
      const values = sizes.map((size) => Buffer.alloc(size, size % 251));
      await kv.write(values.map((value, i) => ({ kind: 'put', table: a, key: b(`v${i + 10}`), value })));
      for (const [i, value] of values.entries()) {
        const read = a.get(b(`v${i + 10}`));
        assert.ok(read?.equals(value), `get of ${value.length} bytes`);
        assert.equal(read?.subarray(0).length, value.length);
      }
      const scanned = Array.from(a.entries({}), ([, value]) => value);
      assert.deepEqual(
        scanned.map((value) => value.length),
        sizes,
      );
      for (const [i, value] of values.entries()) assert.ok(scanned[i]?.equals(value), `scan of ${value.length} bytes`);
    });

    test('keys are ordered by their bytes', async () => {
      kv = harness.open('log');
      const a = kv.table('a');
      const sorted = ['\x00', '\x00\x00', '\x01', 'A', 'a', 'a\x00', 'a\x01', 'aa', '\x7f', '\x80', '\xff', '\xff\xff'];
      await kv.write([...sorted].reverse().map((key) => put(a, key)));
      assert.deepEqual(names(a), sorted);
      assert.deepEqual(names(a, { reverse: true }), [...sorted].reverse());
    });

    test('every kind of range, both ways', async () => {
      kv = harness.open('log');
      const a = kv.table('a');
      const keys = ['b', 'd', 'f', 'h', 'j'];
      await kv.write(keys.map((key) => put(a, key)));
      const bounds = [undefined, 'a', 'b', 'c', 'd', 'f', 'g', 'j', 'k'];
      for (const lower of bounds) {
        for (const before of bounds) {
          for (const exclusive of [false, true]) {
            const expected = keys.filter(
              (key) =>
                (lower === undefined || (exclusive ? key > lower : key >= lower)) &&
                (before === undefined || key < before),
            );
            const range = {
              ...(lower === undefined ? {} : exclusive ? { after: b(lower) } : { from: b(lower) }),
              ...(before === undefined ? {} : { before: b(before) }),
            };
            const what = JSON.stringify({ lower, before, exclusive });
            assert.deepEqual(names(a, range), expected, what);
            assert.deepEqual(names(a, { ...range, reverse: true }), expected.reverse(), `${what} reverse`);
          }
        }
      }
      assert.deepEqual(names(a, { limit: 2 }), ['b', 'd']);
      assert.deepEqual(names(a, { limit: 2, reverse: true }), ['j', 'h']);
      assert.deepEqual(names(a, { limit: 0 }), []);
      assert.deepEqual(names(kv.table('b')), []);
      assert.deepEqual(names(kv.table('b'), { reverse: true, before: b('x') }), []);
    });

    test('entries may be left early, nested, and are copies', async () => {
      kv = harness.open('log');
      const a = kv.table('a');
      await kv.write([put(a, '1'), put(a, '2'), put(a, '3')]);
      const seen: Buffer[] = [];
      for (const [key, value] of a.entries({})) {
        for (const [, inner] of a.entries({ after: key })) seen.push(inner);
        seen.push(value);
        if (key.toString('latin1') === '2') break;
      }
      a.get(b('1'));
      assert.deepEqual(
        seen.map((value) => value.toString('latin1')),
        ['2', '3', '1', '3', '2'],
      );
    });

    test('a transaction reads its own writes and is readable on return', () => {
      kv = harness.open('projection');
      const a = kv.table('a');
      const result = kv.transact(SIZE, (writer) => {
        writer.put(a, b('k'), b('1'));
        const read = a.get(b('k'))?.toString('latin1');
        writer.put(a, b('k'), b('2'));
        writer.put(kv.table('b'), b('l'), b(''));
        writer.remove(kv.table('b'), b('missing'));
        return read;
      });
      assert.equal(result, '1');
      assert.equal(a.get(b('k'))?.toString('latin1'), '2');
      assert.equal(kv.table('b').get(b('l'))?.length, 0);
      assert.equal(a.count(), 1);
    });

    test('a transaction that throws changes nothing, and the next one works', () => {
      kv = harness.open('projection');
      const a = kv.table('a');
      kv.transact(SIZE, (writer) => {
        writer.put(a, b('kept'), b('1'));
        writer.put(a, b('removed'), b('1'));
      });
      const fault = new Error('fault');
      assert.throws(
        () =>
          kv.transact(SIZE, (writer) => {
            writer.put(a, b('kept'), b('2'));
            writer.put(a, b('kept'), b('3'));
            writer.put(a, b('new'), b('1'));
            writer.remove(a, b('removed'));
            throw fault;
          }),
        (error) => error === fault,
      );
      assert.throws(() => kv.transact(SIZE, (writer) => writer.put(a, b(''), b('x'))), { code: 'INTERNAL' });
      assert.deepEqual(names(a), ['kept', 'removed']);
      assert.equal(a.get(b('kept'))?.toString('latin1'), '1');
      kv.transact(SIZE, (writer) => writer.put(a, b('new'), b('2')));
      assert.deepEqual(names(a), ['kept', 'new', 'removed']);
    });

    test('clearing empties the tables it names and leaves them usable', async () => {
      kv = harness.open('projection');
      const [a, other] = [kv.table('a'), kv.table('b')];
      kv.transact({ operations: 2001, bytes: 100_000 }, (writer) => {
        for (let i = 0; i < 2000; i++) writer.put(a, b(`row-${i}`), Buffer.alloc(20, i));
        writer.put(other, b('k'), b('v'));
      });
      kv.clear([a]);
      assert.equal(a.count(), 0);
      assert.deepEqual(names(a), []);
      assert.deepEqual(names(other), ['k']);
      kv.transact(SIZE, (writer) => writer.put(a, b('k'), b('v')));
      await kv.sync();
      await kv.close();
      kv = harness.open('projection');
      assert.deepEqual(names(kv.table('a')), ['k']);
      assert.ok(kv.bytes() > 0);
    });

    test('many keys in random order, against a map', () => {
      kv = harness.open('projection');
      const a = kv.table('a');
      const model = new Map<string, string>();
      let seed = 42;
      const next = (bound: number): number => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return (seed >>> 8) % bound;
      };
      for (let round = 0; round < 40; round++) {
        kv.transact({ operations: 200, bytes: 20_000 }, (writer) => {
          for (let i = 0; i < 200; i++) {
            const key = `k${next(3000)}`;
            if (next(4) === 0) {
              writer.remove(a, b(key));
              model.delete(key);
            } else {
              const value = String(next(1e6));
              writer.put(a, b(key), b(value));
              model.set(key, value);
            }
          }
        });
        const from = `k${next(3000)}`;
        const expected = [...model.keys()].filter((key) => key >= from).sort();
        assert.deepEqual(names(a, { from: b(from), limit: 50 }), expected.slice(0, 50));
      }
      assert.equal(a.count(), model.size);
      for (const [key, value] of model) assert.equal(a.get(b(key))?.toString('latin1'), value);
    });

    test('the end of a prefix', () => {
      kv = harness.open('projection');
      assert.deepEqual(prefixEnd(b('ab')), b('ac'));
      assert.deepEqual(prefixEnd(b('a\xff\xff')), b('b'));
      assert.equal(prefixEnd(b('\xff\xff')), undefined);
      assert.equal(prefixEnd(b('')), undefined);
    });
  });
}
