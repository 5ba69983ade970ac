import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CellParts,
  cellLength,
  cellSource,
  encodeCell,
  isLive,
  payloadStart,
  readChangeId,
  readGeneration,
} from '#core/codec/cell';
import { decodeStamp } from '#core/model/stamp';

const source = cellSource('flights/0/us-east/9f3c2b1a00c4d2e8');
assert.ok(source !== undefined);
const PARTS: CellParts = {
  eventTimeUs: 1_000_000,
  hlc: { wallMs: 5, counter: 1 },
  source,
  seq: 2 ** 41 + 7,
  operation: 'upsert',
  generation: null,
  payload: Buffer.from('c0ffee', 'hex'),
};

test('a cell is stamp, flag, change id, perhaps a generation, and payload, byte for byte', () => {
  const stamp = '80000000000f4240 000000000005 00000001 07 75732d65617374'.replaceAll(' ', '');
  const id = '9f3c2b1a00c4d2e8020000000007';
  assert.equal(encodeCell(PARTS).toString('hex'), `${stamp}01${id}c0ffee`);
  const gone = { ...PARTS, operation: 'delete' as const, payload: Buffer.alloc(0) };
  assert.equal(encodeCell(gone).toString('hex'), `${stamp}00${id}`);
  assert.equal(encodeCell({ ...PARTS, generation: 258 }).toString('hex'), `${stamp}01${id}00000102c0ffee`);
});

test('its parts are found again, at any offset', () => {
  for (const generation of [null, 0xffff_ffff]) {
    for (const operation of ['upsert', 'delete'] as const) {
      const cell = encodeCell({ ...PARTS, operation, generation });
      assert.equal(cell.length, cellLength({ ...PARTS, operation, generation }));
      const bytes = Buffer.concat([Buffer.from('abc'), cell]);
      assert.equal(isLive(bytes, 3), operation === 'upsert');
      assert.equal(bytes.subarray(payloadStart(bytes, 3, generation !== null)).toString('hex'), 'c0ffee');
      assert.deepEqual(readChangeId(bytes, 3), { origin: 'us-east', incarnation: '9f3c2b1a00c4d2e8', seq: PARTS.seq });
      assert.deepEqual(decodeStamp(bytes, 3), { eventTimeUs: 1_000_000, hlc: PARTS.hlc, origin: 'us-east' });
      if (generation !== null) assert.equal(readGeneration(bytes, 3), generation);
    }
  }
});

test('only streams are sources', () => {
  assert.equal(cellSource('flights/0/us-east'), undefined);
});
