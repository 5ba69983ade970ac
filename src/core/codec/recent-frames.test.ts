import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentFrames } from '#core/codec/recent-frames';

test('only the very same bytes are known, however alike their keys', () => {
  const recent = new RecentFrames<number>(100);
  recent.set('a', Buffer.from('one'), 1, 0);
  assert.equal(recent.get('a', Buffer.from('one')), 1);
  assert.equal(recent.get('a', Buffer.from('onf')), undefined);
  assert.equal(recent.get('b', Buffer.from('one')), undefined);
});

test('the oldest go first when there are too many bytes, and what is larger than all room is not kept', () => {
  const recent = new RecentFrames<number>(10);
  const put = (key: string, bytes: number, body: number): void =>
    recent.set(key, Buffer.alloc(bytes), bytes + body, body);
  put('a', 2, 2);
  put('b', 2, 2);
  put('c', 1, 2);
  const held = (): string[] =>
    ['a', 'b', 'c', 'd'].filter((key) => [1, 2, 9].some((n) => recent.get(key, Buffer.alloc(n))));
  assert.deepEqual(held(), ['b', 'c']);
  put('d', 9, 9);
  assert.deepEqual(held(), ['b', 'c']);
  put('b', 2, 1);
  put('d', 1, 4);
  assert.deepEqual(held(), ['b', 'd'], 'what is put in again is new');
});
