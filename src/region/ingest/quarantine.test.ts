import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { Journal } from '#ports/journal';
import type { IngestRequest } from '#region/engine-api';
import { QUARANTINE_ROWS_MAX, Quarantine } from '#region/ingest/quarantine';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { TEST_VIEW } from '#region/testing/in-process.fixture';

const CODEC = new ViewCodec(TEST_VIEW);

function requestOf(count: number): IngestRequest {
  return {
    view: TEST_VIEW.name,
    version: TEST_VIEW.version,
    changes: Array.from({ length: count }, (_, i) => ({
      operation: 'upsert',
      eventTimeUs: 4e15,
      key: CODEC.encodeKey([`A${i}`]),
      row: CODEC.encodeRow([0.5, 1n]),
    })),
  };
}

const held = (index: number) => ({ index, code: 'ROW_EVENT_TIME_AHEAD', message: 'ahead' });

test('a row is held back with its reason and everything needed to decide about it, over a restart', async () => {
  const disk = new HeldDisk();
  const { journal } = disk.open();
  await new Quarantine(journal).hold(requestOf(3), 'batch-1', CODEC, [held(0), held(2)]);
  assert.equal(new Quarantine(disk.open().journal).count, 2);
  const [key, value] = journal.list('quarantine/').at(-1) ?? [];
  assert.equal(key, 'quarantine/airport/batch-1/000002');
  const row = JSON.parse(Buffer.from(value as Uint8Array).toString()) as { code: string; key: string; row: string };
  assert.equal(row.code, 'ROW_EVENT_TIME_AHEAD');
  assert.deepEqual(CODEC.decodeKey(Buffer.from(row.key, 'base64')), ['A2']);
  assert.deepEqual(CODEC.decodeRow(Buffer.from(row.row, 'base64')), [0.5, 1n]);
});

test('a request that is tried again holds a row back once', async () => {
  const { journal } = new HeldDisk().open();
  const quarantine = new Quarantine(journal);
  for (let i = 0; i < 3; i++) await quarantine.hold(requestOf(1), 'batch-1', CODEC, [held(0)]);
  assert.equal(quarantine.count, 1);
  assert.equal(journal.list('quarantine/').length, 1);
});

test('at the limit requests with such rows are refused, and nothing is written', async () => {
  const { journal } = new HeldDisk().open();
  const writes: number[] = [];
  const full: Journal = {
    get: (key) => journal.get(key),
    list: () => Array.from({ length: QUARANTINE_ROWS_MAX - 1 }, () => ['quarantine/x', Buffer.alloc(0)] as const),
    write: async (operations) => {
      writes.push(operations.length);
    },
  };
  const quarantine = new Quarantine(full);
  await assert.rejects(
    quarantine.hold(requestOf(2), 'two', CODEC, [held(0), held(1)]),
    (error: unknown) => error instanceof AntipodeError && error.code === 'OVERLOADED',
  );
  await quarantine.hold(requestOf(1), 'one', CODEC, [held(0)]);
  assert.deepEqual(writes, [1]);
});
