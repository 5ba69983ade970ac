import './quiet-warnings.ts';
import { CommanderError } from 'commander';
import { EXIT, UsageError } from './exit-codes.ts';
import { printError } from './print-error.ts';
import { createProgram } from './program.ts';

/** Commander's ways of saying that it has printed what was asked for. */
const SERVED = new Set(['commander.help', 'commander.helpDisplayed', 'commander.version']);

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});

const program = await createProgram(process.argv[2]);
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  if (SERVED.has(error.code)) process.exitCode = error.code === 'commander.help' ? EXIT.usage : EXIT.ok;
  else {
    const json = process.argv.includes('--json');
    printError(new UsageError(usageMessage(error), usageRemedy()), { json, verbose: false });
    process.exitCode = EXIT.usage;
  }
}

function usageMessage(error: CommanderError): string {
  return error.message
    .replace(/^error: /, '')
    .split('\n')
    .join('; ');
}

function usageRemedy(): string {
  const name = process.argv[2];
  const command = program.commands.find((each) => each.name() === name);
  return `antipode ${command === undefined ? '' : `${command.name()} `}--help shows what is allowed, with examples.`;
}
