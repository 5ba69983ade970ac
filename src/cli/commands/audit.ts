import { resolve } from 'node:path';
import type { Command } from 'commander';
import { CONTROL } from '#core/config/topology';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { AuditEntry, AuditVerdict } from '#region/engine-api';
import { listAuditOffline, verifyAuditOffline } from '../audit-offline.ts';
import {
  type CommonOptions,
  newCommand,
  newGroup,
  type OpenProject,
  openNamedProject,
  printJson,
  printLines,
  runCommand,
  wholeNumber,
} from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { printError } from '../print-error.ts';
import { clientsOf } from '../project/clients.ts';
import { regionOf } from '../project/project-paths.ts';
import type { RegionClient } from '../region-client.ts';
import { paint } from '../terminal/style.ts';
import { formatTable } from '../terminal/table.ts';

interface AuditOptions extends CommonOptions {
  readonly region?: string;
  readonly data?: string;
}

interface ListOptions extends AuditOptions {
  readonly limit: number;
}

const ENTRIES_SHOWN = 100;
/** The server gives so many at a time. */
const ENTRIES_MAX = 1000;

export function addAuditCommand(program: Command): void {
  const audit = newGroup('audit', {
    summary: 'list and verify the audit logs',
    description:
      'Every region writes administrative acts, changes of hub, cut links and replays into a log in which each entry holds the hash of the one before, and leaves its end in the control store: an entry that was altered, removed or reordered is found, and so is a log that was cut short.',
    examples: [
      'antipode audit verify --json',
      'antipode audit list --region us-east',
      'antipode audit verify --data .antipode/data/us-east   # while us-east is stopped',
    ],
  });
  audit.addCommand(
    withSource(
      newCommand('verify', {
        summary: 'check every entry of the audit logs',
        description:
          'Checks the audit log of every region, or of one; a region that is stopped is checked in its data folder. Exit code 1 when a log does not verify.',
        examples: [
          'antipode audit verify',
          'antipode audit verify --region eu-west --json',
          'antipode audit verify --data .antipode/data/us-east   # while us-east is stopped',
        ],
      }),
    ).action((options: AuditOptions) => runCommand(options, () => verify(options))),
  );
  audit.addCommand(
    withSource(
      newCommand('list', {
        summary: 'show the entries of an audit log',
        examples: ['antipode audit list --region us-east', 'antipode audit list --region us-east --limit 20 --json'],
      }),
    )
      .option('--limit <entries>', 'show the last so many', wholeNumber({ min: 1, max: 1_000_000 }), ENTRIES_SHOWN)
      .action((options: ListOptions) => runCommand(options, () => list(options))),
  );
  program.addCommand(audit);
}

function withSource(command: Command): Command {
  return command
    .option('--region <name>', 'the log of this region')
    .option(
      '--data <folder>',
      'the log in the data folder of a stopped region, whether or not it is one of this project',
    );
}

interface Checked {
  readonly region: string;
  readonly verdict: AuditVerdict;
  /** Whether the region answered itself, or its data folder was read. */
  readonly source: 'region' | 'data folder';
}

async function verify(options: AuditOptions): Promise<number> {
  const checked: Checked[] = [];
  const failures: { region: string; error: AntipodeError }[] = [];
  if (options.data !== undefined) checked.push(await verifyFolder(options, options.data));
  else {
    const open = await openNamedProject(options);
    for (const client of await clientsOf(open.project, open.paths, 'admin', options.region)) {
      try {
        checked.push(await verifyRegion(open, client));
      } catch (caught) {
        failures.push({ region: client.region, error: toAntipodeError(caught) });
      }
    }
  }
  if (options.json) {
    printJson({
      ok: failures.length === 0 && checked.every(({ verdict }) => verdict.ok),
      logs: [
        ...checked.map(({ region, verdict, source }) => ({ region, source, ...verdict })),
        ...failures.map(({ region, error }) => ({ region, ok: false, error: error.toJSON() })),
      ],
    });
  } else printVerdicts(checked);
  return verdictOf(checked, failures, options);
}

function verdictOf(
  checked: readonly Checked[],
  failures: readonly { readonly region: string; readonly error: AntipodeError }[],
  options: AuditOptions,
): number {
  const bad = checked.find(({ verdict }) => !verdict.ok);
  if (bad !== undefined && !bad.verdict.ok) {
    const { firstBadIndex, reason } = bad.verdict;
    throw new AntipodeError('AUDIT_BROKEN', `the audit log of ${bad.region} does not verify: ${reason}`, {
      where: `${bad.region}, entry ${firstBadIndex}`,
    });
  }
  for (const { error } of failures.slice(1)) if (!options.json) printError(error, options);
  if (failures[0] !== undefined) throw failures[0].error;
  return EXIT.ok;
}

async function verifyRegion({ project, paths }: OpenProject, client: RegionClient): Promise<Checked> {
  const { region } = client;
  try {
    return { region, verdict: await client.auditVerify(), source: 'region' };
  } catch (caught) {
    if (toAntipodeError(caught).code !== 'PEER_UNAVAILABLE') throw caught;
    regionOf(project, region);
    const verdict = await verifyAuditOffline({
      region,
      dataFolder: paths.data(region),
      controlFolder: paths.data(CONTROL),
    });
    return { region, verdict, source: 'data folder' };
  }
}

/** The folder's region is known from the project when there is one; without it there is no anchor to compare with. */
async function verifyFolder(options: AuditOptions, data: string): Promise<Checked> {
  const dataFolder = resolve(data);
  const open = await openNamedProject(options).catch(() => undefined);
  const region =
    options.region ??
    Object.keys(open?.project.config.regions ?? {}).find((name) => open?.paths.data(name) === dataFolder) ??
    dataFolder;
  const verdict = await verifyAuditOffline({ region, dataFolder, controlFolder: open?.paths.data(CONTROL) });
  return { region, verdict, source: 'data folder' };
}

function replacedNote(replaced: number): string {
  if (replaced === 0) return '';
  return paint('yellow', `; ${replaced} earlier ${replaced === 1 ? 'log was' : 'logs were'} replaced`);
}

function printVerdicts(checked: readonly Checked[]): void {
  const rows = checked.map(({ region, verdict, source }) => [
    region,
    String(verdict.entries),
    (verdict.ok
      ? verdict.anchoredAt === null
        ? paint('yellow', 'ok, not compared with the control store')
        : paint('green', `ok, anchored at entry ${verdict.anchoredAt}`)
      : paint('red', `broken at entry ${verdict.firstBadIndex}: ${verdict.reason}`)) + replacedNote(verdict.replaced),
    source,
  ]);
  if (rows.length === 0) return;
  printLines(
    formatTable(
      [{ title: 'REGION' }, { title: 'ENTRIES', right: true }, { title: 'VERDICT' }, { title: 'READ FROM' }],
      rows,
    ),
  );
}

async function list(options: ListOptions): Promise<number> {
  const entries = (await readEntries(options)).slice(-options.limit);
  if (options.json) printJson({ entries });
  else {
    const rows = entries.map((entry) => [
      String(entry.index),
      new Date(entry.atMs).toISOString(),
      entry.actor,
      entry.action,
      Object.entries(entry.details)
        .map(([name, value]) => `${name}=${value}`)
        .join(' '),
    ]);
    const columns = [
      { title: '#', right: true },
      { title: 'TIME' },
      { title: 'ACTOR' },
      { title: 'ACTION' },
      { title: 'DETAILS' },
    ];
    printLines(formatTable(columns, rows));
  }
  return EXIT.ok;
}

async function readEntries(options: ListOptions): Promise<readonly AuditEntry[]> {
  const page = await pager(options);
  const entries: AuditEntry[] = [];
  for (;;) {
    const more = await page({ after: entries.at(-1)?.index ?? -1, limit: ENTRIES_MAX });
    entries.push(...more);
    // Only the end is shown: what is before it need not be kept.
    if (entries.length > options.limit + ENTRIES_MAX) entries.splice(0, entries.length - options.limit);
    if (more.length < ENTRIES_MAX) return entries;
  }
}

async function pager(
  options: ListOptions,
): Promise<(range: { readonly after: number; readonly limit: number }) => Promise<readonly AuditEntry[]>> {
  const { data } = options;
  if (data !== undefined) return (range) => listAuditOffline(resolve(data), range);
  const { project, paths } = await openNamedProject(options);
  const regions = Object.keys(project.config.regions);
  if (options.region === undefined && regions.length > 1)
    throw new UsageError('every region has an audit log of its own', `Name one: --region ${regions.join(' | ')}.`);
  const [client] = (await clientsOf(project, paths, 'admin', options.region)) as [RegionClient];
  return (range) => client.auditEntries(range);
}
