import { Command, InvalidArgumentError, Option } from 'commander';
import type { Project } from '#adapters/project-files/load-project';
import { exactJson } from './exact-json.ts';
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts';
import { printError } from './print-error.ts';
import { openProject, ProjectPaths } from './project/project-paths.ts';

/** What every command takes. */
export interface CommonOptions {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly project?: string;
}

export interface OpenProject {
  readonly project: Project;
  readonly paths: ProjectPaths;
}

export async function openNamedProject(options: CommonOptions): Promise<OpenProject> {
  const project = await openProject(options.project);
  return { project, paths: new ProjectPaths(project) };
}

export interface CommandAbout {
  /** One line, for the list of commands. */
  readonly summary: string;
  readonly description?: string;
  /** Lines that work when pasted after `antipode init` and `antipode up`. */
  readonly examples: readonly string[];
}

/**
 * A command with what all have in common: `--json`, `--project`, `--verbose`, and examples under its help.
 */
export function newCommand(name: string, about: CommandAbout): Command {
  return newGroup(name, about)
    .option('--json', 'print JSON instead of text', false)
    .option('--project <folder>', 'project folder; default: the nearest one upwards with an antipode.yaml')
    .option('--verbose', 'show stack traces of errors', false);
}

/** A command that only holds others: options of its own would be taken for theirs. */
export function newGroup(name: string, { summary, description, examples }: CommandAbout): Command {
  return new Command(name)
    .summary(summary)
    .description(description ?? summary)
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  $ ${line}`).join('\n')}\n${EXIT_CODES_HELP}`);
}

/** Runs the body of a command; a failure is printed in the one form all errors have and becomes the exit code. */
export async function runCommand(options: CommonOptions, body: () => Promise<number | undefined>): Promise<void> {
  try {
    process.exitCode = (await body()) ?? EXIT.ok;
  } catch (error) {
    printError(error, options);
    process.exitCode = exitCodeOf(error);
  }
}

export function printJson(value: unknown): void {
  process.stdout.write(`${exactJson(value, 2)}\n`);
}

export function printLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

/** `--region` of a command that talks to one region. */
export function regionOption(description: string): Option {
  return new Option('--region <name>', description);
}

/** Reads a whole number within bounds. */
export function wholeNumber(bounds: { readonly min: number; readonly max: number }): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= bounds.min && value <= bounds.max) return value;
    throw new InvalidArgumentError(`expected a whole number from ${bounds.min} to ${bounds.max}.`);
  };
}

/** Collects repeated `--option name=value`. */
export function assignment(text: string, previous: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('expected name=value.');
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}
