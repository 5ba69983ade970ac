import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStreamKey, streamKey } from '#core/model/stream';

test('a stream key is its four parts, and parses back', () => {
  const id = { namespace: 'flights_1', partition: 12, origin: 'us-east', incarnation: '9f3c2b1a00c4d2e8' };
  assert.equal(streamKey(id), 'flights_1/12/us-east/9f3c2b1a00c4d2e8');
  assert.deepEqual(parseStreamKey(streamKey(id)), id);
});

for (const key of [
  '',
  'flights',
  'flights/0/us-east',
  'flights/0/us-east/9f3c2b1a00c4d2e',
  'flights/0/us-east/9f3c2b1a00c4d2e8/x',
  'flights/-1/us-east/9f3c2b1a00c4d2e8',
  'flights/0/us_east/9f3c2b1a00c4d2e8',
  'flights/0/us-east/9F3C2B1A00C4D2E8',
  '../0/us-east/9f3c2b1a00c4d2e8',
  'flights/0/us-east/9f3c2b1a00c4d2e8\n',
]) {
  test(`not a stream key: ${JSON.stringify(key)}`, () => assert.equal(parseStreamKey(key), undefined));
}
