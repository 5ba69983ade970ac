// Three regions as real processes: writes anywhere, reads everywhere, and regions killed at random moments.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { Project } from '#adapters/project-files/load-project';
import { type AcknowledgedBatch, type IngestSummary, ingestView } from '#cli/ingest/ingest-view';
import { launch } from '#cli/process/launch';
import type { Topology } from '#cli/topology';
import { readStored } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import { FRAME_CHANGES_TARGET } from '#region/ingest/frame-builder';
import { SeededRandom } from '#sim/kernel/seeded-random';
import { changeIdentity, readBooks, readLease } from './support/account-books.ts';
import {
  FULL,
  LEASE_MS,
  MARGIN_MS,
  newProject,
  processesOf,
  sleep,
  startTopology,
  until,
} from './support/local-topology.ts';

const REGIONS = ['ap', 'eu', 'us'] as const;
const ROUNDS = FULL ? 20 : 3;
/** Draws who is killed, when and for how long. */
const SEED = Number(process.env['ANTIPODE_SEED'] ?? randomInt(2 ** 31));
const SENSORS = 400;
const ROWS_PER_ROUND = 16_000;
/** A round's rows are sent over this time at the least, so that a moment drawn from it falls among them. */
const INGEST_MS = 2_000;
const DAY_MS = 86_400_000;

suite('three regions', () => {
  test('a push at a replica is forwarded to the hub and read everywhere', async (t) => {
    const topology = await startTopology(t, await newProject(t));
    const replica = await topology.client('us', 'write');
    const headers = await replica.push('readings', {
      sensor_id: [1, 2],
      reading: [10, 2n ** 60n + 1n],
      note: ['a', 'ü'],
      event_timestamp: [at(0), at(1)],
    });
    assert.equal(headers.get('antipode-hub'), 'ap');
    for (const region of REGIONS) {
      const client = await topology.client(region, 'read');
      await until(`the rows are in ${region}`, 5_000, async () => {
        const { results } = await client.onlineFeatures(['readings:reading'], { sensor_id: [1, 2] });
        return results[1]?.statuses.every((status) => status === 'PRESENT') === true;
      });
      const { results } = await client.onlineFeatures(['readings:reading', 'readings:note'], { sensor_id: [1, 2, 3] });
      assert.deepEqual(results[1]?.values, [10, 2n ** 60n + 1n, null], 'an int64 beyond 2^53 comes back as it was');
      assert.deepEqual(results[2]?.values, ['a', 'ü', null]);
      assert.deepEqual(results[1]?.statuses, ['PRESENT', 'PRESENT', 'NOT_FOUND']);
    }
    await until('the replica counts what it forwarded', 2_000, async () => {
      return (await replica.status()).ingest.forwardedRequests === 1;
    });
  });

  test('a region or a serving process that dies is started again by itself', async (t) => {
    const topology = await startTopology(t, await newProject(t), { autoRestart: true });
    const node = () => topology.processes().find(({ name }) => name === 'us');
    const before = node();
    process.kill(before?.workers[0] ?? 0, 'SIGKILL');
    await until('another process serves', 10_000, () => {
      const [worker] = node()?.workers ?? [];
      return worker !== undefined && worker !== before?.workers[0];
    });
    await until('it answers', 10_000, async () => (await topology.statuses()).has('us'));
    assert.equal(node()?.pid, before?.pid, 'the engine lives on');
    process.kill(before?.pid ?? 0, 'SIGKILL');
    await until('the region serves again', 20_000, () => node()?.state === 'serving' && node()?.pid !== before?.pid);
    await until('it answers again', 10_000, async () => (await topology.statuses()).has('us'));
  });

  test('nothing outlives the process that started it, however early that one dies', async (t) => {
    const project = await newProject(t, { regions: ['us'], failover: 'manual' });
    const topology = await startTopology(t, project);
    const left = (): string[] => processesOf(project.folder).filter((command) => !command.includes('run-control'));
    for (const dies of ['while its serving process starts', 'when that one serves']) {
      const before = topology.processes().find(({ name }) => name === 'us')?.pid ?? 0;
      await topology.killRegion('us', 'SIGTERM');
      const starting = topology.startRegion('us').catch(() => undefined);
      const engine = () => topology.processes().find(({ name }) => name === 'us');
      await until('it has a serving process', 20_000, () => (engine()?.workers.length ?? 0) > 0);
      if (dies.startsWith('when')) await starting;
      assert.notEqual(engine()?.pid, before);
      process.kill(engine()?.pid ?? 0, 'SIGKILL');
      await starting;
      await until(`nothing of it is left that dies ${dies}`, 10_000, () => left().length === 0);
      await topology.startRegion('us');
    }
    const args = ['run-region', 'us', '--project', project.folder];
    await topology.stop();
    const orphan = launch({ args, logFile: topology.paths.log('orphan') });
    orphan.disconnect();
    await once(orphan, 'exit');
    assert.deepEqual(processesOf(project.folder), []);
  });

  test(`no acknowledged change is lost or applied twice while regions are killed ${ROUNDS} times`, async (t) => {
    t.diagnostic(`seed ${SEED}; the same draws again: ANTIPODE_SEED=${SEED}`);
    const random = new SeededRandom(SEED);
    const project = await newProject(t);
    const topology = await startTopology(t, project);
    const acknowledged = new Map<string, string>();
    let hubsKilled = 0;
    for (const [round, kill] of drawKills(random).entries()) {
      const hub = await topology.waitForHub('default', { timeoutMs: 30_000 });
      // All regions in turn include the hub, unless it moved by itself meanwhile.
      const victim = round === ROUNDS - 1 && hubsKilled === 0 ? hub : kill.victim;
      if (victim === hub) hubsKilled += 1;
      const summary = await ingestWhileKilling(t, { project, topology, hub, round, acknowledged, ...kill, victim });
      assert.deepEqual([summary.rows, summary.accepted, summary.bad], [ROWS_PER_ROUND, ROWS_PER_ROUND, 0]);
    }
    assert.ok(hubsKilled > 0, 'the hub was among them');
    assert.equal(acknowledged.size, ROUNDS * ROWS_PER_ROUND);
    await settled(topology);
    await topology.stop();
    await verifyBooks(topology, acknowledged, project);
  });
});

interface Kill {
  readonly victim: string;
  /** From the first row of the round's ingest; the clock decides and not what was acknowledged. */
  readonly afterMs: number;
  /** How long the victim stays down; a hub killed for longer than its lease is waited out until another accepts. */
  readonly downMs: number;
  readonly rowsPerBatch: number;
}

/** Every region in a drawn order, again and again; every other round has batches that span two frames. */
function drawKills(random: SeededRandom): Kill[] {
  const kills: Kill[] = [];
  let order: string[] = [];
  const largeFirst = random.integer(2);
  for (let round = 0; round < ROUNDS; round++) {
    if (order.length === 0) order = shuffled(random, REGIONS);
    const large = round % 2 === largeFirst;
    kills.push({
      victim: order.pop() as string,
      afterMs: random.integer(INGEST_MS),
      downMs: random.integer(3) === 0 ? random.integer(LEASE_MS / 2) : LEASE_MS + MARGIN_MS + random.integer(LEASE_MS),
      rowsPerBatch: large ? FRAME_CHANGES_TARGET + 1 + random.integer(FRAME_CHANGES_TARGET) : 50 + random.integer(400),
    });
  }
  return kills;
}

function shuffled(random: SeededRandom, names: readonly string[]): string[] {
  const left = [...names];
  return names.map(() => left.splice(random.integer(left.length), 1)[0] as string);
}

/** Streams a round's rows in, kills a region meanwhile, and brings it back. */
async function ingestWhileKilling(
  t: TestContext,
  round: Kill & {
    readonly project: Project;
    readonly topology: Topology;
    readonly hub: string;
    readonly round: number;
    readonly acknowledged: Map<string, string>;
  },
): Promise<IngestSummary> {
  const { project, topology, hub, acknowledged, victim, afterMs, downMs, rowsPerBatch } = round;
  writeSource(project, round.round);
  let batches = 0;
  const streaming = Promise.withResolvers<void>();
  const onAcknowledged = (batch: AcknowledgedBatch): void => {
    for (const change of batch.changes) acknowledged.set(changeIdentity(change), batch.region);
    batches += 1;
  };
  const ingested = ingestView({
    project,
    view: 'readings',
    clients: await Promise.all(topology.regions.map((name) => topology.client(name, 'write'))),
    rowsPerBatch,
    rowsPerSecondMax: (ROWS_PER_ROUND * 1000) / INGEST_MS,
    onAcknowledged,
    onProgress: () => streaming.resolve(),
  });
  // Its failure is thrown below, when the victim is back.
  ingested.catch(() => streaming.resolve());
  await streaming.promise;
  await sleep(afterMs);
  await topology.killRegion(victim, 'SIGKILL');
  const killedAtMs = performance.now();
  t.diagnostic(
    `round ${round.round}: ${victim}${victim === hub ? ', the hub,' : ''} killed after ${afterMs} ms and ${batches} batches of ${rowsPerBatch}, down for ${downMs} ms`,
  );
  if (victim === hub && downMs > LEASE_MS) {
    const next = await topology.waitForHub('default', { timeoutMs: 15_000, not: hub });
    const writableMs = Math.round(performance.now() - killedAtMs);
    t.diagnostic(`round ${round.round}: ${next} accepts ${writableMs} ms later`);
    assert.ok(writableMs < 10_000, `writable again within 10 s, not ${writableMs} ms`);
  }
  await sleep(Math.max(0, killedAtMs + downMs - performance.now()));
  await topology.startRegion(victim);
  return ingested;
}

/** Rows of one round: later than those of all rounds before, each with a reading of its own. */
function writeSource(project: Project, round: number): void {
  const lines = Array.from({ length: ROWS_PER_ROUND }, (_, index) => {
    const number = round * ROWS_PER_ROUND + index;
    return `${index % SENSORS},${number},note ${number},${at(number)}`;
  });
  writeFileSync(join(project.folder, 'readings.csv'), `sensor_id,reading,note,event_timestamp\n${lines.join('\n')}\n`);
}

/** A time of yesterday and after, one second for each number. */
function at(second: number): string {
  return new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - 7 * DAY_MS + second * 1000).toISOString();
}

/** Waits until every region has applied everything and every tail is taken over. */
async function settled(topology: Topology): Promise<void> {
  await until('all regions agree and no tail is left', 40_000, async () => {
    const statuses = [...(await topology.statuses()).values()];
    if (statuses.length < REGIONS.length) return false;
    if (statuses.some((status) => status.tails.some((tail) => tail.state !== 'replayed'))) return false;
    const positions = statuses.map((status) =>
      JSON.stringify(
        status.streams
          .filter((stream) => stream.open)
          .map((stream) => [stream.stream, stream.applied])
          .sort(),
      ),
    );
    return new Set(positions).size === 1 && statuses.every((status) => status.streams.every((s) => s.backlog === 0));
  });
  // Tails are looked for twice a second.
  await sleep(1_500);
}

async function verifyBooks(
  topology: Topology,
  acknowledged: ReadonlyMap<string, string>,
  project: Project,
): Promise<void> {
  const lease = await readLease(topology, 'default');
  const books = new Map(
    await Promise.all(REGIONS.map(async (region) => [region, await readBooks(topology, region, lease)] as const)),
  );
  const union = new Map<string, number>();
  let inTails = 0;
  for (const { valid, tails } of books.values()) {
    for (const [change, times] of valid) union.set(change, Math.max(times, union.get(change) ?? 0));
    inTails += tails.size;
  }
  const missing = [...acknowledged.keys()].filter(
    (change) => !union.has(change) && ![...books.values()].some(({ tails }) => tails.has(change)),
  );
  assert.equal(missing.length, 0, `acknowledged and nowhere: ${missing.slice(0, 3).join(' | ')}`);
  const notReplayed = [...acknowledged.keys()].filter((change) => !union.has(change));
  assert.equal(notReplayed.length, 0, `acknowledged and only in a tail (${inTails} in tails)`);
  for (const [region, { valid }] of books) {
    const twice = [...valid].filter(([, times]) => times > 1);
    assert.equal(twice.length, 0, `${region} holds ${twice.length} changes twice, such as ${twice[0]?.[0]}`);
    assert.equal(valid.size, union.size, `${region} has every valid change`);
  }
  const first = books.get(REGIONS[0])?.rows ?? new Map<string, string>();
  assert.equal(first.size, SENSORS);
  for (const region of REGIONS) assert.deepEqual(books.get(region)?.rows, first, `${region} equals ${REGIONS[0]}`);
  verifyReference(first, project);
}

/** The latest row of each sensor, computed from what was generated. */
function verifyReference(rows: ReadonlyMap<string, string>, project: Project): void {
  const codec = new ViewCodec(project.views[0]!);
  const readings = [...rows.values()].map((hex) => {
    const value = Buffer.from(hex, 'hex');
    const [note, reading] = readStored(codec, value).values;
    assert.equal(note, `note ${reading}`);
    return Number(reading);
  });
  const last = ROUNDS * ROWS_PER_ROUND;
  const expected = Array.from({ length: SENSORS }, (_, sensor) => last - ROWS_PER_ROUND + lastRowOf(sensor));
  assert.deepEqual(
    readings.sort((a, b) => a - b),
    expected.sort((a, b) => a - b),
  );
}

/** Index, within a round, of the last row of a sensor. */
function lastRowOf(sensor: number): number {
  return Math.floor((ROWS_PER_ROUND - 1 - sensor) / SENSORS) * SENSORS + sensor;
}
