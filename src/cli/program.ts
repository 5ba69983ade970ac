import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { EXIT_CODES_HELP } from './exit-codes.ts';

type AddCommands = (program: Command) => void;

/** Each command is loaded when it is called: nobody who reads a feature waits for a query engine to load. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommands>>> = {
  init: async () => (await import('./commands/init.ts')).addInitCommand,
  up: async () => (await import('./commands/up.ts')).addUpCommand,
  status: async () => (await import('./commands/status.ts')).addStatusCommand,
  ingest: async () => (await import('./commands/ingest.ts')).addIngestCommand,
  get: async () => (await import('./commands/get.ts')).addGetCommand,
  delete: async () => (await import('./commands/delete.ts')).addDeleteCommand,
  tails: async () => (await import('./commands/tails.ts')).addTailsCommand,
  conflicts: async () => (await import('./commands/conflicts.ts')).addConflictsCommand,
  failover: async () => (await import('./commands/failover.ts')).addFailoverCommand,
  certs: async () => (await import('./commands/certs.ts')).addCertsCommand,
  audit: async () => (await import('./commands/audit.ts')).addAuditCommand,
  doctor: async () => (await import('./commands/doctor.ts')).addDoctorCommand,
  'run-region': async () => (await import('./commands/run.ts')).addRunRegionCommand,
  'run-control': async () => (await import('./commands/run.ts')).addRunControlCommand,
  'run-worker': async () => (await import('./commands/run.ts')).addRunWorkerCommand,
};

/**
 * The `antipode` command. With the one subcommand that is named, or all. Usage errors are thrown, not
 * printed: `main` gives them the form of all errors.
 */
export async function createProgram(named?: string): Promise<Command> {
  const program = new Command('antipode')
    .description('Multi-region feature replication for machine-learning feature stores.')
    .version(packageVersion(), '--version', 'print the version')
    .helpCommand(false)
    .addHelpText(
      'after',
      `
Start here:
  $ antipode init shop && cd shop
  $ antipode up
  $ antipode ingest driver_stats            # in another terminal, in the same folder
  $ antipode get driver_stats driver_id=1001

antipode COMMAND --help shows examples of each command.
${EXIT_CODES_HELP}`,
    );
  const names = named !== undefined && Object.hasOwn(COMMANDS, named) ? [named] : Object.keys(COMMANDS);
  for (const name of names) (await COMMANDS[name]?.())?.(program);
  throwInsteadOfExiting(program);
  return program;
}

function throwInsteadOfExiting(command: Command): void {
  command.exitOverride().configureOutput({ writeErr: () => undefined });
  for (const each of command.commands) throwInsteadOfExiting(each);
}

export function packageVersion(): string {
  const manifest = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}
