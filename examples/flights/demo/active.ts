import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadProject } from '#adapters/project-files/load-project';
import { JsonLogger } from '#adapters/system/json-logger';
import { SystemHost } from '#adapters/system/system-host';
import { BatchSender } from '#cli/ingest/batch-sender';
import { clientToken } from '#cli/project/tokens';
import { Topology } from '#cli/topology';
import type { ViewCodec } from '#core/codec/view-codec';
import type { OfflineRow } from '#ports/offline-store';
import { encodeChangeBatch } from '#server/change-batch';
import { type ActiveReport, brokenActivePromises, renderActiveReport } from './active-report.ts';
import { ACTIVE_VIEW, type Assigned, assign, flightRows } from './active-rows.ts';
import { conflictsOf, listedConflicts, lostWrites } from './conflicts.ts';
import { Observer } from './observe.ts';
import { makeProject } from './project.ts';
import { Readers } from './readers.ts';
import type { Screen } from './screen.ts';
import { type AcknowledgedChange, verifyRegions } from './verify.ts';

const NAMESPACE = 'flights';
const BATCH_ROWS = 500;
const IN_FLIGHT = 3;
const RETRY_MS_MAX = 60_000;
const CONVERGE_MS_MAX = 120_000;
const PARTITION_MS_MIN = 3000;
const READS_PER_SECOND = 25;
const SAMPLE_ENTITIES = 10;
const SAMPLE_CONFLICTS = 5;

/**
 * The same flights written in three regions at once: rows of their own, and rows that two or all of them change at a time
 * when no region can hear another. After the heal all regions hold the same, and every write that lost is in a ledger.
 */
export async function runActive(options: {
  readonly base: string;
  readonly screen: Screen;
  readonly cleanups: (() => Promise<void> | void)[];
  readonly once: boolean;
  readonly keep: boolean;
  readonly rows: number;
  readonly report: string | undefined;
  /** Resolves when the person has seen enough of the dashboard. */
  readonly seen: () => Promise<void>;
}): Promise<number> {
  const { screen, cleanups } = options;
  const folder = mkdtempSync(join(tmpdir(), 'antipode-demo-'));
  cleanups.push(() =>
    options.keep ? screen.say(`kept: ${folder}`) : rmSync(folder, { recursive: true, force: true }),
  );
  screen.say('three regions behind lines of 40, 60 and 110 ms one way; every one of them accepts writes');
  const demo = await makeProject({ base: options.base, folder, replication: 'active-active' });
  cleanups.push(() => demo.stop());
  const project = await loadProject(folder);
  const computing = flightRows(project, options.rows);
  computing.catch(() => undefined);
  const topology = new Topology({ project, autoRestart: false });
  cleanups.push(() => topology.stop());
  await topology.start();
  await topology.waitForMembers(NAMESPACE, { timeoutMs: 60_000 });
  const readToken = (await clientToken(topology.paths, 'read')) ?? '';
  // The screen is standard error; a token has no place in a log that it is sent to.
  const access = readToken === '' || process.stderr.isTTY !== true ? '' : `#token=${readToken}`;
  for (const { name } of demo.regions)
    screen.say(`${name.padEnd(9)} ${topology.url(name)}   dashboard ${topology.url(name)}/${access}`);
  const { codec, rows } = await computing;
  const assignment = assign(codec, rows, topology.regions);
  const startedMs = performance.now();
  const writers = new Writers(topology, codec);
  const observer = new Observer(topology);
  cleanups.push(() => observer.stop());
  const readers = new Readers({
    targets: demo.regions.map(({ name, serve }) => ({ region: name, ...serve })),
    token: readToken,
    perSecond: READS_PER_SECOND,
    next: () => writers.someRequest(),
  });
  cleanups.push(() => readers.stop());
  const allConverged = async (otherwise: string): Promise<void> => {
    const sinceMs = Date.now();
    await until(async () => {
      await observer.refresh();
      return observer.converged(topology.regions, sinceMs);
    }, otherwise);
  };

  screen.say(`each region writes rows of its own: ${assignment.before.length.toLocaleString('en-US')} in all`);
  await writers.write(assignment.before);
  await allConverged('the regions did not converge before the partition');
  await writers.write(assignment.handed);
  await allConverged('the regions did not converge before the partition');

  const lines = topology.regions.flatMap((region) => demo.linesOf(region));
  const cutMs = performance.now();
  for (const line of lines) line.cut('refuse');
  screen.say(
    `all lines cut; ${assignment.shared.length.toLocaleString('en-US')} rows are changed in two or three regions each`,
  );
  const before = { ...writers.written };
  await writers.write([...assignment.during, ...assignment.shared.flat()]);
  const rowsWrittenCutOff = Object.fromEntries(
    topology.regions.map((region) => [region, (writers.written[region] ?? 0) - (before[region] ?? 0)]),
  );
  // A timer may fire a fraction of a millisecond early.
  await pause(Math.max(0, Math.ceil(PARTITION_MS_MIN + 1 - (performance.now() - cutMs))));
  const healedMs = performance.now();
  for (const line of lines) line.heal();
  screen.say('all lines are back');
  await allConverged('the regions did not converge after the heal');
  const catchUpMs = Math.round(performance.now() - healedMs);

  const urls = topology.regions.map((region) => topology.url(region));
  const listed = await listedConflicts({ urls, token: readToken, view: ACTIVE_VIEW });
  const names = new Set(listed.conflicts.values());
  const expected = conflictsOf(assignment, { from: 2, to: 2 });
  const possible = conflictsOf(assignment, { from: 3, to: topology.regions.length });
  const audits = await Promise.all(
    topology.regions.map(async (region) => (await topology.client(region, 'admin')).auditVerify()),
  );
  readers.stop();
  if (!options.once) {
    screen.say('the regions are compared at the end: press Ctrl-C when you have seen enough of the dashboard');
    await options.seen();
  }
  await observer.stop();
  await topology.stop();
  const verdict = await verifyRegions({
    folders: Object.fromEntries(topology.regions.map((region) => [region, topology.paths.data(region)])),
    namespace: NAMESPACE,
    bootId: new SystemHost({ dataDirectory: folder, logger: new JsonLogger() }).bootId(),
    acknowledged: writers.acknowledged,
    leased: false,
    progress: (text) => screen.say(text),
  });
  const lost = lostWrites(assignment, (key) => verdict.winnerOf(codec.rowKey(key)));
  const unlisted = lost.difference(listed.losers);
  const tallies = [...readers.tallies.values()];
  const report: ActiveReport = {
    replication: 'active-active',
    regions: topology.regions.length,
    seconds: Math.round((performance.now() - startedMs) / 100) / 10,
    rowsWritten: { ...writers.written },
    rowsWrittenCutOff,
    partitionMs: Math.round(healedMs - cutMs),
    catchUpMs,
    ackedRowsLost: verdict.ackedRowsLost,
    rowsCompared: verdict.rowsCompared,
    rowsDiffering: verdict.rowsDiffering,
    rowsPerRegion: verdict.rowsPerRegion,
    conflictsListed: listed.conflicts.size,
    conflictsExpected: expected.size,
    conflictsMissing: expected.difference(names).size,
    conflictsUnexpected: names.difference(expected).difference(possible).size + (listed.conflicts.size - names.size),
    rowsWrittenEverywhere: assignment.shared.filter(({ length }) => length > 2).length,
    conflictsEverywhere: names.intersection(possible).size,
    writesLost: lost.size,
    writesLostUnlisted: unlisted.size,
    everyLoserListed: unlisted.size === 0,
    conflictsSample: [...names].slice(0, SAMPLE_CONFLICTS),
    reads: tallies.reduce((sum, { requests }) => sum + requests, 0),
    readErrors: tallies.reduce((sum, { errors }) => sum + errors, 0),
    lastReadError: tallies.find(({ lastError }) => lastError !== null)?.lastError ?? null,
    auditVerified: audits.every(({ ok }) => ok),
  };
  console.log(`\n${renderActiveReport(report)}\n`);
  if (options.report !== undefined) writeFileSync(options.report, `${JSON.stringify(report, null, 2)}\n`);
  const broken = brokenActivePromises(report);
  for (const promise of broken) console.error(`broken: ${promise}`);
  if (broken.length === 0) console.log('every promise was kept');
  return broken.length === 0 ? 0 : 1;
}

/** Writes rows in the regions they are assigned to, all regions at once, and remembers what was acknowledged. */
class Writers {
  readonly acknowledged: AcknowledgedChange[] = [];
  readonly written: Record<string, number> = {};
  readonly #topology: Topology;
  readonly #codec: ViewCodec;
  #batches = 0;

  constructor(topology: Topology, codec: ViewCodec) {
    this.#topology = topology;
    this.#codec = codec;
  }

  async write(assigned: readonly Assigned[]): Promise<void> {
    await Promise.all(
      this.#topology.regions.map((region) =>
        this.#writeIn(
          region,
          assigned.filter((each) => each.region === region).map(({ row }) => row),
        ),
      ),
    );
  }

  /** A read of some rows that were acknowledged; undefined while there are none. */
  someRequest(): { features: string[]; entities: Record<string, string[]> } | undefined {
    if (this.acknowledged.length === 0) return undefined;
    const { view, rowKeyPrefix } = this.#codec;
    const entities: Record<string, string[]> = Object.fromEntries(view.joinKeys.map(({ name }) => [name, []]));
    for (let i = 0; i < SAMPLE_ENTITIES; i++) {
      const { rowKey } = this.acknowledged[Math.floor(Math.random() * this.acknowledged.length)] as AcknowledgedChange;
      const values = this.#codec.decodeKey(Buffer.from(rowKey.slice(rowKeyPrefix.length), 'latin1'));
      for (const [index, { name }] of view.joinKeys.entries()) entities[name]?.push(String(values[index]));
    }
    return { features: view.features.slice(0, 6).map(({ name }) => `${view.name}:${name}`), entities };
  }

  async #writeIn(region: string, rows: readonly OfflineRow[]): Promise<void> {
    const sender = new BatchSender({
      clients: [await this.#topology.client(region, 'write')],
      retryMsMax: RETRY_MS_MAX,
    });
    const batches: OfflineRow[][] = [];
    for (let at = 0; at < rows.length; at += BATCH_ROWS) batches.push(rows.slice(at, at + BATCH_ROWS));
    const work = async (): Promise<void> => {
      for (let batch = batches.shift(); batch !== undefined; batch = batches.shift())
        await this.#send(sender, region, batch);
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  }

  async #send(sender: BatchSender, region: string, changes: readonly OfflineRow[]): Promise<void> {
    const batch = encodeChangeBatch({ version: this.#codec.view.version, changes });
    const { result } = await sender.send({
      view: this.#codec.view.name,
      batch,
      idempotencyKey: `active.${region}.${this.#batches++}`,
    });
    if (result.hub !== region || result.accepted !== changes.length)
      throw new Error(`${region} was asked, ${result.hub} accepted ${result.accepted} of ${changes.length} rows`);
    this.written[region] = (this.written[region] ?? 0) + changes.length;
    for (const { key, eventTimeUs, row } of changes)
      this.acknowledged.push({ rowKey: this.#codec.rowKey(key).toString('latin1'), eventTimeUs, row });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(condition: () => Promise<boolean>, otherwise: string): Promise<void> {
  const endMs = performance.now() + CONVERGE_MS_MAX;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(otherwise);
    await pause(200);
  }
}
