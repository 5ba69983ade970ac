import { type Command, Option } from 'commander';
import type { Producer } from '#core/codec/counter-state';
import {
  assignment,
  type CommonOptions,
  newCommand,
  openNamedProject,
  printJson,
  printLines,
  runCommand,
  wholeNumber,
} from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import {
  type IngestProgress,
  type IngestSummary,
  ingestView,
  ROWS_PER_BATCH,
  ROWS_PER_BATCH_MAX,
} from '../ingest/ingest-view.ts';
import { clientsOf } from '../project/clients.ts';
import { formatCount, formatMs } from '../terminal/format.ts';
import { ProgressLine } from '../terminal/progress.ts';
import { paintError } from '../terminal/style.ts';

interface IngestOptions extends CommonOptions {
  readonly region?: string;
  readonly source?: Readonly<Record<string, string>>;
  readonly param?: Readonly<Record<string, string>>;
  readonly rowsPerBatch: number;
  readonly acknowledge?: number;
  readonly runId?: string;
  readonly producer?: string;
  readonly sequence?: number;
}

/** Bad and quarantined rows shown one by one; the rest is counted. */
const ROWS_SHOWN_MAX = 5;
/** No topology has more regions beside a hub. */
const ACKNOWLEDGE_MAX = 31;
const RUN_ID = /^[A-Za-z0-9_-]{1,64}$/;

export function addIngestCommand(program: Command): void {
  program.addCommand(
    newCommand('ingest', {
      summary: "run a feature view's SQL here and send the rows to the regions",
      description:
        'Runs the SQL of a feature view over its sources with DuckDB, in this process, and streams the rows to the hub. A region that does not answer is tried again, and others after it, under keys that keep anything from being applied twice. Ctrl-C stops cleanly; the same --run-id goes on.',
      examples: [
        'antipode ingest driver_stats',
        'antipode ingest driver_stats --source driver_stats_csv=sources/driver_stats.csv --run-id monday',
        'antipode ingest driver_stats --region eu-west --param today=2026-08-02 --json',
        'antipode ingest trip_counts --producer nightly --sequence 20260802   # a view with resolver: counter',
        'antipode ingest driver_stats --acknowledge 1',
      ],
    })
      .argument('<view>', 'name of the feature view')
      .addOption(new Option('--region <name>', 'send to this region alone; default: the hub, else any that answers'))
      .option('--source <name=path>', 'read a source from another path (may be repeated)', assignment)
      .option('--param <name=value>', 'value of a parameter of the SQL; there is one, today=YYYY-MM-DD', assignment)
      .option(
        '--rows-per-batch <rows>',
        'rows in one request',
        wholeNumber({ min: 1, max: ROWS_PER_BATCH_MAX }),
        ROWS_PER_BATCH,
      )
      .option('--producer <name>', 'whose running totals these rows are; counters need it, other views take none')
      .option(
        '--sequence <number>',
        'number of these totals among those of the producer: the greatest counts',
        wholeNumber({ min: 0, max: 999_999_999_999_999 }),
      )
      .option(
        '--acknowledge <regions>',
        'wait until that many regions beside the hub hold each batch, where the namespace demands fewer',
        wholeNumber({ min: 0, max: ACKNOWLEDGE_MAX }),
      )
      .option('--run-id <id>', 'name of the run; the same one again goes on where an earlier one stopped')
      .action((view: string, options: IngestOptions) =>
        runCommand(options, () => ingest(view, options)).then(() => process.exit()),
      ),
  );
}

async function ingest(view: string, options: IngestOptions): Promise<number> {
  if (options.runId !== undefined && !RUN_ID.test(options.runId))
    throw new UsageError('the run id is not allowed', 'Use 1 to 64 letters, digits, hyphens and underscores.');
  const producer = producerOf(options);
  const { project, paths } = await openNamedProject(options);
  const progress = new ProgressLine({ quiet: options.json });
  const warn = bounded((line) => {
    progress.clear();
    if (!options.json) process.stderr.write(`${paintError('yellow', 'warning')}: ${line}\n`);
  });
  const summary = await ingestView({
    project,
    view,
    clients: await clientsOf(project, paths, 'write', options.region),
    sourcePaths: options.source,
    today: todayOf(options.param),
    rowsPerBatch: options.rowsPerBatch,
    acknowledge: options.acknowledge,
    runId: options.runId,
    producer,
    signal: abortAtInterrupt(),
    onProgress: (state) => progress.update(progressText(view, state)),
    onBadRow: (bad) => warn(`row ${bad.index}: ${bad.reason}`),
    onQuarantined: (message) => warn(`quarantined: ${message}`),
  }).finally(() => progress.clear());
  if (options.json) printJson(summary);
  else printSummary(summary);
  return summary.complete ? EXIT.ok : EXIT.failure;
}

function producerOf({ producer, sequence }: IngestOptions): Producer | undefined {
  if (producer === undefined && sequence === undefined) return undefined;
  if (producer !== undefined && sequence !== undefined) return { name: producer, sequence };
  throw new UsageError(
    '--producer and --sequence go together',
    'Give both: the producer names who counts, the sequence grows with each of its runs.',
  );
}

function todayOf(parameters: Readonly<Record<string, string>> = {}): string | undefined {
  const { today, ...others } = parameters;
  const unknown = Object.keys(others)[0];
  if (unknown === undefined) return today;
  throw new UsageError(`no parameter is named ${unknown}`, 'The one parameter is today: --param today=2026-08-02.');
}

/** The first Ctrl-C lets what is on its way finish; the second ends the process. */
function abortAtInterrupt(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(EXIT.failure);
      process.stderr.write('\nfinishing what is on its way; once more to stop at once\n');
      controller.abort();
    });
  }
  return controller.signal;
}

export function progressText(view: string, state: IngestProgress): string {
  const expected = state.rowsExpected === null ? '' : ` of about ${formatCount(state.rowsExpected)}`;
  const remaining = state.remainingMs === null ? '' : `, about ${formatMs(state.remainingMs)} left`;
  const retries = state.retries === 0 ? '' : `, ${state.retries} retries`;
  const hub = state.hub === null ? '' : ` to ${state.hub}`;
  return `${view}${hub}: ${formatCount(state.rowsAcknowledged)}${expected} rows, ${formatCount(state.rowsPerSecond)} rows/s${remaining}${retries}`;
}

function printSummary(summary: IngestSummary): void {
  const rate = summary.seconds === 0 ? '' : ` (${formatCount(summary.rows / summary.seconds)} rows/s)`;
  const more = [
    ...(summary.duplicates > 0
      ? [`duplicates   ${formatCount(summary.duplicates)} (known already, nothing changed)`]
      : []),
    ...(summary.quarantined > 0 ? [`quarantined  ${formatCount(summary.quarantined)}`] : []),
    ...(summary.bad > 0 ? [`bad rows     ${formatCount(summary.bad)} (not sent)`] : []),
    ...(summary.retries > 0 ? [`retries      ${formatCount(summary.retries)}`] : []),
  ];
  printLines([
    `rows         ${formatCount(summary.rows)} in ${formatMs(summary.seconds * 1000)}${rate}`,
    `accepted     ${formatCount(summary.accepted)}${summary.hub === null ? '' : ` by ${summary.hub}`}`,
    ...more,
    `run id       ${summary.runId}`,
    ...(summary.complete
      ? []
      : ['', `stopped before the end; the same command with --run-id ${summary.runId} goes on, and doubles nothing`]),
  ]);
}

/** Says the first few, and once that there are more. */
function bounded(say: (line: string) => void): (line: string) => void {
  let said = 0;
  return (line) => {
    said += 1;
    if (said <= ROWS_SHOWN_MAX) say(line);
    else if (said === ROWS_SHOWN_MAX + 1) say('more rows like these; the summary counts them');
  };
}
