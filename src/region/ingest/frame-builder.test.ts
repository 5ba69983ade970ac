import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Change, decodeChanges } from '#core/codec/changes';
import { decodeFrame } from '#core/codec/frame';
import { ZERO_HASH } from '#core/hash';
import { HybridClock } from '#core/time/hlc';
import {
  FRAME_BYTES_TARGET,
  FRAME_CHANGES_TARGET,
  FrameBuilder,
  type FrameContext,
} from '#region/ingest/frame-builder';

const CONTEXT: FrameContext = {
  stream: 'flights/0/us-east/9f3c2b1a00c4d2e8',
  epoch: 2,
  viewVersion: '00112233445566778899aabbccddeeff',
  watermarkMs: 10,
  applied: [],
};

function changes(count: number, rowBytes = 4): Omit<Change, 'offset'>[] {
  return Array.from({ length: count }, (_, i) => ({
    operation: 'upsert',
    eventTimeUs: i,
    key: Buffer.from(`key-${i}`),
    row: Buffer.alloc(rowBytes, i),
  }));
}

function builder(): { builder: FrameBuilder; reserve: (count: number) => { wallMs: number; counter: number } } {
  const clock = new HybridClock({ wallMs: 5, counter: 0 });
  return {
    builder: new FrameBuilder({ seq: 100, hash: ZERO_HASH }),
    reserve: (count) => clock.reserve(count, 5),
  };
}

test('frames follow one another in seqs, hashes and clock readings', () => {
  const { builder: frames, reserve } = builder();
  frames.definition(CONTEXT, reserve(1), Buffer.from('{}'));
  frames.rows(
    CONTEXT,
    [{ changes: changes(FRAME_CHANGES_TARGET + 10), idempotency: { key: 'k', digest: 'd', first: 0 } }],
    reserve,
  );
  const decoded = frames.frames.map(({ bytes }) => decodeFrame(bytes));
  let seq = 100;
  let previous: Uint8Array = ZERO_HASH;
  for (const { frame, hash } of decoded) {
    assert.equal(frame.from, seq);
    assert.deepEqual(Buffer.from(frame.previousHash), previous);
    seq = frame.to;
    previous = hash;
  }
  assert.deepEqual(frames.head, { seq: 100 + 1 + FRAME_CHANGES_TARGET + 10, hash: previous });
  assert.deepEqual(
    decoded.map(({ frame }) => frame.hlc.counter),
    [1, 2, 2 + FRAME_CHANGES_TARGET],
  );
});

test('a request that spans frames has its key in each, complete only in the last', () => {
  const { builder: frames, reserve } = builder();
  const first = changes(FRAME_CHANGES_TARGET - 1);
  frames.rows(
    CONTEXT,
    [
      { changes: first, idempotency: { key: 'a', digest: 'd', first: 0 } },
      { changes: changes(FRAME_CHANGES_TARGET + 1), idempotency: { key: 'b', digest: 'd', first: 0 } },
      { changes: changes(1), idempotency: null },
      { changes: changes(1), idempotency: { key: 'c', digest: 'd', first: 0 } },
    ],
    reserve,
  );
  const decoded = frames.frames.map(({ bytes }) => decodeFrame(bytes).frame);
  const T = FRAME_CHANGES_TARGET;
  assert.deepEqual(
    decoded.map((frame) => frame.idempotency.map((entry) => ({ ...entry }))),
    [
      [
        { key: 'a', digest: 'd', from: 100, to: 100 + T - 1, first: 0, complete: true },
        { key: 'b', digest: 'd', from: 100 + T - 1, to: 100 + T, first: 0, complete: false },
      ],
      [{ key: 'b', digest: 'd', from: 100 + T, to: 100 + 2 * T, first: 1, complete: true }],
      [{ key: 'c', digest: 'd', from: 100 + 2 * T + 1, to: 100 + 2 * T + 2, first: 0, complete: true }],
    ],
  );
});

test('a frame ends at its byte target too, and a single large change still gets one', () => {
  const { builder: frames, reserve } = builder();
  frames.rows(
    CONTEXT,
    [{ changes: changes(5, FRAME_BYTES_TARGET), idempotency: { key: 'k', digest: 'd', first: 0 } }],
    reserve,
  );
  assert.deepEqual(
    frames.frames.map(({ from, to }) => to - from),
    [1, 1, 1, 1, 1],
  );
});

test('no changes, no frame', () => {
  const { builder: frames, reserve } = builder();
  frames.rows(CONTEXT, [], reserve);
  assert.deepEqual(frames.frames, []);
});

test('replayed changes keep their places and their source; keys are moved to the new seqs', () => {
  const { builder: frames, reserve } = builder();
  const stream = 'flights/0/eu-west/0000000000000001';
  const source = {
    tail: { stream, from: 5, to: 9 },
    original: { stream, from: 5, hlc: { wallMs: 1, counter: 7 }, applied: [] },
  };
  const replayed = changes(4)
    .map((change, offset) => ({ ...change, offset }))
    .filter(({ offset }) => offset !== 1);
  frames.replay(
    CONTEXT,
    reserve(3),
    replayed,
    [{ key: 'k', digest: 'd', first: 0, at: 1, count: 2, complete: true }],
    source,
  );
  const { frame } = decodeFrame(frames.frames[0]?.bytes as Buffer);
  assert.deepEqual(frame.replay, source);
  assert.deepEqual(
    { ...frame.idempotency[0] },
    { key: 'k', digest: 'd', from: 101, to: 103, first: 0, complete: true },
  );
  assert.deepEqual(
    decodeChanges(frame.payload, 3).map(({ offset }) => offset),
    [0, 2, 3],
  );
});
