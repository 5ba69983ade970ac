import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerClocks } from '#region/clocks/peer-clocks';
import { EventList } from '#region/observe/events';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { QUIET } from '#region/testing/in-process.fixture';

function clocksOf(...peers: readonly string[]) {
  const clock = new HandClock();
  const events = new EventList({ clock, log: QUIET });
  const audited: string[] = [];
  const audit = { note: (_: string, action: string) => void audited.push(action) };
  const clocks = new PeerClocks({ region: 'us-east', peers, clock, events, audit });
  /** A peer whose clock is so far ahead answers after a round trip. */
  const hear = (peer: string, aheadMs: number, roundTripMs = 0): void =>
    clocks.observe(peer, clock.wallMs() + aheadMs - roundTripMs / 2, roundTripMs);
  return { clock, clocks, hear, audited, told: () => events.list().map(({ event }) => event) };
}

test('an offset is taken at the middle of the round trip, and follows the own clock at once', () => {
  const { clock, clocks, hear } = clocksOf('a');
  hear('a', 120, 80);
  assert.deepEqual(clocks.offsets(), [{ peer: 'a', offsetMs: 120, uncertaintyMs: 40 }]);
  clock.advance(5000);
  assert.deepEqual(clocks.offsets(), [{ peer: 'a', offsetMs: 120, uncertaintyMs: 40 }]);
  clock.nowWallMs += 1000;
  assert.deepEqual(clocks.offsets(), [{ peer: 'a', offsetMs: -880, uncertaintyMs: 40 }]);
  clock.advance(60_001);
  assert.deepEqual(clocks.offsets(), [], 'too long ago');
});

test('the shorter round trip counts, unless the clock was set in between', () => {
  const { clocks, hear } = clocksOf('a');
  hear('a', 10, 20);
  hear('a', 60, 200);
  assert.equal(clocks.offsets()[0]?.offsetMs, 10);
  hear('a', 5000, 200);
  assert.equal(clocks.offsets()[0]?.offsetMs, 5000);
});

test('a region off most clocks that it measured is fenced, and told of it once each way', () => {
  const { clock, clocks, hear, audited, told } = clocksOf('a', 'b', 'control');
  hear('a', 399);
  hear('b', 1000);
  hear('control', 0);
  assert.equal(clocks.fence(), undefined, 'one of three');
  clock.nowWallMs -= 1;
  assert.match(clocks.fence() ?? '', /that of a is 400 ms ahead.*that of b/);
  clocks.fence();
  clock.nowWallMs += 1;
  assert.equal(clocks.fence(), undefined);
  assert.deepEqual(audited, ['clock-fenced', 'clock-fence-ended']);
  assert.deepEqual(told(), ['clock-offset', 'clock-offset', 'clock-fenced', 'clock-fence-ended']);
});

test('what a slow link cannot prove is nobody’s fault', () => {
  const { clocks, hear, told } = clocksOf('a');
  hear('a', 600, 500);
  assert.equal(clocks.fence(), undefined);
  assert.equal(clocks.beyondBound('a'), false);
  assert.deepEqual(told(), ['clock-offset']);
  hear('a', 2000, 500);
  assert.notEqual(clocks.fence(), undefined);
  assert.equal(clocks.beyondBound('a'), true);
});

test('nothing is known before anybody was measured', () => {
  assert.equal(clocksOf('a', 'b').clocks.fence(), undefined);
});
