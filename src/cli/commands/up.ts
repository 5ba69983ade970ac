import type { Command } from 'commander';
import { CONTROL } from '#core/config/topology';
import { toAntipodeError } from '#core/errors';
import type { RegionStatus } from '#region/status';
import { type CommonOptions, newCommand, openNamedProject, printLines, runCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { clientToken } from '../project/tokens.ts';
import { formatMs } from '../terminal/format.ts';
import { paint, paintError } from '../terminal/style.ts';
import { formatTable } from '../terminal/table.ts';
import { Topology, type TopologyEvent } from '../topology.ts';

/** How long `up` waits for a region to accept writes before it goes on without, ms. */
const HUB_MS_MAX = 20_000;

interface UpOptions extends CommonOptions {
  readonly restart: boolean;
}

export function addUpCommand(program: Command): void {
  program.addCommand(
    newCommand('up', {
      summary: 'start the control store and all regions on this machine',
      description:
        'Starts the control store and every region of the project as processes of this machine, makes certificates and tokens where there are none, restarts what dies, and stops everything at Ctrl-C (a second Ctrl-C kills). Logs are in .antipode/logs.',
      examples: ['antipode up', 'antipode up --no-restart', 'antipode up --json > topology.json'],
    })
      .option('--no-restart', 'leave a process that died where it is')
      .action((options: UpOptions) => runCommand(options, () => up(options)).then(() => process.exit())),
  );
}

async function up(options: UpOptions): Promise<number> {
  const { project } = await openNamedProject(options);
  const say = options.json ? () => undefined : (line: string) => process.stderr.write(`${line}\n`);
  const topology = new Topology({
    project,
    autoRestart: options.restart,
    onEvent: (event) => {
      const line = eventLine(event);
      // While everything stops, links are lost as a matter of course; the logs have it all.
      if (line !== undefined && !(stopping && event.type === 'log')) say(line);
    },
  });
  let stopping = false;
  const told = stopWhenTold(topology, say);
  const started = topology.start().then(() => 'started' as const);
  started.catch(() => undefined);
  const first = await Promise.race([started, told.promise]);
  if (first === 'started') {
    const statuses = await waitForHubs(topology, say);
    await announce(topology, statuses, options.json);
    await told.promise;
  }
  stopping = true;
  say(`stopping ${topology.regions.length + 1} processes…`);
  await topology.stop();
  say('stopped');
  return EXIT.ok;
}

/** The first signal asks for an orderly stop; one more kills everything at once. */
function stopWhenTold(topology: Topology, say: (line: string) => void): { readonly promise: Promise<'told'> } {
  const { promise, resolve } = Promise.withResolvers<'told'>();
  let signals = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      signals += 1;
      if (signals === 1) return resolve('told');
      say('killing everything');
      topology.killAll();
      process.exit(EXIT.failure);
    });
  }
  return { promise };
}

async function waitForHubs(
  topology: Topology,
  say: (line: string) => void,
): Promise<ReadonlyMap<string, RegionStatus>> {
  for (const { name, replication } of Object.values(topology.project.config.namespaces)) {
    try {
      if (replication === 'active-active') await topology.waitForMembers(name, { timeoutMs: HUB_MS_MAX });
      else await topology.waitForHub(name, { timeoutMs: HUB_MS_MAX });
    } catch (caught) {
      say(`${paintError('yellow', 'warning')}: ${toAntipodeError(caught).message}; reads are served all the same`);
    }
  }
  return topology.statuses();
}

async function announce(topology: Topology, statuses: ReadonlyMap<string, RegionStatus>, json: boolean): Promise<void> {
  const { config } = topology.project;
  const accepted = (region: string, replication: 'active-passive' | 'active-active'): string =>
    (statuses.get(region)?.namespaces ?? [])
      .filter((namespace) => namespace.accepting && namespace.replication === replication)
      .map((namespace) => namespace.namespace)
      .join(', ');
  const roles = (region: string): string => {
    const [hubOf, memberOf] = [accepted(region, 'active-passive'), accepted(region, 'active-active')];
    return [hubOf === '' ? '' : `hub of ${hubOf}`, memberOf === '' ? '' : `accepts writes of ${memberOf}`]
      .filter((role) => role !== '')
      .join('; ');
  };
  if (json) {
    const about = {
      name: config.name,
      control: { pid: pidOf(topology, CONTROL) },
      regions: topology.regions.map((region) => ({
        region,
        url: topology.url(region),
        pid: pidOf(topology, region),
        hubOf: accepted(region, 'active-passive'),
        memberOf: accepted(region, 'active-active'),
      })),
    };
    // One line: who reads it does not wait for an end of the output.
    process.stdout.write(`${JSON.stringify(about)}\n`);
    return;
  }
  const rows = topology.regions.map((region) => [
    region,
    config.regions[region]?.place ?? '',
    topology.url(region),
    roles(region),
    String(pidOf(topology, region) ?? ''),
  ]);
  const columns = [
    { title: 'REGION' },
    { title: 'PLACE' },
    { title: 'SERVES AT' },
    { title: 'ROLE' },
    { title: 'PID', right: true },
  ];
  const first = topology.url(topology.regions[0] as string);
  printLines([
    '',
    ...formatTable(columns, rows),
    '',
    `dashboard  ${paint('cyan', await dashboardUrl(topology, first))}`,
    `tokens     ${topology.paths.clientTokens}`,
    `logs       ${topology.paths.log('*')}`,
    '',
    'Ctrl-C stops everything.',
  ]);
}

/**
 * The token stands in the address only where a person can click on it: the part behind # is never sent to a server, and
 * the page takes it out of the address bar.
 */
async function dashboardUrl(topology: Topology, url: string): Promise<string> {
  if (topology.project.config.security.reads === 'open' || process.stdout.isTTY !== true) return `${url}/`;
  const token = await clientToken(topology.paths, 'read');
  return token === undefined ? `${url}/` : `${url}/#token=${token}`;
}

function pidOf(topology: Topology, name: string): number | undefined {
  return topology.processes().find((node) => node.name === name)?.pid;
}

/** What a person wants to know of an event; undefined for the rest. */
export function eventLine(event: TopologyEvent): string | undefined {
  switch (event.type) {
    case 'prepared': {
      const made = [
        ...(event.tokens ? ['tokens'] : []),
        ...(event.certificates.length === 0 ? [] : [`certificates for ${event.certificates.join(', ')}`]),
      ];
      return made.length === 0 ? undefined : `made ${made.join(' and ')}`;
    }
    case 'serving':
      return `${event.node} is ready after ${formatMs(event.startedInMs)} (process ${event.pid})`;
    case 'ended': {
      if (event.expected) return undefined;
      const next = event.restartInMs === null ? '' : `; started again in ${formatMs(event.restartInMs)}`;
      return `${paintError('red', event.node)} (process ${event.pid}) ended: ${event.reason}${next}`;
    }
    case 'log': {
      const colour = event.level === 'error' ? 'red' : 'yellow';
      return `${paintError(colour, event.node)} ${event.event}${event.text === '' ? '' : `: ${event.text}`}`;
    }
    case 'starting':
    case 'workers':
      return undefined;
  }
}
