import { type Command, InvalidArgumentError } from 'commander';
import { durationMs } from '#core/config/units';
import { toAntipodeError } from '#core/errors';
import type { ConflictCount } from '#region/status';
import {
  type CommonOptions,
  newCommand,
  openNamedProject,
  printJson,
  printLines,
  runCommand,
  wholeNumber,
} from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { printError } from '../print-error.ts';
import { clientsOf } from '../project/clients.ts';
import type { ListedConflict, RegionClient } from '../region-client.ts';
import { formatCount, formatValue } from '../terminal/format.ts';
import { formatTable } from '../terminal/table.ts';

interface ConflictsOptions extends CommonOptions {
  readonly view?: string;
  readonly key?: string;
  readonly pair?: string;
  /** Milliseconds back from now. */
  readonly since?: number;
  readonly limit: number;
  readonly counts: boolean;
  readonly region?: string;
}

const CONFLICTS_SHOWN = 50;
const VALUES_SHOWN_CHARACTERS = 60;

export function addConflictsCommand(program: Command): void {
  program.addCommand(
    newCommand('conflicts', {
      summary: 'list writes of one key that did not know of each other',
      description:
        'Two writes of one key are a conflict when neither was made where the other had arrived. Each region keeps the latest 10,000 of each view, with both values and which one stayed, and counts all of them. Without --region all regions are asked, and what several of them met is listed once.',
      examples: [
        'antipode conflicts',
        'antipode conflicts --view driver_stats --key \'{"driver_id": 1001}\'',
        'antipode conflicts --pair us-east,eu-west --since 1h --json',
        'antipode conflicts --counts',
      ],
    })
      .option('--view <name>', 'of this feature view')
      .option('--key <json>', 'of this entity: its join keys as a JSON object; needs --view')
      .option('--pair <regions>', 'between these two regions, with a comma between them')
      .option(
        '--since <duration>',
        'whose later write was accepted so long ago at most, such as 90s, 10m or 7d',
        duration,
      )
      .option('--limit <conflicts>', 'show at most so many', wholeNumber({ min: 1, max: 100_000 }), CONFLICTS_SHOWN)
      .option(
        '--counts',
        'show how many there were since the region has its disks, of each view and pair of regions, and how many writes lost; with --view, --pair and --region alone',
        false,
      )
      .option('--region <name>', 'what this region alone met')
      .action((options: ConflictsOptions, command: Command) => runCommand(options, () => conflicts(options, command))),
  );
}

function duration(text: string): number {
  const ms = durationMs(text);
  if (ms !== undefined) return ms;
  throw new InvalidArgumentError('expected a duration such as 90s, 10m or 7d.');
}

/** Counters are by view and pair of regions, over all keys and all the time: other conditions would be passed over in silence. */
function refuseWithCounts(command: Command): void {
  const given = ['key', 'since', 'limit'].filter((name) => command.getOptionValueSource(name) === 'cli');
  if (given.length === 0) return;
  const names = given.map((name) => `--${name}`).join(', ');
  throw new UsageError(
    `--counts cannot go together with ${names}: conflicts are counted by view and pair of regions alone.`,
    'Leave out --counts to list conflicts, or narrow the counters with --view, --pair and --region.',
  );
}

async function conflicts(options: ConflictsOptions, command: Command): Promise<number> {
  if (options.counts) refuseWithCounts(command);
  const { project, paths } = await openNamedProject(options);
  const clients = await clientsOf(project, paths, 'read', options.region);
  return options.counts ? showCounts(clients, options) : showConflicts(clients, options);
}

/** Asks every region; those that do not answer are told of, unless none does: then the first failure is the command's. */
async function askAll<T>(
  clients: readonly RegionClient[],
  options: CommonOptions,
  ask: (client: RegionClient) => Promise<T>,
): Promise<{ readonly region: string; readonly answer: T }[]> {
  const answers: { region: string; answer: T }[] = [];
  const failures: unknown[] = [];
  for (const client of clients) {
    try {
      answers.push({ region: client.region, answer: await ask(client) });
    } catch (caught) {
      // A refusal is the same everywhere: the arguments are wrong.
      if (toAntipodeError(caught).disposition === 'reject') throw caught;
      failures.push(caught);
    }
  }
  if (answers.length === 0) throw failures[0];
  for (const failure of failures) printError(failure, options);
  return answers;
}

/** A conflict with the regions that met it. */
interface Met extends ListedConflict {
  readonly regions: string[];
}

async function showConflicts(clients: readonly RegionClient[], options: ConflictsOptions): Promise<number> {
  const afterMs = options.since === undefined ? undefined : Math.max(0, Date.now() - options.since);
  const { view, key, pair, limit } = options;
  const answers = await askAll(clients, options, (client) => client.conflicts({ view, key, pair, afterMs, limit }));
  const met = new Map<string, Met>();
  for (const { region, answer } of answers) {
    for (const conflict of answer) {
      // The two change ids are its identity, whichever of them a region had first.
      const id = [conflict.stored.change, conflict.incoming.change].sort().join(' ');
      const known = met.get(id);
      if (known === undefined) met.set(id, { ...conflict, regions: [region] });
      else known.regions.push(region);
    }
  }
  const listed = [...met.values()].sort((a, b) => b.atMs - a.atMs).slice(0, limit);
  if (options.json) printJson({ conflicts: listed });
  else if (listed.length === 0) printLines(['no conflicts']);
  else printLines(formatTable(COLUMNS, listed.map(rowOf)));
  return EXIT.ok;
}

const COLUMNS = [
  { title: 'ACCEPTED' },
  { title: 'VIEW' },
  { title: 'KEY' },
  { title: 'STAYED' },
  { title: 'LOST' },
  { title: 'RULE' },
  { title: 'MET BY' },
];

function rowOf(conflict: Met): string[] {
  const { atMs, view, key, winner, stored, incoming, rule, kind, regions } = conflict;
  const [stayed, lost] = winner === 'incoming' ? [incoming, stored] : [stored, incoming];
  return [
    new Date(atMs).toISOString(),
    view,
    key === null ? conflict.keyBytes : textOf(key),
    winner === 'merged' ? `both: ${sideOf(stayed)}` : sideOf(stayed),
    winner === 'merged' ? `both: ${sideOf(lost)}` : sideOf(lost),
    kind === 'undecidable' ? `${rule}; perhaps no conflict, its logs are gone` : rule,
    regions.join(' '),
  ];
}

function sideOf(side: ListedConflict['stored']): string {
  const value =
    side.operation === 'delete'
      ? 'deleted'
      : side.values === null
        ? `${formatCount(side.valueBytes)} bytes`
        : textOf(side.values);
  return `${side.origin} ${value}`;
}

function textOf(values: Readonly<Record<string, unknown>>): string {
  const text = Object.entries(values)
    .map(([name, value]) => `${name}=${formatValue(value)}`)
    .join(' ');
  return text.length <= VALUES_SHOWN_CHARACTERS ? text : `${text.slice(0, VALUES_SHOWN_CHARACTERS - 1)}…`;
}

async function showCounts(clients: readonly RegionClient[], options: ConflictsOptions): Promise<number> {
  const answers = await askAll(clients, options, (client) => client.conflictCounts());
  const { view, pair } = options;
  const counts = answers.map(({ region, answer }) => ({
    region,
    views: answer.filter((each) => view === undefined || each.view === view).map((each) => ofPair(each, pair)),
  }));
  if (options.json) printJson({ regions: counts });
  else {
    const rows = counts.flatMap(({ region, views }) => views.flatMap((each) => countRows(region, each)));
    const numbers = ['CONFLICTS', 'UNDECIDABLE', 'WRITES LOST'].map((title) => ({ title, right: true }));
    printLines(formatTable([{ title: 'MET BY' }, { title: 'VIEW' }, { title: 'BETWEEN' }, ...numbers], rows));
  }
  return EXIT.ok;
}

function ofPair(count: ConflictCount, pair: string | undefined): ConflictCount {
  if (pair === undefined) return count;
  const wanted = pair
    .split(',')
    .map((name) => name.trim())
    .sort()
    .join();
  return { ...count, pairs: count.pairs.filter(({ origins }) => origins.join() === wanted) };
}

/** Lost writes are counted by view, those within one stream among them: a line of their own. */
function countRows(region: string, { view, superseded, pairs }: ConflictCount): string[][] {
  return [
    ...pairs.map(({ origins, concurrent, undecidable }) => [
      region,
      view,
      origins.join(' and '),
      formatCount(concurrent),
      formatCount(undecidable),
      '',
    ]),
    [region, view, 'all', '', '', formatCount(superseded)],
  ];
}
