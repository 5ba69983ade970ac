import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { Journal, JournalOperation } from '#ports/journal';

export interface OpenJournal {
  readonly journal: Journal;
  close(): Promise<void>;
}

export interface JournalHarness {
  /** Opens the same journal each time; the previous one is closed. */
  open(): OpenJournal;
  dispose(): Promise<void> | void;
}

const put = (key: string, value = key): JournalOperation => ({ kind: 'put', key, value: Buffer.from(value) });

export function journalContract(name: string, makeHarness: () => Promise<JournalHarness> | JournalHarness): void {
  suite(`journal: ${name}`, () => {
    let harness: JournalHarness;
    let open: OpenJournal;
    let journal: Journal;
    const reopen = async () => {
      await open?.close();
      open = harness.open();
      journal = open.journal;
    };
    beforeEach(async () => {
      harness = await makeHarness();
      await reopen();
    });
    afterEach(async () => {
      await open.close();
      await harness.dispose();
    });
    const text = (value: Uint8Array | undefined): string | undefined =>
      value === undefined ? undefined : Buffer.from(value).toString();
    const keys = (...args: Parameters<Journal['list']>): string[] => journal.list(...args).map(([key]) => key);

    test('an entry is there when its write resolves, not before, and after a reopening', async () => {
      const written = journal.write([put('promise/flights', 'epoch 3')]);
      assert.equal(journal.get('promise/flights'), undefined);
      assert.deepEqual(journal.list(''), []);
      await written;
      assert.equal(text(journal.get('promise/flights')), 'epoch 3');
      await reopen();
      assert.equal(text(journal.get('promise/flights')), 'epoch 3');
      assert.equal(journal.get('promise'), undefined);
    });

    test('writes are atomic and take effect in call order', async () => {
      await Promise.all([
        journal.write([put('a', '1'), put('b', '1')]),
        journal.write([put('a', '2'), { kind: 'delete', key: 'b' }, { kind: 'delete', key: 'never-there' }]),
        journal.write([put('a', '3'), put('a', '4')]),
        journal.write([]),
      ]);
      assert.equal(text(journal.get('a')), '4');
      assert.deepEqual(keys(''), ['a']);
    });

    test('list: prefix, order, after, limit, reverse', async () => {
      const audit = Array.from({ length: 20 }, (_, i) => `audit/${String(i).padStart(8, '0')}`);
      await journal.write([...audit, 'audit', 'audit0', 'b', 'Z', '~'].map((key) => put(key)));
      assert.deepEqual(keys('audit/'), audit);
      assert.deepEqual(keys('audit/', { limit: 3 }), audit.slice(0, 3));
      assert.deepEqual(keys('audit/', { after: audit[4]! }), audit.slice(5));
      assert.deepEqual(keys('audit/', { after: audit[4]!, limit: 2 }), audit.slice(5, 7));
      assert.deepEqual(keys('audit/', { after: audit[19]! }), []);
      assert.deepEqual(keys('audit/', { reverse: true, limit: 2 }), [audit[19], audit[18]]);
      assert.deepEqual(keys('audit/', { reverse: true, after: audit[2]! }), [audit[1], audit[0]]);
      assert.deepEqual(keys('audit/', { reverse: true, after: audit[0]! }), []);
      assert.deepEqual(keys('audit/', { after: 'a' }), audit, 'before the prefix: from its first');
      assert.deepEqual(keys('audit/', { after: 'b' }), [], 'beyond the prefix: nothing');
      assert.deepEqual(keys('audit/', { after: 'b', reverse: true, limit: 1 }), [audit[19]]);
      assert.deepEqual(keys('audit/', { after: 'a', reverse: true }), []);
      assert.deepEqual(keys('audit/', { limit: 0 }), []);
      assert.deepEqual(keys('nothing'), []);
      assert.deepEqual(keys(''), ['Z', 'audit', ...audit, 'audit0', 'b', '~']);
    });

    test('values are copies, of any size', async () => {
      const large = Buffer.alloc(100_000, 7);
      await journal.write([{ kind: 'put', key: 'large', value: large }, put('small'), put('empty', '')]);
      const got = journal.get('small')!;
      const [listed] = journal.list('large');
      journal.get('large');
      assert.equal(text(got), 'small');
      assert.ok(Buffer.from(listed![1]).equals(large));
      assert.equal(journal.get('empty')!.length, 0);
    });

    test('a key that is not printable ASCII of 1 to 500 bytes is refused', async () => {
      for (const key of ['', 'x'.repeat(501), 'caf\u00e9', 'a\n', 'a\0']) {
        await assert.rejects(async () => journal.write([put('good'), put(key)]), { code: 'INTERNAL' });
        assert.throws(() => journal.get(key), { code: 'INTERNAL' });
      }
      await journal.write([put('x'.repeat(500), 'v')]);
      assert.equal(text(journal.get('x'.repeat(500))), 'v');
      assert.equal(journal.get('good'), undefined);
    });
  });
}
