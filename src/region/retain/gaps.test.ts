import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError } from '#core/errors';
import type { StreamStanding } from '#core/failover/lease';
import { HaltedStreams } from '#region/apply/halted-streams';
import type { EventList } from '#region/observe/events';
import type { Links } from '#region/replicate/links';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { gapsOf, sourceFor } from '#region/retain/gaps';

const STREAM = 'flights/0/us-east/00000000000000aa';

interface Standing {
  readonly seal?: number;
  /** What the own log holds. */
  readonly start: number;
  readonly head: number;
  readonly applied: number;
  /** What the only peer announces. */
  readonly peer?: { readonly start: number; readonly head: number };
  /** After which position a frame is damaged of which no peer has a copy. */
  readonly damagedAt?: number;
}

function untilOf({ seal, start, head, applied, peer, damagedAt }: Standing): number | undefined {
  const standing: StreamStanding = seal === undefined ? { kind: 'open', epoch: 1 } : { kind: 'sealed', epoch: 1, seal };
  const at = (seq: number) => ({ seq, hash: Buffer.alloc(32) });
  const log = {
    namespace: 'flights',
    streams: () => [STREAM],
    standing: () => standing,
    start: () => at(start),
    head: () => at(head),
    queuedHead: () => at(head),
    endAfter: (_: string, after: number) => after + 5,
  } as unknown as NamespaceLog;
  const halted = new HaltedStreams({ add: () => undefined } as unknown as EventList);
  if (damagedAt !== undefined) {
    halted.noteDamage(STREAM, damagedAt, new AntipodeError('FRAME_CORRUPT', 'a frame is damaged'));
    halted.noCopy(STREAM);
  }
  const sources = new Map(peer === undefined ? [] : [[STREAM, [{ peer: 'us-east', ...peer }]]]);
  const gaps = gapsOf(log, { checkpoint: () => applied, halted }, { sources: () => sources });
  assert.ok(gaps.length <= 1);
  return gaps[0]?.until;
}

test('a log that begins above what is applied has a gap', () => {
  assert.equal(untilOf({ start: 10, head: 20, applied: 4 }), 10);
  assert.equal(untilOf({ start: 10, head: 20, applied: 10 }), undefined);
});

test('a gap ends at the seal: what a log lacks beyond it nobody will ever give', () => {
  assert.equal(untilOf({ seal: 6, start: 10, head: 20, applied: 4 }), 6);
  assert.equal(untilOf({ seal: 6, start: 10, head: 20, applied: 6 }), undefined);
  assert.equal(untilOf({ seal: 0, start: 1, head: 1, applied: 0 }), undefined);
});

test('peers whose logs begin above this one leave a gap, up to the seal', () => {
  assert.equal(untilOf({ start: 0, head: 4, applied: 4, peer: { start: 10, head: 20 } }), 10);
  assert.equal(untilOf({ seal: 6, start: 0, head: 4, applied: 4, peer: { start: 10, head: 20 } }), 6);
  assert.equal(untilOf({ seal: 4, start: 0, head: 4, applied: 4, peer: { start: 10, head: 20 } }), undefined);
});

test('a damaged frame of which nobody has a copy is a gap when it comes next, not behind a seal', () => {
  assert.equal(untilOf({ start: 0, head: 20, applied: 5, damagedAt: 5 }), 10);
  assert.equal(untilOf({ start: 0, head: 20, applied: 7, damagedAt: 5 }), undefined);
  assert.equal(untilOf({ seal: 5, start: 0, head: 20, applied: 5, damagedAt: 5 }), undefined);
});

test('a copy comes from whose store fills most gaps, of several from who has applied most, and from nobody who fills none', async () => {
  const gaps = ['a', 'b'].map((stream) => ({ stream, until: 10, within: 'peers' as const, reason: '' }));
  const chosen = async (offers: Record<string, Record<string, number>>): Promise<string | undefined> => {
    const links = {
      names: Object.keys(offers),
      connected: (peer: string) => peer !== 'away',
      request: async (peer: string) => {
        const vector = Object.entries(offers[peer] ?? {}).map(([stream, seq]) => [stream, { seq, hash: '' }]);
        return { answer: { storeId: peer, vector: Object.fromEntries(vector), rows: 1 } };
      },
    } as unknown as Links;
    return (await sourceFor({ namespace: 'flights' } as NamespaceLog, gaps, links, 1000))?.peer;
  };
  assert.equal(await chosen({ one: { a: 10, b: 10 }, two: { a: 11, b: 10 } }), 'two');
  assert.equal(await chosen({ one: { a: 10, b: 10 }, two: { a: 99, b: 9 } }), 'one');
  assert.equal(
    await chosen({ one: { a: 10, b: 9 }, two: { a: 9, b: 9 } }),
    'one',
    'the other gap is filled from elsewhere',
  );
  assert.equal(await chosen({ one: { a: 9, b: 9 }, away: { a: 10, b: 10 } }), undefined);
});
