import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addAuditCommand } from './commands/audit.ts';
import { addCertsCommand } from './commands/certs.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addFailoverCommand } from './commands/failover.ts';
import { addGetCommand } from './commands/get.ts';
import { addIngestCommand } from './commands/ingest.ts';
import { addInitCommand } from './commands/init.ts';
import { addProcessCommands } from './commands/run.ts';
import { addStatusCommand } from './commands/status.ts';
import { addUpCommand } from './commands/up.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';

/** The `antipode` command. Usage errors are thrown, not printed: `main` gives them the form of all errors. */
export function createProgram(): Command {
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
  for (const add of [
    addInitCommand,
    addUpCommand,
    addStatusCommand,
    addIngestCommand,
    addGetCommand,
    addFailoverCommand,
    addCertsCommand,
    addAuditCommand,
    addDoctorCommand,
    addProcessCommands,
  ])
    add(program);
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
