import type { Command } from 'commander';
import { AntipodeError } from '#core/errors';
import type { TailStatus } from '#region/status';
import {
  type CommonOptions,
  newCommand,
  newGroup,
  openNamedProject,
  printJson,
  printLines,
  runCommand,
} from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { printError } from '../print-error.ts';
import { clientsOf } from '../project/clients.ts';
import type { RegionClient } from '../region-client.ts';
import { confirm } from '../terminal/confirm.ts';
import { formatCount } from '../terminal/format.ts';
import { formatTable } from '../terminal/table.ts';

interface TailsOptions extends CommonOptions {
  readonly region?: string;
}

interface DecideOptions extends TailsOptions {
  readonly yes: boolean;
}

interface HeldTail {
  readonly client: RegionClient;
  readonly tail: TailStatus;
}

const STREAM_EXAMPLE = 'default/0/us-east/9f3c2b1a00c4d2e8';

export function addTailsCommand(program: Command): void {
  const tails = newGroup('tails', {
    summary: 'list what lies beyond seals, and replay or discard it',
    description:
      'A tail is what a region holds of a closed epoch beyond its seal: accepted there, but not known to the next hub in time. The namespace says whether tails are replayed or kept; here a person decides about one.',
    examples: [
      'antipode tails --json',
      `antipode tails replay ${STREAM_EXAMPLE}`,
      `antipode tails discard ${STREAM_EXAMPLE} --yes`,
    ],
  });
  tails.addCommand(
    newCommand('list', {
      summary: 'show the tails of all regions, or of one',
      examples: ['antipode tails list', 'antipode tails list --region us-east --json'],
    })
      .option('--region <name>', 'tails that this region holds')
      .action((options: TailsOptions) => runCommand(options, () => list(options))),
    { isDefault: true },
  );
  tails.addCommand(
    decision('replay', {
      summary: 'have the hub append a tail, each change once',
      description:
        'Offers the tail to the hub, which appends each change once, with its original stamp: what was written meanwhile with a later event time stays.',
    }),
  );
  tails.addCommand(
    decision('discard', {
      summary: 'apply a tail nowhere',
      description:
        'The tail is never applied. Its frames are kept in the journal of each region that held them, and the audit log says who decided, and about which range.',
    }),
  );
  program.addCommand(tails);
}

function decision(
  order: 'replay' | 'discard',
  about: { readonly summary: string; readonly description: string },
): Command {
  const examples = [
    `antipode tails ${order} ${STREAM_EXAMPLE}`,
    `antipode tails ${order} ${STREAM_EXAMPLE} --region us-east --yes --json`,
  ];
  return newCommand(order, { ...about, examples })
    .argument('<stream>', 'stream of the tail, as antipode tails lists it')
    .option('--region <name>', 'the tail that this region holds; default: of every region that holds one')
    .option('--yes', 'do not ask', false)
    .action((stream: string, options: DecideOptions) => runCommand(options, () => decide(stream, order, options)));
}

/** Tails of the regions that answer; those that do not are told of, unless none does. */
async function heldTails(options: TailsOptions, role: 'read' | 'admin'): Promise<HeldTail[]> {
  const { project, paths } = await openNamedProject(options);
  const held: HeldTail[] = [];
  const failures: unknown[] = [];
  const clients = await clientsOf(project, paths, role, options.region);
  for (const client of clients) {
    try {
      held.push(...(await client.status()).tails.map((tail) => ({ client, tail })));
    } catch (caught) {
      failures.push(caught);
    }
  }
  if (failures.length === clients.length) throw failures[0];
  for (const failure of failures) printError(failure, options);
  return held;
}

async function list(options: TailsOptions): Promise<number> {
  const held = await heldTails(options, 'read');
  print(held, options);
  return EXIT.ok;
}

async function decide(stream: string, order: 'replay' | 'discard', options: DecideOptions): Promise<number> {
  const held = (await heldTails(options, 'admin')).filter(({ tail }) => tail.stream === stream);
  if (held.length === 0) throw new AntipodeError('TAIL_NOT_FOUND', `no region that answers holds a tail of ${stream}`);
  if (!options.yes) {
    if (process.stdin.isTTY !== true)
      throw new UsageError('the decision has to be confirmed, and nobody is there to ask', 'Add --yes.');
    const where = held.map(({ client, tail }) => `${formatCount(tail.to - tail.from)} changes at ${client.region}`);
    const verb = order === 'replay' ? 'Replay' : 'Discard';
    if (!(await confirm(`${verb} the tail of ${stream} (${where.join(', ')})?`))) {
      process.stderr.write('nothing was changed\n');
      return EXIT.failure;
    }
  }
  const decided: HeldTail[] = [];
  for (const { client } of held) decided.push({ client, tail: await client.decideTail(stream, order) });
  print(decided, options);
  return EXIT.ok;
}

function print(held: readonly HeldTail[], options: CommonOptions): void {
  if (options.json) {
    printJson({ tails: held.map(({ client, tail }) => ({ region: client.region, ...tail })) });
    return;
  }
  if (held.length === 0) {
    printLines(['no tails']);
    return;
  }
  const rows = held.map(({ client, tail }) => [
    client.region,
    tail.namespace,
    tail.stream,
    `${tail.from + 1} to ${tail.to}`,
    formatCount(tail.to - tail.from),
    formatCount(tail.replayed),
    tail.state,
  ]);
  const columns = [
    { title: 'HELD BY' },
    { title: 'NAMESPACE' },
    { title: 'STREAM' },
    { title: 'SEQS' },
    { title: 'CHANGES', right: true },
    { title: 'REPLAYED', right: true },
    { title: 'STATE' },
  ];
  printLines(formatTable(columns, rows));
}
