// Writes docs/reference/*.md from the code: error codes, configuration, commands. Run it after a change of any of them:
//   node --conditions=antipode-source scripts/generate-docs.ts
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, Option } from 'commander';
import { jsonSchemas } from '#adapters/project-files/json-schemas';
import { createProgram } from '#cli/program';
import { type Disposition, ERROR_CODES } from '#core/errors';

/** Every command, for its help. */
const program = await createProgram();

const GENERATED = '<!-- Written by scripts/generate-docs.ts from the code. Do not edit. -->';

/** What a caller does about each disposition; the registry in src/core/errors.ts defines them. */
const DISPOSITIONS: Record<Disposition, string> = {
  retry: 'The same call may succeed later.',
  reset: 'Drop the connection or the cached view, and begin again.',
  reject: 'The input is wrong; retrying is useless.',
  stop: 'The process, or the part that met it, does not go on.',
  unknown: 'The outcome is not known: settle by reading, or by retrying with the same idempotency key.',
};

/** Text of the reference pages by file name. */
export function referencePages(): ReadonlyMap<string, string> {
  return new Map([
    ['errors.md', errorsPage()],
    ['configuration.md', configurationPage()],
    ['cli.md', cliPage()],
  ]);
}

function page(title: string, ...parts: readonly string[]): string {
  return `${[`# ${title}`, GENERATED, ...parts].join('\n\n')}\n`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** Text as one cell. Angle brackets outside of code would be taken for HTML. */
function cell(text: string): string {
  const parts = text.replaceAll('\n', ' ').replaceAll('|', '\\|').split('`');
  return parts.map((part, i) => (i % 2 === 0 ? part.replaceAll('<', '&lt;') : part)).join('`');
}

function errorsPage(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, { disposition, status, cause, remedy }]) => [
    `\`${code}\``,
    String(status),
    disposition,
    cause,
    remedy,
  ]);
  return page(
    'Error codes',
    'Every failure has one of these codes: in the `antipode-error` header of an HTTP answer, in `code` of its body where ' +
      'the body is ours, in what a command prints, in logs and in the audit log. A code never changes its meaning. The ' +
      'status is the usual one; answers in the shape of Feast have their own, see [serving](../serving.md#errors).',
    table(['code', 'status', 'disposition', 'cause', 'what to do'], rows),
    '## Dispositions',
    table(['disposition', 'meaning'], Object.entries(DISPOSITIONS)),
  );
}

interface Schema {
  readonly title?: string;
  readonly description?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
}

function configurationPage(): string {
  const parts = [...jsonSchemas()].flatMap(([file, text]) => {
    const schema = JSON.parse(text) as Schema;
    const rows: string[][] = [];
    describeProperties(schema, '', rows);
    return [
      `## ${schema.title ?? file}`,
      `Schema for editors: \`schemas/${file}\`.`,
      table(['key', 'value', 'default', 'meaning'], rows),
    ];
  });
  return page(
    'Configuration',
    'Keys of `antipode.yaml` and of `features/*.yaml`. `NAME` stands for a name you choose, `[]` for each element of a ' +
      'list. Unknown keys are refused. Durations are `500ms`, `90m`, `7d` or a number of seconds; sizes are `512KiB`, ' +
      '`4MiB` or a number of bytes. What parts demand of each other is checked when a project is loaded; ' +
      '[features](../features.md) and [operations](../operations.md) explain it.',
    ...parts,
  );
}

function describeProperties(schema: Schema, prefix: string, rows: string[][]): void {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    const required = schema.required?.includes(name) === true;
    const byDefault = property.default === undefined ? (required ? 'required' : '') : code(property.default);
    const holdsOnlyOthers = property.type === 'object' && property.description === undefined && !required;
    if (!holdsOnlyOthers) rows.push([`\`${key}\``, valueText(property), byDefault, property.description ?? '']);
    describeInside(property, key, rows);
  }
}

function describeInside(schema: Schema, key: string, rows: string[][]): void {
  if (schema.properties !== undefined) describeProperties(schema, key, rows);
  if (schema.items?.properties !== undefined) describeProperties(schema.items, `${key}[]`, rows);
  const named = schema.additionalProperties;
  if (typeof named === 'object' && named.properties !== undefined) describeProperties(named, `${key}.NAME`, rows);
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

function valueText(schema: Schema): string {
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ');
  const texts = schema.anyOf?.map((each) => each.pattern ?? '') ?? [];
  if (texts.some((pattern) => pattern.includes('ms|s|m|h'))) return 'duration';
  if (texts.some((pattern) => pattern.includes('KiB'))) return 'size';
  if (schema.type === 'array') {
    const bounds = range(schema.minItems, schema.maxItems, ' elements');
    return `list of ${schema.items === undefined ? 'values' : plural(schema.items)}${bounds}`;
  }
  if (schema.type === 'object') return 'map';
  if (schema.type === 'integer') return `whole number${range(schema.minimum, schema.maximum, '')}`;
  if (schema.type === 'boolean') return '`true`, `false`';
  if (schema.pattern?.includes('0-9a-fA-F:.') === true) return 'host:port';
  return schema.type === 'string' ? 'text' : (schema.type ?? 'value');
}

function plural(schema: Schema): string {
  return schema.type === 'object' ? 'maps' : `${valueText(schema)}s`;
}

function range(from: number | undefined, to: number | undefined, unit: string): string {
  if (from === undefined && to === undefined) return '';
  if (to === undefined) return `, ${from} or more${unit}`;
  return from === undefined ? `, at most ${to}${unit}` : `, ${from} to ${to}${unit}`;
}

function cliPage(): string {
  // What only the program itself calls is no command for people.
  const commands = program.createHelp().visibleCommands(program);
  const shared = sharedOptions(commands.flatMap(leaves));
  return page(
    'Commands',
    program.description(),
    `\`\`\`text\n${commands.map((each) => `antipode ${usage(each)}`).join('\n')}\n\`\`\``,
    'Options that every command has:',
    optionTable(shared),
    'Exit codes: 0 ok, 1 failed, 2 wrong arguments or configuration, 3 unavailable now (the same command may succeed later).',
    ...program.commands.flatMap((each) =>
      commandParts(each, 'antipode', new Set(shared.map((option) => option.flags))),
    ),
  );
}

/** Commands that do something themselves: a group only holds others. */
function leaves(command: Command): readonly Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

/** Options that all commands have in the same words. */
function sharedOptions(commands: readonly Command[]): Option[] {
  const [first, ...rest] = commands;
  return (first?.options ?? []).filter((option) =>
    rest.every((each) => each.options.some((other) => other.flags === option.flags)),
  );
}

function usage(command: Command): string {
  return `${command.name()} ${command.usage()}`.replace('[options] ', '').replace(' [options]', '');
}

function commandParts(command: Command, parent: string, shared: ReadonlySet<string>): string[] {
  const name = `${parent} ${command.name()}`;
  const own = command.options.filter((option) => !shared.has(option.flags));
  const args = command.registeredArguments;
  const examples = helpExamples(command);
  return [
    `## ${name}`,
    `\`\`\`text\n${parent} ${command.name()} ${command.usage()}\n\`\`\``,
    asText(command.description()),
    ...(args.length === 0
      ? []
      : [
          table(
            ['argument', 'meaning'],
            args.map((each) => [`\`${each.name()}\``, withDefault(each.description, each.defaultValue)]),
          ),
        ]),
    ...(own.length === 0 ? [] : [optionTable(own)]),
    ...(examples === '' ? [] : [`\`\`\`sh\n${examples}\n\`\`\``]),
    ...command.commands.flatMap((each) => commandParts(each, name, shared)),
  ];
}

function asText(description: string): string {
  return /[.!]$/.test(description) ? description : `${description.charAt(0).toUpperCase()}${description.slice(1)}.`;
}

function optionTable(options: readonly Option[]): string {
  return table(
    ['option', 'meaning'],
    options.map((option) => [`\`${option.flags}\``, withDefault(option.description, option.defaultValue)]),
  );
}

function withDefault(text: string, value: unknown): string {
  return value === undefined || value === false || value === '' || (Array.isArray(value) && value.length === 0)
    ? text
    : `${text} (default: ${code(value)})`;
}

/** The examples of a command's help, as lines to paste. */
function helpExamples(command: Command): string {
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  return [...help.matchAll(/^ {2}\$ (.*)$/gm)].map((match) => match[1]).join('\n');
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, '..', 'docs', 'reference');
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of referencePages()) writeFileSync(join(folder, name), text);
}
