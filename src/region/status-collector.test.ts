import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstRecord, type LeaseRecord, promotedRecord } from '#core/failover/lease';
import type { StreamKey } from '#core/model/stream';
import type { Applier } from '#region/apply/applier';
import type { StampGate } from '#region/clocks/stamp-gate';
import type { Authority } from '#region/failover/authority';
import { DurablePositions } from '#region/replicate/durable-positions';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { StatusCollector } from '#region/status-collector';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { TEST_HOST } from '#region/testing/in-process.fixture';
import { chainOf } from '#region/testing/link-node.fixture';

const OWN = 'flights/0/us-east/00000000000000a1';
const OTHERS = 'flights/0/eu-west/00000000000000b1';
const EPOCH_1 = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [OWN] });
const EPOCH_2 = promotedRecord(EPOCH_1, {
  holder: 'eu-west',
  streams: [OTHERS],
  seal: { [OWN]: 1000 },
  promised: [],
  missing: [],
  lossy: false,
});

/** us-east, with an applier that does what the test says. */
class Collected {
  readonly clock = new HandClock();
  readonly log: NamespaceLog;
  readonly checkpoints = new Map<StreamKey, number>();
  readonly heard = new Map<StreamKey, { head: number; watermarkMs: number }>();
  readonly halted = new Map<StreamKey, string>();
  vouches = false;
  skew: string | undefined;
  readonly #collector: StatusCollector;

  constructor(record: LeaseRecord) {
    const { log, journal } = new HeldDisk().open();
    this.log = new NamespaceLog({ namespace: 'flights', log, journal, host: TEST_HOST, clock: this.clock });
    this.log.adopt({ record, revision: 1 });
    const applier = {
      rebuilding: false,
      checkpoint: (stream) => this.checkpoints.get(stream) ?? 0,
      haltedReason: (stream) => this.halted.get(stream),
      incomplete: () => undefined,
      parkedUntilMs: () => undefined,
      lag: () => undefined,
      appliedVector: () => [],
      announce: (stream, head, watermarkMs) =>
        void (watermarkMs !== null && this.heard.set(stream, { head, watermarkMs })),
      announcedHead: (stream) => this.heard.get(stream)?.head ?? 0,
      watermarkMs: (stream) => this.heard.get(stream)?.watermarkMs ?? null,
    } satisfies Partial<Applier>;
    const stamps: Pick<StampGate, 'reason' | 'skew'> = { reason: () => undefined, skew: () => this.skew };
    const authority = { status: () => ({ namespace: 'flights' }) };
    this.#collector = new StatusCollector({
      region: 'us-east',
      clock: this.clock,
      applier: applier as unknown as Applier,
      positions: new DurablePositions(),
      namespaces: new Map([['flights', { log: this.log, authority: authority as unknown as Authority }]]),
      vouchesFor: (stream) => this.vouches && stream === OWN,
      announcedHead: () => 0,
      backfill: () => null,
      stamps: stamps as StampGate,
    });
  }

  /** What status and serving state say; they must not differ. */
  freshnessMs(): number | null {
    const freshness = this.#collector.namespaces()[0]?.freshnessMs ?? null;
    const anchor = this.#collector.servingState().namespaces['flights']?.freshnessAnchorMs ?? null;
    assert.equal(anchor === null ? null : this.clock.wallMs() - anchor, freshness);
    return freshness;
  }

  certainMs(): number | null {
    const { certainAnchorMs } = this.#collector.freshness('flights');
    return certainAnchorMs === null ? null : this.clock.wallMs() - certainAnchorMs;
  }

  stream(key: StreamKey): ReturnType<StatusCollector['streams']>[number] {
    const status = this.#collector.streams().find(({ stream }) => stream === key);
    if (status === undefined) throw new Error(`no ${key}`);
    return status;
  }
}

test('a hub is fresh while it may append, and no fresher than then once it is cut off', () => {
  const region = new Collected(EPOCH_1);
  assert.equal(region.freshnessMs(), null, 'it never could');
  region.vouches = true;
  assert.equal(region.freshnessMs(), 0);
  region.clock.advance(5000);
  assert.equal(region.freshnessMs(), 0);
  region.vouches = false;
  region.clock.advance(7000);
  assert.equal(region.freshnessMs(), 7000);
  assert.equal(region.stream(OWN).freshnessMs, 7000);
});

test('a sealed stream that is not applied to its seal keeps the namespace from being fresh', () => {
  const region = new Collected(EPOCH_2);
  region.heard.set(OTHERS, { head: 0, watermarkMs: region.clock.wallMs() });
  assert.equal(region.freshnessMs(), null);
  assert.equal(region.stream(OWN).backlog, 1000, 'although no peer has announced it');
  region.checkpoints.set(OWN, 999);
  assert.equal(region.freshnessMs(), null);
  region.checkpoints.set(OWN, 1000);
  assert.equal(region.freshnessMs(), 0);
  assert.equal(region.stream(OWN).backlog, 0);
});

test('the anchor stays where it was while an epoch closes beyond what is applied', () => {
  const region = new Collected(EPOCH_1);
  region.vouches = true;
  assert.equal(region.freshnessMs(), 0);
  region.vouches = false;
  region.clock.advance(3000);
  region.log.adopt({ record: EPOCH_2, revision: 2 });
  region.heard.set(OTHERS, { head: 0, watermarkMs: region.clock.wallMs() });
  assert.equal(region.freshnessMs(), 3000);
  region.checkpoints.set(OWN, 1000);
  assert.equal(region.freshnessMs(), 0);
});

test('freshness does not advance while a stream is halted', () => {
  const region = new Collected(EPOCH_2);
  region.checkpoints.set(OWN, 1000);
  region.heard.set(OTHERS, { head: 0, watermarkMs: region.clock.wallMs() });
  assert.equal(region.freshnessMs(), 0);
  region.halted.set(OTHERS, 'FRAME_CORRUPT');
  region.clock.advance(4000);
  region.heard.set(OTHERS, { head: 0, watermarkMs: region.clock.wallMs() });
  assert.equal(region.freshnessMs(), 4000);
});

test('backlog of an open stream counts what is announced and what is only logged', async () => {
  const region = new Collected(EPOCH_2);
  for (const frame of chainOf(OTHERS, 3)) await region.log.mirror(OTHERS, frame, { forPromotion: false });
  region.checkpoints.set(OTHERS, 100);
  assert.equal(region.stream(OTHERS).backlog, 200);
  region.heard.set(OTHERS, { head: 500, watermarkMs: 1 });
  assert.equal(region.stream(OTHERS).backlog, 400);
});

test('what bounded reads go by allows for the bound between two clocks, and for none with a wrong one', () => {
  const region = new Collected(EPOCH_2);
  region.checkpoints.set(OWN, 1000);
  region.heard.set(OTHERS, { head: 0, watermarkMs: region.clock.wallMs() - 100 });
  assert.equal(region.freshnessMs(), 100);
  assert.equal(region.certainMs(), 600);
  region.skew = 'off';
  assert.equal(region.certainMs(), null);
  const own = new Collected(EPOCH_1);
  own.vouches = true;
  assert.equal(own.certainMs(), 0, 'one clock is not apart from itself');
});
