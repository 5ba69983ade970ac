// Three regions from one command: real flights in, features served locally, the hub killed and survived.
//
//   npm run demo                               and watch; the regions stay up until Ctrl-C
//   npm run demo -- --once --report out.json   unattended; exits 1 when a promise is broken
//   npm run demo -- --active-active            every region accepts writes; a partition, and the conflicts it makes
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadProject } from '#adapters/project-files/load-project';
import { JsonLogger } from '#adapters/system/json-logger';
import { SystemHost } from '#adapters/system/system-host';
import { clientToken } from '#cli/project/tokens';
import { Topology } from '#cli/topology';
import { toAntipodeError } from '#core/errors';
import { runActive } from './demo/active.ts';
import { FlightsIngest } from './demo/ingest.ts';
import { Observer } from './demo/observe.ts';
import { makeProject } from './demo/project.ts';
import { Readers } from './demo/readers.ts';
import { brokenPromises, type DemoReport, renderReport } from './demo/report.ts';
import { Screen } from './demo/screen.ts';
import { verifyRegions } from './demo/verify.ts';

const NAMESPACE = 'flights';
const READS_PER_SECOND = 25;
const CONVERGE_MS_MAX = 120_000;

const { values: flags } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    report: { type: 'string' },
    'active-active': { type: 'boolean', default: false },
    rows: { type: 'string', default: '60000' },
    rate: { type: 'string', default: '12000' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (flags.help) {
  console.log('npm run demo -- [--once] [--report FILE] [--rate ROWS_PER_SECOND] [--keep]');
  console.log('npm run demo -- --active-active [--once] [--report FILE] [--rows ROWS] [--keep]');
  process.exit(0);
}

const screen = new Screen();
const cleanups: (() => Promise<void> | void)[] = [];
let interrupted = false;
/** While the dashboard is there to be looked at, the first Ctrl-C only ends that. */
let seenEnough: (() => void) | undefined;

async function cleanUp(): Promise<void> {
  for (const clean of cleanups.splice(0).reverse()) await clean();
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (seenEnough !== undefined && signal === 'SIGINT') {
      seenEnough();
      seenEnough = undefined;
      return;
    }
    if (interrupted) process.exit(130);
    interrupted = true;
    screen.say('stopping');
    void cleanUp().finally(() => process.exit(130));
  });
}

try {
  const report = flags['active-active'] ? await runTogether() : await run();
  await cleanUp();
  process.exitCode = report;
} catch (caught) {
  const error = toAntipodeError(caught);
  if (!interrupted) console.error(`\nerror ${error.code}: ${error.message}\n${error.remedy}\n${error.stack ?? ''}`);
  await cleanUp();
  process.exitCode = 1;
}

function runTogether(): Promise<number> {
  return runActive({
    base: import.meta.dirname,
    screen,
    cleanups,
    once: flags.once,
    keep: flags.keep,
    rows: Number(flags.rows),
    report: flags.report,
    seen: waitUntilSeen,
  });
}

function waitUntilSeen(): Promise<void> {
  return new Promise((resolve) => {
    seenEnough = resolve;
  });
}

async function run(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'antipode-demo-'));
  cleanups.push(() => (flags.keep ? screen.say(`kept: ${folder}`) : rmSync(folder, { recursive: true, force: true })));
  screen.say('three regions behind lines of 40, 60 and 110 ms one way, 200 Mbit/s');
  const demo = await makeProject({ base: import.meta.dirname, folder });
  cleanups.push(() => demo.stop());
  const project = await loadProject(folder);
  const topology = new Topology({ project, autoRestart: false });
  cleanups.push(() => topology.stop());
  await topology.start();
  const firstHub = await topology.waitForHub(NAMESPACE, { timeoutMs: 30_000 });
  const readToken = await clientToken(topology.paths, 'read');
  // The screen is standard error; a token has no place in a log that it is sent to.
  const access = readToken === undefined || process.stderr.isTTY !== true ? '' : `#token=${readToken}`;
  for (const { name } of demo.regions)
    screen.say(`${name.padEnd(9)} ${topology.url(name)}   dashboard ${topology.url(name)}/${access}`);

  const observer = new Observer(topology);
  cleanups.push(() => observer.stop());
  const ingest = new FlightsIngest({ topology, ratePerSecond: Number(flags.rate) });
  const readers = new Readers({
    targets: demo.regions.map(({ name, serve }) => ({ region: name, ...serve })),
    token: readToken ?? '',
    perSecond: READS_PER_SECOND,
    next: () => ingest.someRequest(),
  });
  cleanups.push(() => readers.stop());
  const stopShowing = screen.show(() => describe(ingest, observer, readers));
  cleanups.push(stopShowing);

  const startedMs = performance.now();
  const stopIngest = new AbortController();
  cleanups.push(() => stopIngest.abort());
  const ingesting = ingest.run(stopIngest.signal);
  ingesting.catch(() => undefined);
  await Promise.race([ingest.reached(0.45), ingesting]);

  // The loss of a region takes what its lines carry with it: cut first, then kill.
  readers.pause(firstHub);
  const acceptedElsewhere = ingest.acceptedElsewhere(firstHub);
  const killedAtMs = Date.now();
  for (const line of demo.linesOf(firstHub)) line.cut('refuse');
  await topology.killRegion(firstHub, 'SIGKILL');
  screen.say(
    `lost ${firstHub}: lines cut, process killed (SIGKILL), after ${ingest.acknowledged.length.toLocaleString('en-US')} acknowledged rows`,
  );
  const newHub = await topology.waitForHub(NAMESPACE, { timeoutMs: 30_000, not: firstHub });
  const timeToWritableMs = (await Promise.race([acceptedElsewhere, ingesting.then(() => Date.now())])) - killedAtMs;
  await observer.refresh();
  const detectedMs = observer.firstEvent(['hub-suspected', 'promotion-started'], killedAtMs, firstHub);
  screen.say(`${newHub} accepts writes, ${timeToWritableMs} ms after the loss`);

  await Promise.race([ingest.reached(0.7), ingesting]);
  observer.freezeLags(firstHub);
  for (const line of demo.linesOf(firstHub)) line.heal();
  const returnedAtMs = performance.now();
  await topology.startRegion(firstHub);
  screen.say(`${firstHub} is back; what it holds beyond the seal goes to ${newHub}`);
  await until(async () => observer.caughtUp(firstHub), CONVERGE_MS_MAX, `${firstHub} did not catch up`);
  const catchUpMs = Math.round(performance.now() - returnedAtMs);
  await ingesting;
  const seconds = (performance.now() - startedMs) / 1000;
  const writtenAtMs = Date.now();
  const everythingThere = async (): Promise<boolean> => {
    await observer.refresh();
    return observer.converged(topology.regions, writtenAtMs);
  };
  await until(everythingThere, CONVERGE_MS_MAX, 'the regions did not converge');
  readers.resume(firstHub);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const verdicts = await Promise.all(
    topology.regions.map(async (region) => (await topology.client(region, 'admin')).auditVerify()),
  );
  await observer.refresh();
  readers.stop();
  stopShowing();
  if (!flags.once)
    screen.say(
      'the regions are compared at the end: press Ctrl-C in this terminal when you have seen enough of the dashboard',
    );
  if (!flags.once) await waitUntilSeen();

  await observer.stop();
  await topology.stop();
  const folders = Object.fromEntries(topology.regions.map((region) => [region, topology.paths.data(region)]));
  const bootId = new SystemHost({ dataDirectory: folder, logger: new JsonLogger() }).bootId();
  const verdict = await verifyRegions({
    folders,
    namespace: NAMESPACE,
    bootId,
    acknowledged: ingest.acknowledged,
    progress: (text) => screen.say(text),
  });
  const lag = observer.lagAboveOneWayMs();
  const reads: Record<string, DemoReport['reads'][string]> = {};
  for (const [region, tally] of readers.tallies) {
    reads[region] = {
      requests: tally.requests,
      errors: tally.errors,
      p50Ms: tally.latency.quantile(0.5),
      p99Ms: tally.latency.quantile(0.99),
      lastError: tally.lastError,
    };
  }
  const report: DemoReport = {
    regions: topology.regions.length,
    rowsIngested: ingest.acknowledged.length,
    seconds: Math.round(seconds * 10) / 10,
    rowsPerSecond: Math.round(ingest.acknowledged.length / seconds),
    lagAboveOneWayMs: lag,
    reads,
    readErrors: Object.entries(reads).reduce((sum, [region, each]) => sum + (region === firstHub ? 0 : each.errors), 0),
    killedHub: firstHub,
    newHub,
    timeToDetectMs: detectedMs === null ? null : Math.round(detectedMs - killedAtMs),
    timeToWritableMs,
    catchUpMs,
    ...verdict,
    tailRowsReplayed: observer.tails().replayed,
    auditVerified: verdicts.every((each) => each.ok),
  };
  console.log(`\n${renderReport(report)}\n`);
  if (flags.report !== undefined) writeFileSync(flags.report, `${JSON.stringify(report, null, 2)}\n`);
  const broken = brokenPromises(report);
  for (const promise of broken) console.error(`broken: ${promise}`);
  if (broken.length === 0) console.log('every promise was kept');
  return broken.length === 0 ? 0 : 1;
}

function describe(ingest: FlightsIngest, observer: Observer, readers: Readers): string {
  const { view, acknowledged, expected, ratePerSecond, remainingSeconds } = ingest.progress();
  const any = observer.latest.values().next().value;
  const namespace = any?.namespaces[0];
  const reads = [...readers.tallies.values()].reduce((sum, tally) => sum + tally.requests, 0);
  const lag = observer.lagAboveOneWayMs();
  return [
    `${view} ${acknowledged.toLocaleString('en-US')}${expected === null ? '' : `/${expected.toLocaleString('en-US')}`} rows`,
    `${ratePerSecond.toLocaleString('en-US')} rows/s`,
    remainingSeconds === null ? '' : `${remainingSeconds} s left`,
    `hub ${namespace?.hub ?? '–'} epoch ${namespace?.epoch ?? '–'}`,
    `lag +${lag.p50}/+${lag.p99} ms`,
    `${reads.toLocaleString('en-US')} reads`,
  ]
    .filter((part) => part !== '')
    .join(' · ');
}

async function until(condition: () => Promise<boolean>, ms: number, otherwise: string): Promise<void> {
  const endMs = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
