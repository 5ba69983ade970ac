import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { Snapshots } from '#ports/snapshots';

export interface SnapshotsHarness {
  /** Opens the same snapshots each time; the previous ones are closed. */
  open(): { readonly snapshots: Snapshots; close(): Promise<void> };
  dispose(): Promise<void> | void;
}

export function snapshotsContract(name: string, makeHarness: () => Promise<SnapshotsHarness> | SnapshotsHarness): void {
  suite(`snapshots: ${name}`, () => {
    let harness: SnapshotsHarness;
    let opened: ReturnType<SnapshotsHarness['open']>;
    let snapshots: Snapshots;
    const reopen = async (): Promise<void> => {
      await opened.close();
      opened = harness.open();
      snapshots = opened.snapshots;
    };
    beforeEach(async () => {
      harness = await makeHarness();
      opened = harness.open();
      snapshots = opened.snapshots;
    });
    afterEach(async () => {
      await opened.close();
      await harness.dispose();
    });

    test('a finished snapshot is listed with its chunks, over a reopening', async () => {
      const id = snapshots.begin();
      await snapshots.write(id, 0, Buffer.alloc(300_000, 1));
      await snapshots.write(id, 1, Buffer.from('second'));
      assert.deepEqual(snapshots.list(), []);
      await snapshots.finish(id, Buffer.from('manifest'));
      await snapshots.finish(id, Buffer.from('better manifest'));
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(snapshots.list(), [{ id, manifest: Buffer.from('better manifest') }]);
        assert.ok(snapshots.chunk(id, 0)!.equals(Buffer.alloc(300_000, 1)));
        assert.equal(snapshots.chunk(id, 1)!.toString(), 'second');
        assert.equal(snapshots.chunk(id, 2), undefined);
        await reopen();
      }
    });

    test('the newest comes first', async () => {
      const [first, second] = [snapshots.begin(), snapshots.begin()];
      await snapshots.finish(first, Buffer.from('1'));
      await snapshots.finish(second, Buffer.from('2'));
      assert.deepEqual(
        snapshots.list().map(({ manifest }) => manifest.toString()),
        ['2', '1'],
      );
    });

    test('what was never finished is gone after a reopening, and its number harms nobody', async () => {
      const lost = snapshots.begin();
      for (let index = 0; index < 100; index++) await snapshots.write(lost, index, Buffer.from(`lost ${index}`));
      await reopen();
      const id = snapshots.begin();
      await snapshots.write(id, 0, Buffer.from('kept'));
      await snapshots.finish(id, Buffer.from('manifest'));
      assert.equal(snapshots.list().length, 1);
      assert.equal(snapshots.chunk(id, 0)!.toString(), 'kept');
      assert.equal(snapshots.chunk(id, 1), undefined);
      await reopen();
      assert.equal(snapshots.chunk(lost, 0), undefined);
      assert.equal(snapshots.chunk(id, 0)!.toString(), 'kept');
    });

    test('a removed snapshot is gone, and the other one stays', async () => {
      const [first, second] = [snapshots.begin(), snapshots.begin()];
      for (const id of [first, second]) {
        for (let index = 0; index < 70; index++) await snapshots.write(id, index, Buffer.from(`${id} ${index}`));
        await snapshots.finish(id, Buffer.from(`${id}`));
      }
      const removed = snapshots.remove(first);
      assert.deepEqual(
        snapshots.list().map(({ id }) => id),
        [second],
      );
      await removed;
      assert.equal(snapshots.chunk(first, 0), undefined);
      await reopen();
      assert.deepEqual(
        snapshots.list().map(({ id }) => id),
        [second],
      );
      assert.equal(snapshots.chunk(second, 69)!.toString(), `${second} 69`);
    });
  });
}
