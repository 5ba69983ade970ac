import type { Command } from 'commander';
import { toAntipodeError } from '#core/errors';
import type { FeatureView, JoinKey } from '#core/model/feature-view';
import { type CommonOptions, newCommand, openNamedProject, printJson, printLines, runCommand } from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { clientsOf } from '../project/clients.ts';
import { viewOf } from '../project/view-of.ts';
import { type ConsistencyOptions, consistencyHeaders } from '../read-options.ts';
import type { OnlineFeatures, RegionClient } from '../region-client.ts';
import { formatMs, formatValue } from '../terminal/format.ts';
import { formatTable } from '../terminal/table.ts';

interface GetOptions extends CommonOptions, ConsistencyOptions {
  readonly features?: string;
  readonly region?: string;
}

export function addGetCommand(program: Command): void {
  program.addCommand(
    newCommand('get', {
      summary: 'read the features of one entity from a region',
      description:
        'Reads features of one entity as an application would, over HTTP. Exit code 1 when the region has no row for it.',
      examples: [
        'antipode get driver_stats driver_id=1001',
        'antipode get driver_stats driver_id=1001 --features trips,city --region ap-south',
        'antipode get driver_stats driver_id=1001 --consistency strong --region ap-south',
        'antipode get driver_stats driver_id=1001 --max-staleness 2s --fallback stale',
        'antipode get driver_stats driver_id=1001 --session --json',
      ],
    })
      .argument('<view>', 'name of the feature view')
      .argument('<key=value...>', 'a value for every join key of the view')
      .option('--features <names>', 'features, separated by commas; default: all of the view')
      .option('--region <name>', 'region to read from; default: the first that answers')
      .option('--consistency <level>', 'eventual, session, bounded or strong; default: what the view asks for')
      .option('--session [token]', 'go on with the session of this token, or begin one')
      .option('--max-staleness <duration>', 'bound of a bounded read, such as 2s')
      .option('--fallback <what>', 'when the region cannot answer at the level: forward, stale or refuse')
      .option('--latency-budget <duration>', 'how long the read may take for the sake of its level')
      .action((view: string, keys: string[], options: GetOptions) =>
        runCommand(options, () => get(view, keys, options)),
      ),
  );
}

async function get(name: string, keys: readonly string[], options: GetOptions): Promise<number> {
  const { project, paths } = await openNamedProject(options);
  const view = viewOf(project, name);
  const features = featuresOf(view, options.features).map((feature) => `${view.name}:${feature}`);
  const entity = Object.fromEntries(entityOf(view, keys).map(([key, value]) => [key, [value]]));
  const headers = consistencyHeaders(options);
  const { answer, client } = await firstAnswer(await clientsOf(project, paths, 'read', options.region), async (each) =>
    each.onlineFeatures(features, entity, headers),
  );
  const rows = answer.names.map((feature, at) => ({
    feature,
    value: answer.results[at]?.values[0] ?? null,
    status: answer.results[at]?.statuses[0] ?? '',
    eventTime: answer.results[at]?.event_timestamps[0] ?? '',
  }));
  const found = rows.slice(view.joinKeys.length).some((row) => row.status !== 'NOT_FOUND');
  const freshness = answer.headers.get('antipode-freshness-ms');
  const about = {
    region: answer.headers.get('antipode-region') ?? client.region,
    hub: answer.headers.get('antipode-hub'),
    freshnessMs: freshness === null ? null : Number(freshness),
    readIn: answer.headers.get('antipode-read-in'),
    consistency: answer.headers.get('antipode-consistency'),
    stale: answer.headers.get('antipode-stale') === 'true',
    session: answer.headers.get('antipode-session'),
  };
  if (options.json) printJson({ view: view.name, ...about, features: rows });
  else {
    const cells = rows.map((row) => [
      row.feature,
      formatValue(row.value),
      row.status,
      row.status === 'PRESENT' || row.status === 'OUTSIDE_MAX_AGE' ? keyOrTime(view, row.feature, row.eventTime) : '',
    ]);
    printLines([
      ...formatTable([{ title: 'FEATURE' }, { title: 'VALUE' }, { title: 'STATUS' }, { title: 'EVENT TIME' }], cells),
      '',
      `read in ${about.readIn ?? about.region}${about.freshnessMs === null ? '' : `, fresh to ${formatMs(about.freshnessMs)}`}${about.hub === null ? '' : `; hub ${about.hub}`}`,
      ...(about.consistency === null
        ? []
        : [`consistency ${about.consistency}${about.stale ? ', stale: the level asked for was not met' : ''}`]),
      ...(about.session === null ? [] : [`session ${about.session}`]),
    ]);
  }
  return found ? EXIT.ok : EXIT.failure;
}

/** The first region that answers. A refusal is an answer: another region would say the same. */
async function firstAnswer(
  clients: readonly RegionClient[],
  ask: (client: RegionClient) => Promise<OnlineFeatures>,
): Promise<{ answer: OnlineFeatures; client: RegionClient }> {
  let failure: unknown;
  for (const client of clients) {
    try {
      return { answer: await ask(client), client };
    } catch (caught) {
      failure = caught;
      if (toAntipodeError(caught).disposition === 'reject') break;
    }
  }
  throw failure;
}

function featuresOf(view: FeatureView, named: string | undefined): readonly string[] {
  if (named === undefined) return view.features.map((feature) => feature.name);
  const names = named.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !view.features.some((feature) => feature.name === name));
  if (unknown === undefined) return names;
  throw new UsageError(
    `${view.name} has no feature ${JSON.stringify(unknown)}`,
    `Features: ${view.features.map((feature) => feature.name).join(', ')}.`,
  );
}

/** A value for each join key, as the JSON that the face takes. */
function entityOf(view: FeatureView, keys: readonly string[]): [string, unknown][] {
  const given = new Map(
    keys.map((key) => {
      const at = key.indexOf('=');
      if (at <= 0) throw new UsageError(`${JSON.stringify(key)} is not of the form key=value`, needed(view));
      return [key.slice(0, at), key.slice(at + 1)] as const;
    }),
  );
  const unknown = [...given.keys()].find((name) => !view.joinKeys.some((key) => key.name === name));
  const missing = view.joinKeys.find((key) => !given.has(key.name));
  if (unknown !== undefined)
    throw new UsageError(`${view.name} has no join key ${JSON.stringify(unknown)}`, needed(view));
  if (missing !== undefined) throw new UsageError(`the join key ${missing.name} has no value`, needed(view));
  return view.joinKeys.map((key) => [key.name, keyValue(key, given.get(key.name) as string)]);
}

/** Text is taken for everything but booleans; the face reads integers and times from it without loss. */
function keyValue(key: JoinKey, text: string): unknown {
  if (key.type !== 'bool') return text;
  if (text === 'true' || text === 'false') return text === 'true';
  throw new UsageError(`${key.name}=${text} is no bool`, 'Use true or false.');
}

function needed(view: FeatureView): string {
  return `Give ${view.joinKeys.map((key) => `${key.name}=<${key.type}>`).join(' ')}.`;
}

function keyOrTime(view: FeatureView, name: string, eventTime: string): string {
  return view.joinKeys.some((key) => key.name === name) ? '' : eventTime;
}
