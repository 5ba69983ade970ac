// The `antipode` command as a user has it: a walk through all commands, and what it says when things are not as they should be.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { JOURNAL_TABLES, KvJournal } from '#adapters/kv/kv-journal';
import { LmdbKv } from '#adapters/lmdb/lmdb-kv';
import {
  type CommandResult,
  collect,
  defer,
  exitOf,
  freePorts,
  newProject,
  processesOf,
  runCommand,
  startCommand,
  startTopology,
  until,
} from './support/local-topology.ts';

const COMMANDS = [
  'init',
  'up',
  'status',
  'ingest',
  'get',
  'delete',
  'tails',
  'conflicts',
  'failover',
  'certs',
  'audit',
  'doctor',
  'run-region',
];

suite('the antipode command', () => {
  test('init, up, ingest, get, status, failover, audit, doctor: each example works when pasted', async (t) => {
    const parent = mkdtempSync(join(tmpdir(), 'antipode-e2e-'));
    defer(t, () => rmSync(parent, { recursive: true, force: true }));
    const [base] = (await freePorts(1)) as [number];
    const made = await runCommand(t, ['init', 'shop', '--base-port', String(base)], parent);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /antipode ingest driver_stats/);
    const shop = join(parent, 'shop');
    assert.equal(statSync(join(shop, '.antipode', 'client-tokens.json')).mode & 0o777, 0o600);
    assert.equal(statSync(join(shop, '.antipode', 'tokens.json')).mode & 0o777, 0o600);
    assert.match(readFileSync(join(shop, '.gitignore'), 'utf8'), /^\.antipode\/$/m);
    const again = await runCommand(t, ['init', 'shop'], parent);
    assert.deepEqual([again.code, /overwrites nothing/.test(again.stderr)], [2, true]);

    const up = startCommand(t, ['up'], shop);
    const [upOut, upErr] = [collect(up, 'stdout'), collect(up, 'stderr')];
    await until(
      'up says that it is ready',
      40_000,
      () => /Ctrl-C stops everything/.test(upOut()) || up.exitCode !== null,
    );
    assert.match(upOut(), /us-east +Virginia +http:\/\/127\.0\.0\.1:\d+ +hub of default/, upErr());
    assert.doesNotMatch(upOut(), /token=/, 'no token where no person reads');
    const run = (...args: string[]): Promise<CommandResult> => runCommand(t, args, join(shop, 'features'));

    const ingested = await run('ingest', 'driver_stats', '--run-id', 'monday', '--json');
    assert.equal(ingested.code, 0, ingested.stderr);
    const { rows, accepted, duplicates } = JSON.parse(ingested.stdout);
    assert.deepEqual([rows, accepted, duplicates], [12, 12, 0]);
    const repeated = await run('ingest', 'driver_stats', '--run-id', 'monday', '--region', 'eu-west', '--json');
    assert.equal(
      JSON.parse(repeated.stdout).duplicates,
      12,
      'the same run again, through another region, changes nothing',
    );

    for (const region of ['us-east', 'eu-west', 'ap-south']) {
      const got = await run('get', 'driver_stats', 'driver_id=1001', '--region', region);
      assert.equal(got.code, 0, got.stderr);
      assert.match(got.stdout, /city +Dublin +PRESENT +\d{4}-/);
      assert.match(got.stdout, new RegExp(`read in ${region}, fresh to`));
    }
    const absent = await run('get', 'driver_stats', 'driver_id=1', '--features', 'trips', '--json');
    assert.deepEqual([absent.code, JSON.parse(absent.stdout).features[1].status], [1, 'NOT_FOUND']);

    const status = await run('status', '--json');
    const { regions } = JSON.parse(status.stdout);
    assert.deepEqual(
      regions.map((each: { region: string; state: string; store: { rows: number } }) => [
        each.region,
        each.state,
        each.store.rows,
      ]),
      ['ap-south', 'eu-west', 'us-east'].map((region) => [region, 'serving', 12]),
    );
    assert.match((await run('status')).stdout, /us-east to eu-west +connected/);

    const { conflicts } = JSON.parse((await run('conflicts', '--json')).stdout);
    assert.deepEqual(conflicts, [], 'one hub made all writes');
    assert.match((await run('conflicts', '--counts')).stdout, /^MET BY +VIEW +BETWEEN/);

    const narrowed = await run('conflicts', '--counts', '--key', '{}', '--since', '1h', '--limit', '5');
    assert.deepEqual([narrowed.code, /--key, --since, --limit/.test(narrowed.stderr)], [2, true]);

    const unasked = await run('failover', 'default', '--to', 'eu-west');
    assert.deepEqual([unasked.code, /Add --yes/.test(unasked.stderr)], [2, true]);
    const moved = await run('failover', 'default', '--to', 'eu-west', '--yes', '--json');
    assert.equal(moved.code, 0, moved.stderr);
    const { from, to, epoch, lossy } = JSON.parse(moved.stdout);
    assert.deepEqual([from, to, epoch, lossy], ['us-east', 'eu-west', 2, false]);

    assert.match((await run('audit', 'list', '--region', 'eu-west')).stdout, /admin +failover-requested/);
    const online = await run('audit', 'verify');
    assert.deepEqual([online.code, online.stdout.match(/ {2}ok, /g)?.length], [0, 3], online.stdout);
    const doctor = await run('doctor', '--json');
    assert.equal(doctor.code, 0, doctor.stdout);
    assert.equal((await run('certs', 'show')).code, 0);

    up.kill('SIGINT');
    assert.equal(await exitOf(up), 0);
    assert.deepEqual(processesOf(shop), [], 'nothing is left of it');
    await auditIsVerifiedOffline(t, shop);
  });

  test('help shows examples for every command', async (t) => {
    const cwd = tmpdir();
    const help = await runCommand(t, ['--help'], cwd);
    assert.equal(help.code, 0);
    for (const command of COMMANDS) assert.match(help.stdout, new RegExp(`^  ${command}`, 'm'));
    const helps = await Promise.all(COMMANDS.map((command) => runCommand(t, [command, '--help'], cwd)));
    for (const [at, { code, stdout }] of helps.entries()) {
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`Examples:\\n( {2}\\$ antipode ${COMMANDS[at]}.*\\n){2,}`));
      assert.match(stdout, /--json/);
    }
    assert.match((await runCommand(t, ['--version'], cwd)).stdout, /^\d+\.\d+\.\d+\n$/);
  });

  test('wrong arguments and wrong configuration are answered with what to do', async (t) => {
    const { folder } = await newProject(t);
    const unknown = await runCommand(t, ['frobnicate'], folder);
    assert.deepEqual([unknown.code, /^error USAGE: unknown command/.test(unknown.stderr)], [2, true]);
    const view = await runCommand(t, ['get', 'reading', 'sensor_id=1', '--json'], folder);
    assert.equal(view.code, 2);
    const { error } = JSON.parse(view.stderr);
    assert.deepEqual([error.code, error.remedy], ['VIEW_NOT_FOUND', 'Feature views: readings.']);
    assert.match(error.message, /did you mean "readings"/);
    const down = await runCommand(t, ['get', 'readings', 'sensor_id=1'], folder);
    assert.deepEqual([down.code, /^error PEER_UNAVAILABLE: /.test(down.stderr)], [3, true], down.stderr);
    assert.doesNotMatch(down.stderr, /^ +at /m, 'no stack trace');

    const yaml = join(folder, 'antipode.yaml');
    writeFileSync(yaml, readFileSync(yaml, 'utf8').replace('place: us,', "place: us, lnik: 'x',"));
    const wrong = await runCommand(t, ['up'], folder);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /error CONFIG_INVALID: /);
    assert.match(wrong.stderr, /antipode\.yaml:\d+:\d+/);
    assert.match(wrong.stderr, /lnik/);
  });

  test('a port that is in use, and two `up` on one project, are refused by name', async (t) => {
    const project = await newProject(t);
    const { folder, config } = project;
    const stranger = createServer();
    const port = config.regions['eu']?.serve.port ?? 0;
    await new Promise<void>((resolve) => stranger.listen(port, '127.0.0.1', resolve));
    const taken = await runCommand(t, ['up'], folder);
    stranger.close();
    assert.equal(taken.code, 1);
    assert.match(
      taken.stderr,
      new RegExp(`^error PORT_IN_USE: 127\\.0\\.0\\.1:${port}, the address of the serving face of eu`),
    );
    assert.match(taken.stderr, new RegExp(`process ${process.pid}`));
    assert.match(taken.stderr, /where: antipode\.yaml, regions\.eu\.serve/);

    await startTopology(t, project);
    const second = await runCommand(t, ['up'], folder);
    assert.equal(second.code, 1);
    assert.match(second.stderr, new RegExp(`^error DATA_IN_USE: .*process ${process.pid}`));
    const region = await runCommand(t, ['run-region', 'eu'], folder);
    assert.equal(region.code, 1);
    assert.match(region.stderr, /error DATA_IN_USE: another process writes this data folder/);
  });

  test('a request without a token is refused and audited; nothing survives the death of `up`', async (t) => {
    const { folder, config } = await newProject(t);
    const up = startCommand(t, ['up', '--json'], folder);
    const out = collect(up, 'stdout');
    await until('up is ready', 40_000, () => out().includes('"regions"') || up.exitCode !== null);
    const { port } = config.regions['eu']?.serve ?? { port: 0 };
    const bare = await fetch(`http://127.0.0.1:${port}/get-online-features`, {
      method: 'POST',
      body: JSON.stringify({ features: ['readings:note'], entities: { sensor_id: [1] } }),
    });
    assert.equal(bare.status, 401);
    await bare.arrayBuffer();
    for (const path of ['/push', '/v1/failover'])
      assert.equal((await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body: '{}' })).status, 401);
    await until('the refusal is in the audit log', 5_000, async () => {
      const { stdout } = await runCommand(t, ['audit', 'list', '--region', 'eu'], folder);
      return /unknown +access-refused +reason=missing-token/.test(stdout);
    });

    up.kill('SIGKILL');
    await exitOf(up);
    await until('every process of it has ended', 15_000, () => processesOf(folder).length === 0);
  });
});

/** Stopped regions are verified in their data folders, also against what they left in the control store; damage is found. */
async function auditIsVerifiedOffline(t: TestContext, shop: string): Promise<void> {
  const sound = await runCommand(t, ['audit', 'verify'], shop);
  assert.deepEqual([sound.code, sound.stdout.match(/ok, anchored .* data folder/g)?.length], [0, 3], sound.stdout);
  await tamper(join(shop, '.antipode', 'data', 'us-east'), 1, (entry) => ({ ...entry, actor: 'nobody' }));
  const altered = await runCommand(t, ['audit', 'verify', '--data', '.antipode/data/us-east'], shop);
  assert.equal(altered.code, 1);
  assert.match(altered.stderr, /error AUDIT_BROKEN: .*us-east.* altered/);
  assert.match(altered.stderr, /where: us-east, entry 1/);
  await tamper(join(shop, '.antipode', 'data', 'ap-south'), 'last', () => undefined);
  const shortened = await runCommand(t, ['audit', 'verify', '--region', 'ap-south', '--json'], shop);
  assert.equal(shortened.code, 1);
  assert.match(JSON.parse(shortened.stdout).logs[0].reason, /the log has \d+ entries, the control store saw \d+/);
}

/** Changes or removes an entry on disk, as somebody with access to the machine could. */
async function tamper(
  dataFolder: string,
  which: number | 'last',
  change: (entry: Record<string, unknown>) => Record<string, unknown> | undefined,
): Promise<void> {
  const kv = LmdbKv.open({
    folder: join(dataFolder, 'log'),
    tables: JOURNAL_TABLES,
    durability: 'fsync',
    mapBytes: 1024 ** 4,
    reserveBytes: 0,
  });
  const journal = new KvJournal(kv);
  const entries = journal.list('audit/');
  const [key, value] = (which === 'last' ? entries.at(-1) : entries[which])!;
  const changed = change(JSON.parse(Buffer.from(value).toString('utf8')));
  await journal.write([
    changed === undefined
      ? { kind: 'delete', key }
      : { kind: 'put', key, value: Buffer.from(JSON.stringify(changed), 'utf8') },
  ]);
  await kv.close();
}
