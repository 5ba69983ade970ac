import type { Command } from 'commander';
import { didYouMean } from '#core/config/issue';
import { noHubToMove } from '#core/membership/no-hub';
import { type CommonOptions, newCommand, openNamedProject, printJson, printLines, runCommand } from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { clientsOf } from '../project/clients.ts';
import type { RegionClient } from '../region-client.ts';
import { confirm } from '../terminal/confirm.ts';
import { formatMs } from '../terminal/format.ts';

interface FailoverOptions extends CommonOptions {
  readonly to: string;
  readonly yes: boolean;
  readonly allowLoss: boolean;
}

export function addFailoverCommand(program: Command): void {
  program.addCommand(
    newCommand('failover', {
      summary: 'move the hub of a namespace to another region',
      description:
        'Moves the hub of a namespace. A hub that answers hands over everything it accepted and nothing is lost; for one that does not, its lease is waited for, and the result says whether the change was lossy. Where the policy of the namespace refuses that, it takes --allow-loss.',
      examples: [
        'antipode failover default --to eu-west',
        'antipode failover default --to us-east --yes --json',
        'antipode failover default --to eu-west --allow-loss',
      ],
    })
      .argument('<namespace>', 'name of the namespace')
      .requiredOption('--to <region>', 'the region that becomes hub')
      .option('--yes', 'do not ask', false)
      .option(
        '--allow-loss',
        'go on even when acknowledged writes may be left behind, or part of a closed epoch is held by nobody any more',
        false,
      )
      .action((namespace: string, options: FailoverOptions) => runCommand(options, () => failover(namespace, options))),
  );
}

async function failover(namespace: string, options: FailoverOptions): Promise<number> {
  const { project, paths } = await openNamedProject(options);
  const namespaces = Object.keys(project.config.namespaces);
  if (!namespaces.includes(namespace)) {
    throw new UsageError(
      `no namespace is named ${JSON.stringify(namespace)}${didYouMean(namespace, namespaces)}`,
      `Namespaces: ${namespaces.join(', ')}.`,
    );
  }
  if (project.config.namespaces[namespace]?.replication === 'active-active') throw noHubToMove(namespace);
  const [target] = (await clientsOf(project, paths, 'admin', options.to)) as [RegionClient];
  const status = await target.status();
  const hub = status.namespaces.find((each) => each.namespace === namespace)?.hub ?? null;
  if (!options.yes) {
    if (process.stdin.isTTY !== true)
      throw new UsageError('a change of hub has to be confirmed, and nobody is there to ask', 'Add --yes.');
    const from = hub === null ? '' : ` from ${hub}`;
    const loss = options.allowLoss ? ', leaving behind whatever nobody who answers holds' : '';
    if (!(await confirm(`Move the hub of ${namespace}${from} to ${options.to}${loss}?`))) {
      process.stderr.write('nothing was changed\n');
      return EXIT.failure;
    }
  }
  const result = await target.failover(namespace, { allowLoss: options.allowLoss });
  if (options.json) printJson({ namespace, from: hub, to: options.to, ...result });
  else {
    printLines([
      `${options.to} is the hub of ${namespace}, epoch ${result.epoch}, after ${formatMs(result.durationMs)}`,
      result.lossy
        ? 'lossy: the old hub did not hand over. What it had not shipped is kept there as a tail; antipode status lists it'
        : 'nothing was lost',
    ]);
  }
  return EXIT.ok;
}
