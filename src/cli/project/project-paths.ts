import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { loadProject, type Project, TOPOLOGY_FILE } from '#adapters/project-files/load-project';
import { CONTROL } from '#core/config/topology';
import { AntipodeError } from '#core/errors';

/** What a project keeps beside its data, by default all below one folder that version control ignores. */
const STATE_FOLDER = '.antipode';

/** The folder that was named, or the nearest one upwards from here that has an antipode.yaml. */
export function projectFolder(named: string | undefined, from: string = process.cwd()): string {
  if (named !== undefined) return resolve(named);
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    if (existsSync(join(folder, TOPOLOGY_FILE))) return folder;
    if (folder === dirname(folder)) break;
  }
  throw new AntipodeError('CONFIG_INVALID', `there is no ${TOPOLOGY_FILE} in ${resolve(from)} or any folder above it`, {
    remedy: 'Create a project with: antipode init. Or name its folder with --project.',
  });
}

export async function openProject(named: string | undefined): Promise<Project> {
  return loadProject(projectFolder(named));
}

/** Where the parts of a project lie; all absolute. */
export class ProjectPaths {
  readonly folder: string;
  readonly #project: Project;

  constructor(project: Project) {
    this.#project = project;
    this.folder = project.folder;
  }

  /** Data folder of a region or of the control store. */
  data(node: string): string {
    if (node === CONTROL) return this.#absolute(this.#project.config.control.data);
    return this.#absolute(regionOf(this.#project, node).data);
  }

  log(node: string): string {
    return join(this.folder, STATE_FOLDER, 'logs', `${node}.log`);
  }

  /** Held by the one `up` of a project. */
  get lock(): string {
    return join(this.folder, STATE_FOLDER, 'up');
  }

  get certificates(): string {
    return this.#absolute(this.#project.config.security.certificates);
  }

  /** Hashes of the tokens: what regions know. */
  get tokens(): string {
    return this.#absolute(this.#project.config.security.tokens);
  }

  /** The tokens themselves, for commands on this machine. */
  get clientTokens(): string {
    return join(dirname(this.tokens), 'client-tokens.json');
  }

  /** A path of the configuration. */
  file(path: string): string {
    return this.#absolute(path);
  }

  #absolute(path: string): string {
    return isAbsolute(path) ? path : join(this.folder, path);
  }
}

/** A region of the topology by name; CONFIG_INVALID names those there are. */
export function regionOf(project: Project, name: string): Project['config']['regions'][string] {
  const { regions } = project.config;
  const region = Object.hasOwn(regions, name) ? regions[name] : undefined;
  if (region !== undefined) return region;
  throw new AntipodeError('CONFIG_INVALID', `no region is named ${JSON.stringify(name)}`, {
    remedy: `Regions: ${Object.keys(regions).join(', ')}.`,
  });
}
