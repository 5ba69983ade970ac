import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { FEATURES_FOLDER, loadProject, TOPOLOGY_FILE } from '#adapters/project-files/load-project';
import { nameFault } from '#core/config/names';
import { type CommonOptions, newCommand, printJson, printLines, runCommand } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { exampleFeatures, exampleSource, GITIGNORE, topologyTemplate } from '../init-templates.ts';
import { ProjectPaths } from '../project/project-paths.ts';
import { ensureTokens } from '../project/tokens.ts';

interface InitOptions extends CommonOptions {
  readonly name?: string;
  readonly basePort: number;
}

export function addInitCommand(program: Command): void {
  program.addCommand(
    newCommand('init', {
      summary: 'make a project: three regions on this machine and an example feature view',
      examples: ['antipode init shop', 'antipode init . --name flights', 'antipode init shop-b --base-port 7300'],
    })
      .argument('[folder]', 'folder of the new project', '.')
      .option('--name <name>', 'name of the topology; default: that of the folder')
      .option('--base-port <port>', 'first of the ports the project uses', basePort, 7100)
      .action((folder: string, options: InitOptions) => runCommand(options, () => init(folder, options))),
  );
}

async function init(named: string, options: InitOptions): Promise<undefined> {
  // For this command alone --project would name the same thing twice.
  const folder = resolve(options.project ?? named);
  const name = options.name ?? nameFrom(basename(folder));
  const fault = nameFault(name);
  if (fault !== undefined)
    throw new UsageError(`${JSON.stringify(name)}: ${fault}`, 'Give a name: --name my-features.');
  const files = new Map([
    [TOPOLOGY_FILE, topologyTemplate({ name, basePort: options.basePort })],
    [join(FEATURES_FOLDER, 'example.yaml'), exampleFeatures()],
    [join('sources', 'driver_stats.csv'), exampleSource(Date.now())],
    ['.gitignore', GITIGNORE],
  ]);
  // Somebody's own .gitignore stays as it is; everything else of that name would be lost work.
  const present = [...files.keys()].filter((file) => existsSync(join(folder, file)) && file !== '.gitignore');
  if (present.length > 0) {
    throw new UsageError(
      `${folder} has ${present.join(', ')} already, and init overwrites nothing`,
      'Name another folder: antipode init my-features.',
    );
  }
  const written: string[] = [];
  for (const [file, text] of files) {
    const path = join(folder, file);
    if (existsSync(path)) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text, { flag: 'wx' });
    written.push(file);
  }
  const paths = new ProjectPaths(await loadProject(folder));
  await ensureTokens(paths);
  const tokens = relative(folder, paths.clientTokens);
  if (options.json) printJson({ folder, name, written, tokens });
  else printNextSteps({ folder, written, tokens });
  return undefined;
}

function printNextSteps(made: {
  readonly folder: string;
  readonly written: readonly string[];
  readonly tokens: string;
}): void {
  const from = relative(process.cwd(), made.folder);
  printLines([
    `wrote ${made.written.join(', ')}`,
    `wrote ${made.tokens} (readable by you alone)`,
    '',
    'Next:',
    ...(from === '' ? [] : [`  cd ${from}`]),
    '  antipode up',
    '  antipode ingest driver_stats                  # in another terminal, in this folder',
    '  antipode get driver_stats driver_id=1001',
    '  antipode status',
  ]);
}

/** A name that a topology may have, made from that of a folder. */
function nameFrom(folder: string): string {
  const name = folder
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 40);
  return name === '' ? 'features' : name;
}

function basePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1024 && port <= 65_000) return port;
  throw new UsageError(`${text} is no base port`, 'Use a port from 1024 to 65000.');
}
