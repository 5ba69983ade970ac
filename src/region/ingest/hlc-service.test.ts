import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc, type Hlc } from '#core/time/hlc';
import { HLC_AHEAD_MS_MAX, HlcService } from '#region/ingest/hlc-service';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk, isSettled, settle } from '#region/testing/held-disk.fixture';

/** A region's clock over restarts: the process and what was not synced are lost, the disk stays. */
class Node {
  readonly held = new HeldDisk();
  readonly clock = new HandClock();
  hlc: HlcService;

  constructor() {
    this.hlc = this.#open();
  }

  crash(): void {
    this.held.disk.crash();
    this.hlc = this.#open();
  }

  async reserve(count = 1): Promise<Hlc> {
    for (;;) {
      await this.hlc.ready();
      const base = this.hlc.tryReserve(count);
      if (base !== undefined) return base;
    }
  }

  #open(): HlcService {
    return new HlcService({ clock: this.clock, journal: this.held.open().journal });
  }
}

test('readings grow over crashes and over wall clocks that step back by an hour', async () => {
  const node = new Node();
  let last: Hlc = { wallMs: 0, counter: 0 };
  // A fixed walk of the wall clock: forward, back, far back, still.
  for (const stepMs of [0, 5, 1, -3_600_000, 2, 10, -7_200_000, 0, 900, -1, 3_600_000, 4000]) {
    node.clock.nowWallMs += stepMs;
    for (let i = 0; i < 3; i++) {
      const base = await node.reserve(4);
      assert.ok(compareHlc(base, last) > 0, `${JSON.stringify(base)} after ${JSON.stringify(last)}`);
      last = { wallMs: base.wallMs, counter: base.counter + 3 };
    }
    node.crash();
  }
});

test('nothing is handed out before the bound above it is on disk', async () => {
  const node = new Node();
  node.held.hold();
  assert.equal(node.hlc.tryReserve(1), undefined);
  const ready = node.hlc.ready();
  assert.equal(await isSettled(ready), false);
  assert.equal(node.hlc.tryReserve(1), undefined);
  await node.held.release();
  await ready;
  assert.notEqual(node.hlc.tryReserve(1), undefined);
});

test('a disk that does not sync any more stops readings within the bound', async () => {
  const node = new Node();
  await node.reserve();
  node.held.hold();
  let handedOut = 0;
  for (let i = 0; i < 10; i++) {
    node.clock.advance(1000);
    if (node.hlc.tryReserve(1) !== undefined) handedOut += 1;
  }
  assert.ok(handedOut < 5, `${handedOut} readings in 10 s without a sync`);
  const last = node.hlc.last;
  node.crash();
  await node.held.release();
  assert.ok(compareHlc(await node.reserve(), last) > 0);
});

test('the bound is extended before it is needed, by one write in seconds', async () => {
  const node = new Node();
  await node.reserve();
  let refused = 0;
  for (let i = 0; i < 1000; i++) {
    node.clock.advance(10);
    await settle();
    if (node.hlc.tryReserve(1) === undefined) refused += 1;
  }
  assert.equal(refused, 0);
});

test('a reading seen elsewhere is taken over up to its bound ahead of the wall clock, and not beyond', async () => {
  const node = new Node();
  const now = node.clock.wallMs();
  assert.equal(node.hlc.observe({ wallMs: now + HLC_AHEAD_MS_MAX, counter: 9 }), true);
  assert.ok(compareHlc(await node.reserve(), { wallMs: now + HLC_AHEAD_MS_MAX, counter: 9 }) > 0);
  const before = node.hlc.last;
  assert.equal(node.hlc.observe({ wallMs: now + HLC_AHEAD_MS_MAX + 1, counter: 0 }), false);
  assert.deepEqual(node.hlc.last, before);
});

test('a new holder starts above sealed stamps however far ahead they lie', async () => {
  const node = new Node();
  const sealed = { wallMs: node.clock.wallMs() + 60_000, counter: 3 };
  node.hlc.startAbove(sealed);
  assert.ok(compareHlc(await node.reserve(), sealed) > 0);
});

test('a wall clock set an hour ahead while the bound is written raises it no further before its owner was asked again', async () => {
  const node = new Node();
  node.held.hold();
  const ready = node.hlc.ready();
  node.clock.nowWallMs += 3_600_000;
  await node.held.release();
  await ready;
  assert.equal(node.hlc.tryReserve(1), undefined);
  node.clock.nowWallMs -= 3_600_000;
  node.crash();
  assert.ok(node.hlc.aheadMs < 2000, `${node.hlc.aheadMs} ms ahead`);
});
