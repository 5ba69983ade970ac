import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, FULL_CLASS } from '#core/codec/frame';
import { firstRecord, promotedRecord } from '#core/failover/lease';
import { ZERO_HASH } from '#core/hash';
import type { Applier } from '#region/apply/applier';
import type { AuditLog } from '#region/audit/audit-log';
import { Acceptance } from '#region/failover/acceptance';
import { Eligibility } from '#region/failover/eligibility';
import { shortfallOf } from '#region/failover/readiness';
import { greatestReading } from '#region/failover/sealed-stamps';
import { StandingNotices } from '#region/failover/standing-notices';
import { HlcService } from '#region/ingest/hlc-service';
import { EventList } from '#region/observe/events';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk } from '#region/testing/held-disk.fixture';
import { QUIET, TEST_HOST } from '#region/testing/in-process.fixture';

const OLD = 'flights/0/us-east/00000000000000a1';
const NEW = 'flights/0/eu-west/00000000000000b1';
const TAIL = 'flights/0/ap-south/00000000000000c1';
const NOW = 1_000_000;
const HOUR = 3_600_000;

/** A region that holds `held` changes of the old stream, of which its seal names five. */
async function standing(options: {
  held: number;
  /** Why the wall clock is not trusted. */
  skew?: string;
  halted?: string;
  rebuilding?: boolean;
  partitions?: number;
  replayedWallMs?: number;
  wallMs?: number;
  promotable?: readonly string[];
  lossy?: 'allow' | 'refuse';
  /** What peers have not said of streams that this region extended in the epoch before. */
  unheard?: string;
}) {
  const clock = new HandClock(NOW);
  const { log: changeLog, journal } = new HeldDisk().open();
  const log = new NamespaceLog({ namespace: 'flights', log: changeLog, journal, host: TEST_HOST, clock });
  const first = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [OLD] });
  const promotion = { holder: 'eu-west', streams: [NEW], seal: { [OLD]: 5 }, promised: [], missing: [], lossy: false };
  log.adopt({ revision: 9, record: promotedRecord(first, promotion) });
  let previousHash: Uint8Array = ZERO_HASH;
  for (let from = 0; from < options.held; from++) {
    const replayed = options.replayedWallMs !== undefined && from === 1;
    const frame = encodeFrame({
      stream: OLD,
      epoch: 1,
      from,
      to: from + 1,
      kind: 'rows',
      viewVersion: '00112233445566778899aabbccddeeff',
      previousHash,
      hlc: { wallMs: options.wallMs ?? from + 1, counter: from },
      watermarkMs: 1,
      applied: [],
      egressClass: FULL_CLASS,
      omitted: [],
      idempotency: [],
      replay: replayed
        ? {
            tail: { stream: TAIL, from: 3, to: 4 },
            original: { stream: TAIL, from: 3, hlc: { wallMs: options.replayedWallMs ?? 0, counter: 2 }, applied: [] },
          }
        : null,
      payload: Buffer.alloc(0),
    });
    await log.mirror(OLD, { ...frame, previousHash, epoch: 1 }, { forPromotion: false });
    previousHash = frame.hash;
  }
  const applier = {
    rebuilding: options.rebuilding ?? false,
    checkpoint: (stream: string) => (options.halted === undefined && stream === OLD ? options.held : 0),
    incomplete: () => undefined,
    projection: { reading: () => ({ wallMs: 0, counter: 0 }) },
    haltedReason: (stream: string) => (stream === OLD ? options.halted : undefined),
    kick: () => undefined,
  } as unknown as Applier;
  const events = new EventList({ clock, log: QUIET });
  const audited: string[] = [];
  const audit = { note: (_: string, action: string) => audited.push(action) } as unknown as AuditLog;
  const notices = new StandingNotices({ region: 'eu-west', namespace: 'flights', events, audit });
  const hlc = new HlcService({ clock, journal });
  const stamps = { skew: () => options.skew };
  const config = {
    namespace: 'flights',
    partitions: options.partitions ?? 1,
    automatic: true,
    promotable: options.promotable ?? ['eu-west'],
    lossy: options.lossy ?? ('allow' as const),
  };
  const earlier = {
    shortfall: () => (options.unheard === undefined ? undefined : ({ kind: 'hole', reason: options.unheard } as const)),
  };
  const eligibility = new Eligibility({ region: 'eu-west', config, log, applier, stamps, notices });
  const acceptance = (): Acceptance =>
    new Acceptance({ namespace: 'flights', log, applier, hlc, stamps, clock, notices, earlier });
  return { clock, log, applier, eligibility, acceptance, audited, told: () => events.list() };
}

test('who lost a part of an epoch leaves it to others only where they take over whatever is lost', async () => {
  const promotable = ['eu-west', 'us-east'];
  const leaves = async (options: object): Promise<boolean> =>
    (await standing({ held: 5, ...options })).eligibility.othersMayTakeOver();
  assert.equal(await leaves({ promotable }), true);
  assert.equal(await leaves({ promotable, lossy: 'refuse' }), false);
  assert.equal(await leaves({}), false);
});

test('a holder that extends other streams than before waits for what peers hold of the earlier ones', async () => {
  const { acceptance } = await standing({ held: 5, unheard: 'ap-south did not say' });
  const entry = acceptance();
  assert.equal(entry.due(), false);
  assert.match(entry.waitsFor ?? '', /ap-south did not say/);
});

test('a region with everything up to the seals applied may become hub and accept', async () => {
  const { eligibility, acceptance, log, applier, told } = await standing({ held: 5 });
  assert.equal(shortfallOf({ log, applier }), undefined);
  assert.equal(eligibility.forLapsedLease(), true);
  assert.equal(acceptance().due(), true);
  assert.deepEqual(told(), []);
});

test('a region below a seal neither takes over by itself nor accepts, and says why once', async () => {
  const { eligibility, acceptance, log, applier, told, audited } = await standing({ held: 3 });
  assert.equal(shortfallOf({ log, applier })?.kind, 'hole');
  const entry = acceptance();
  for (let i = 0; i < 3; i++) {
    assert.equal(eligibility.forLapsedLease(), false);
    assert.equal(entry.due(), false);
  }
  assert.match(entry.waitsFor ?? '', /up to 3, the seal is 5/);
  assert.deepEqual(
    told().map(({ event }) => event),
    ['not-eligible', 'hub-not-accepting'],
  );
  assert.deepEqual(audited, ['not-eligible', 'hub-not-accepting']);
});

test('a person outweighs missing sealed history, but no hub accepts with a hole: the record must lower the seal', async () => {
  const { clock, eligibility, acceptance } = await standing({ held: 3 });
  eligibility.assertForOrder(false);
  const entry = acceptance();
  assert.equal(entry.due(), false);
  clock.advance(60_000);
  assert.equal(entry.due(), false);
});

test('a halted stream is not caught up, and nobody makes such a region hub', async () => {
  const { clock, eligibility, acceptance } = await standing({ held: 5, halted: 'FRAME_CORRUPT: bad checksum' });
  assert.equal(eligibility.forLapsedLease(), false);
  assert.throws(() => eligibility.assertForOrder(false), /cannot be applied beyond 0: FRAME_CORRUPT/);
  const entry = acceptance();
  clock.advance(60_000);
  assert.equal(entry.due(), false);
});

test('another number of partitions than the namespace was created with is refused, naming both', async () => {
  const { eligibility, told } = await standing({ held: 5, partitions: 4 });
  assert.equal(eligibility.partitionsFit(), false);
  assert.equal(eligibility.partitionsFit(), false);
  assert.equal(told().length, 1);
  assert.match(told()[0]?.message ?? '', /created with 1 partitions, the configuration says 4/);
  assert.throws(() => eligibility.assertForOrder(false), { code: 'CONFIG_INVALID' });
});

test('a holder whose clock must wait an hour for sealed stamps says so once, with the seconds', async () => {
  const { clock, acceptance, told, audited } = await standing({ held: 5, wallMs: NOW + HOUR });
  const entry = acceptance();
  assert.equal(entry.due(), false);
  assert.equal(entry.due(), false);
  assert.deepEqual(audited, ['hub-waits-for-clock']);
  assert.match(told()[0]?.message ?? '', /in 3600 s/);
  clock.advance(HOUR);
  assert.equal(entry.due(), true);
});

test('the original stamps of replayed changes count among the sealed ones', async () => {
  const { log } = await standing({ held: 5, replayedWallMs: NOW + HOUR });
  assert.deepEqual(greatestReading(log), { wallMs: NOW + HOUR, counter: 2 });
});

test('a region with a wrong clock neither takes over nor accepts', async () => {
  const { eligibility, acceptance, told } = await standing({ held: 5, skew: 'the clock is off' });
  assert.equal(eligibility.forLapsedLease(), false);
  assert.throws(() => eligibility.assertForOrder(false), { code: 'FAILOVER_REFUSED', message: /the clock is off/ });
  assert.equal(acceptance().due(), false);
  assert.deepEqual(
    told().map(({ event }) => event),
    ['not-eligible', 'hub-waits-for-clock'],
  );
});
