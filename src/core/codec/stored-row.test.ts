import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeStoredRow, isLive, storedRowStart } from '#core/codec/stored-row';
import { decodeStamp } from '#core/model/stamp';

const PARTS = {
  eventTimeUs: 1_000_000,
  hlc: { wallMs: 5, counter: 1 },
  origin: Buffer.from('us-east'),
  row: Buffer.from('c0ffee', 'hex'),
};

test('a stored row is stamp, flag and row, byte for byte', () => {
  const stamp = '80000000000f4240 000000000005 00000001 07 75732d65617374'.replaceAll(' ', '');
  assert.equal(encodeStoredRow({ ...PARTS, operation: 'upsert' }).toString('hex'), `${stamp}01c0ffee`);
  assert.equal(encodeStoredRow({ ...PARTS, operation: 'delete', row: Buffer.alloc(0) }).toString('hex'), `${stamp}00`);
});

test('its parts are found again', () => {
  const live = encodeStoredRow({ ...PARTS, operation: 'upsert' });
  assert.equal(isLive(live), true);
  assert.equal(live.subarray(storedRowStart(live)).toString('hex'), 'c0ffee');
  assert.deepEqual(decodeStamp(live), { eventTimeUs: 1_000_000, hlc: PARTS.hlc, origin: 'us-east' });
  const deleted = encodeStoredRow({ ...PARTS, operation: 'delete', row: Buffer.alloc(0) });
  assert.equal(isLive(deleted), false);
  assert.equal(storedRowStart(deleted), deleted.length);
});
