import type { Command } from 'commander';
import { type CommonOptions, newCommand, printJson, printLines, runCommand } from '../command.ts';
import { type Check, runChecks } from '../doctor-checks.ts';
import { EXIT } from '../exit-codes.ts';
import { projectFolder } from '../project/project-paths.ts';
import { paint } from '../terminal/style.ts';

const MARKS = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const;
const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

export function addDoctorCommand(program: Command): void {
  program.addCommand(
    newCommand('doctor', {
      summary: 'check this machine and project for what keeps Antipode from working',
      description:
        'Checks Node, configuration, ports, certificates, disk, clock, tokens, data folders, control store and regions, whether the topology runs or not. Exit code 1 when a check fails; warnings do not count.',
      examples: ['antipode doctor', 'antipode doctor --json'],
    }).action((options: CommonOptions) => runCommand(options, () => doctor(options)).then(() => process.exit())),
  );
}

async function doctor(options: CommonOptions): Promise<number> {
  const checks: Check[] = [];
  for await (const check of runChecks(projectFolder(options.project))) {
    checks.push(check);
    if (!options.json) printLines(checkLines(check));
  }
  const failed = checks.filter((check) => check.result === 'fail').length;
  const warned = checks.filter((check) => check.result === 'warn').length;
  if (options.json) printJson({ ok: failed === 0, checks });
  else printLines(['', `${checks.length} checks, ${failed} failed, ${warned} warnings`]);
  return failed === 0 ? EXIT.ok : EXIT.failure;
}

function checkLines({ result, name, message, remedy }: Check): string[] {
  const lines = [`${paint(COLOURS[result], MARKS[result])}  ${name}: ${message}`];
  return remedy === undefined ? lines : [...lines, `      ${remedy}`];
}
