import type { Command } from 'commander';
import { toAntipodeError } from '#core/errors';
import {
  type CommonOptions,
  newCommand,
  openNamedProject,
  printJson,
  printLines,
  runCommand,
  wholeNumber,
} from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { clientsOf } from '../project/clients.ts';
import type { RegionClient } from '../region-client.ts';
import { type Observed, statusLines } from '../status-text.ts';

interface StatusOptions extends CommonOptions {
  readonly region?: string;
  readonly watch?: boolean | number;
}

const WATCH_SECONDS = 1;
const ASK_TIMEOUT_MS = 3_000;

export function addStatusCommand(program: Command): void {
  program.addCommand(
    newCommand('status', {
      summary: 'show regions, hubs, epochs, lag, links and tails',
      description:
        'Asks every region, or the one that is named, how it stands. Exit code 3 when none answers. With --watch it is shown again and again until Ctrl-C; with --json too, as one line each time.',
      examples: ['antipode status', 'antipode status --region eu-west --json', 'antipode status --watch 2'],
    })
      .option('--region <name>', 'ask this region alone')
      .option('--watch [seconds]', 'show it again every so many seconds', wholeNumber({ min: 1, max: 3600 }))
      .action((options: StatusOptions) => runCommand(options, () => status(options))),
  );
}

async function status(options: StatusOptions): Promise<number> {
  const { project, paths } = await openNamedProject(options);
  const clients = (await clientsOf(project, paths, 'read', options.region)).sort((a, b) =>
    a.region < b.region ? -1 : 1,
  );
  if (options.watch === undefined) return show(await observe(clients), options);
  const seconds = options.watch === true ? WATCH_SECONDS : Number(options.watch);
  for (;;) {
    const observed = await observe(clients);
    if (!options.json) process.stdout.write('\x1b[H\x1b[2J');
    if (options.json) process.stdout.write(`${JSON.stringify(toJson(observed))}\n`);
    else show(observed, options);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

function observe(clients: readonly RegionClient[]): Promise<Observed[]> {
  return Promise.all(
    clients.map(async (client): Promise<Observed> => {
      try {
        return { region: client.region, status: await client.status(AbortSignal.timeout(ASK_TIMEOUT_MS)), error: null };
      } catch (caught) {
        return { region: client.region, status: null, error: toAntipodeError(caught, 'PEER_TIMEOUT') };
      }
    }),
  );
}

function show(observed: readonly Observed[], options: StatusOptions): number {
  if (options.json) printJson(toJson(observed));
  else printLines(statusLines(observed));
  const failed = observed.find((each) => each.error !== null)?.error;
  if (observed.some((each) => each.status !== null)) return EXIT.ok;
  // A refusal, such as a missing token, is no silence.
  if (failed?.disposition === 'reject') throw failed;
  return EXIT.unavailable;
}

function toJson(observed: readonly Observed[]): unknown {
  return {
    regions: observed.map(({ region, status: answer, error }) =>
      answer === null ? { region, error: error?.toJSON() } : answer,
    ),
  };
}
