import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstRecord } from '#core/failover/lease';
import { EarlierLife } from '#region/failover/earlier-life';
import { type OwnLog, VOUCH_WAIT_MS } from '#region/failover/incarnation';
import { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { TEST_HOST } from '#region/testing/in-process.fixture';

const BEFORE = 'flights/0/us-east/00000000000000a1';
const NOW = 'flights/0/us-east/00000000000000a2';
const PEERS = ['ap-south', 'eu-west'];

/** A holder with an empty log, which extends `NOW` and extended `BEFORE` in the same epoch. */
function holder(options: {
  ownLog?: OwnLog;
  /** Id of the log that the record names; this one is `log b`. */
  holderLog?: string;
  /** What the record saw of `BEFORE`. */
  reported?: number;
  announced?: number;
}) {
  const clock = new HandClock();
  const { log: changeLog, journal } = new HeldDisk().open();
  const log = new NamespaceLog({ namespace: 'flights', log: changeLog, journal, host: TEST_HOST, clock });
  const first = firstRecord({
    namespace: 'flights',
    holder: 'us-east',
    streams: [BEFORE],
    log: options.holderLog ?? '',
  });
  const reported = { [BEFORE]: options.reported ?? 0 };
  const lease = { revision: 3, record: { ...first, streams: [BEFORE, NOW], reported } };
  log.adopt(lease);
  /** How far each peer holds `BEFORE`; one that is not here does not answer. */
  const held = new Map<string, number>();
  const peers = {
    names: PEERS,
    connected: (peer: string) => held.has(peer),
    request: async (peer: string) => {
      const seq = held.get(peer) ?? 0;
      return { answer: { streams: seq === 0 ? {} : { [BEFORE]: { seq, hash: '' } } }, blob: Buffer.alloc(0) };
    },
  } as unknown as Peers;
  let words = 0;
  const life = new EarlierLife({
    lease,
    streams: [NOW],
    ownLog: options.ownLog ?? 'whole',
    log,
    logId: 'log b',
    applier: { announcedHead: () => options.announced ?? 0 },
    peers,
    attached: () => true,
    clock,
    onWord: () => words++,
  });
  /** What is missing once those who can answer have. */
  const shortfall = async (): Promise<string | undefined> => {
    const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await settled();
    life.shortfall();
    await settled();
    return life.shortfall()?.reason;
  };
  return { clock, held, shortfall, heard: () => words };
}

const LOST: readonly { readonly by: string; readonly options: Parameters<typeof holder>[0] }[] = [
  { by: 'what a peer held', options: { ownLog: 'behind', holderLog: 'log b' } },
  { by: 'what the control store saw', options: { reported: 7, holderLog: 'log b' } },
  { by: 'the id of its log', options: { ownLog: 'unvouched', holderLog: 'log a' } },
];

for (const { by, options } of LOST)
  test(`a holder that lost a part of its log, by ${by}, waits for the word of every peer`, async () => {
    const { clock, held, shortfall, heard } = holder(options);
    assert.match((await shortfall()) ?? '', /ap-south, eu-west did not say/);
    held.set('ap-south', 0);
    assert.match((await shortfall()) ?? '', /lost a part of this epoch, and eu-west did not say/);
    clock.advance(3_600_000);
    assert.match((await shortfall()) ?? '', /eu-west did not say/);
    held.set('eu-west', 0);
    assert.equal(await shortfall(), undefined);
    assert.equal(heard(), 2);
  });

test('what a peer said that it holds is waited for, until it says otherwise', async () => {
  const { held, shortfall } = holder({ ownLog: 'behind' });
  held.set('ap-south', 0);
  held.set('eu-west', 7);
  assert.match((await shortfall()) ?? '', /up to 0, others up to 7/);
  // What it had taken was not on its disk yet when it died.
  held.set('eu-west', 0);
  assert.equal(await shortfall(), undefined);
});

test('what a peer announced is waited for, asked or not', async () => {
  const { shortfall } = holder({ ownLog: 'unvouched', holderLog: 'log b', announced: 7 });
  assert.match((await shortfall()) ?? '', /up to 0, others up to 7/);
});

test('a holder that was not vouched for has waited; one that starts again before its first append asks for a while', async () => {
  assert.equal(await holder({ ownLog: 'unvouched', holderLog: 'log b' }).shortfall(), undefined);
  const again = holder({ holderLog: 'log b' });
  assert.match((await again.shortfall()) ?? '', /did not say/);
  again.clock.advance(VOUCH_WAIT_MS + 1);
  assert.equal(await again.shortfall(), undefined);
});
