import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planCuts, type RetainedStream } from '#region/retain/retention-plan';

const frames = (count: number, atMs: number) =>
  Array.from({ length: count }, (_, index) => ({ to: (index + 1) * 10, bytes: 100, wallMs: atMs + index }));

function stream(over: Partial<RetainedStream>): RetainedStream {
  return {
    stream: 'a',
    start: 0,
    cap: 100,
    heldByAll: 100,
    heldByOne: 100,
    aged: 0,
    unreadable: 0,
    awaited: false,
    frames: frames(10, 0),
    ...over,
  };
}

test('what is old and held by all goes', () => {
  assert.deepEqual(planCuts([stream({ aged: 70 })], 0), [{ stream: 'a', upTo: 70, leavesBehind: false }]);
  assert.deepEqual(planCuts([stream({ aged: 70, heldByAll: 40 })], -5), [
    { stream: 'a', upTo: 40, leavesBehind: false },
  ]);
  assert.deepEqual(planCuts([stream({ aged: 70, heldByAll: 0 })], 0), [], 'an absent member keeps it');
  assert.deepEqual(planCuts([stream({ aged: 70, start: 70 })], 0), []);
});

test('a tail stays, old or not', () => {
  assert.deepEqual(planCuts([stream({ aged: 100, cap: 50 })], 9999), [{ stream: 'a', upTo: 50, leavesBehind: false }]);
});

test('more bytes than are kept: the oldest of all streams go, whoever has them', () => {
  const streams = [
    stream({ stream: 'old', heldByAll: 20, frames: frames(3, 0) }),
    stream({ stream: 'new', heldByAll: 0, frames: frames(3, 100) }),
  ];
  assert.deepEqual(planCuts(streams, 201), [{ stream: 'old', upTo: 30, leavesBehind: true }]);
  assert.deepEqual(planCuts(streams, 200), [{ stream: 'old', upTo: 20, leavesBehind: false }]);
  assert.deepEqual(planCuts(streams, 301), [
    { stream: 'old', upTo: 30, leavesBehind: true },
    { stream: 'new', upTo: 10, leavesBehind: true },
  ]);
});

test('an only copy stays, whatever it takes', () => {
  assert.deepEqual(planCuts([stream({ heldByAll: 0, heldByOne: 20 })], 9999), [
    { stream: 'a', upTo: 20, leavesBehind: true },
  ]);
  assert.deepEqual(planCuts([stream({ heldByAll: 0, heldByOne: 20, unreadable: 50 })], 0), [
    { stream: 'a', upTo: 20, leavesBehind: true },
  ]);
});

test('a frame that nobody can replace goes', () => {
  assert.deepEqual(planCuts([stream({ unreadable: 30, heldByAll: 20 })], 0), [
    { stream: 'a', upTo: 30, leavesBehind: true },
  ]);
});

test('a damaged frame that another member waits for goes although it is the only copy, and nothing beyond what it takes', () => {
  const waiting = stream({ heldByAll: 0, heldByOne: 20, unreadable: 50, awaited: true });
  assert.deepEqual(planCuts([waiting], 0), [{ stream: 'a', upTo: 50, leavesBehind: true }]);
  assert.deepEqual(planCuts([{ ...waiting, unreadable: 0 }], 9999), [{ stream: 'a', upTo: 20, leavesBehind: true }]);
});
