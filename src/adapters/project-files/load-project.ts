import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  type FileIssue,
  issuesError,
  parseYaml,
  readConfigText,
  type YamlFile,
} from '#adapters/project-files/yaml-file';
import { parseTopology, type TopologyConfig } from '#core/config/topology';
import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import { buildFeatureViews, parseFeaturesDocument } from '#core/model/feature-view-build';
import type { FeaturesDocument } from '#core/model/feature-view-document';

export const TOPOLOGY_FILE = 'antipode.yaml';
export const FEATURES_FOLDER = 'features';
const DEFINITION_FILES_MAX = 1000;

/** A project folder as read: the topology and its feature views. */
export interface Project {
  /** Absolute. Relative paths of configuration and sources start here. */
  readonly folder: string;
  readonly config: TopologyConfig;
  /** In the order of files and of the views in them. */
  readonly views: readonly FeatureView[];
}

/**
 * Reads antipode.yaml and features/*.yaml of a folder. Faults of antipode.yaml are CONFIG_INVALID (or UNSAFE_BINDING),
 * those of definitions DEFINITION_INVALID; `where` is file:line:column and all faults are reported at once.
 */
export async function loadProject(folder: string): Promise<Project> {
  const config = await loadTopology(folder);
  const topology = { namespaces: Object.keys(config.namespaces), regions: Object.keys(config.regions) };
  const views = await loadViews(folder, topology);
  return { folder: resolve(folder), config, views };
}

/** Reads antipode.yaml alone. */
export async function loadTopology(folder: string): Promise<TopologyConfig> {
  const text = await readConfigText(join(folder, TOPOLOGY_FILE), TOPOLOGY_FILE, 'CONFIG_INVALID');
  if (text === undefined) {
    throw new AntipodeError('CONFIG_INVALID', `there is no ${TOPOLOGY_FILE} in ${resolve(folder)}`, {
      where: join(resolve(folder), TOPOLOGY_FILE),
      remedy: 'Create a project with: antipode init. Or name the folder of an existing one.',
    });
  }
  const yaml = parseYaml(TOPOLOGY_FILE, text);
  if (!('value' in yaml)) throw issuesError('CONFIG_INVALID', yaml);
  const parsed = parseTopology(yaml.value);
  if (!parsed.ok) throw issuesError('CONFIG_INVALID', parsed.issues.map(yaml.locate));
  return parsed.value;
}

/** Reads features/*.yaml; namespaces and regions are those of the topology. */
export async function loadViews(
  folder: string,
  topology: { readonly namespaces: readonly string[]; readonly regions: readonly string[] },
): Promise<readonly FeatureView[]> {
  const issues: FileIssue[] = [];
  const files: YamlFile[] = [];
  const documents: FeaturesDocument[] = [];
  for (const name of await definitionFiles(folder)) {
    const file = `${FEATURES_FOLDER}/${name}`;
    const text = await readConfigText(join(folder, FEATURES_FOLDER, name), file, 'DEFINITION_INVALID');
    if (text === undefined) continue;
    const yaml = parseYaml(file, text);
    if (!('value' in yaml)) {
      issues.push(...yaml);
      continue;
    }
    const parsed = parseFeaturesDocument(yaml.value);
    if (parsed.ok) {
      files.push(yaml);
      documents.push(parsed.value);
    } else issues.push(...parsed.issues.map(yaml.locate));
  }
  // References between files are only meaningful when every file was understood.
  if (issues.length > 0) throw issuesError('DEFINITION_INVALID', issues);
  const built = buildFeatureViews(documents, topology);
  if (built.issues.length > 0) {
    throw issuesError(
      'DEFINITION_INVALID',
      built.issues.map((issue) => (files[issue.document] as YamlFile).locate(issue)),
    );
  }
  return built.views;
}

async function definitionFiles(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(join(folder, FEATURES_FOLDER));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new AntipodeError(
      'DEFINITION_INVALID',
      `the folder ${FEATURES_FOLDER} cannot be read: ${(cause as Error).message}`,
      { where: FEATURES_FOLDER, cause },
    );
  }
  const files = names.filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).sort();
  if (files.length <= DEFINITION_FILES_MAX) return files;
  throw new AntipodeError(
    'DEFINITION_INVALID',
    `${files.length} definition files; at most ${DEFINITION_FILES_MAX} are allowed`,
    { where: FEATURES_FOLDER },
  );
}
