import type { Project } from '#adapters/project-files/load-project';
import type { Role } from '#server/access/roles';
import { RegionClient } from '../region-client.ts';
import { type ProjectPaths, regionOf } from './project-paths.ts';
import { serveUrl } from './serve-url.ts';
import { clientToken } from './tokens.ts';

/** Clients of all regions, the first hub of the topology first; or of the one that was named. */
export async function clientsOf(
  project: Project,
  paths: ProjectPaths,
  role: Role,
  named?: string | undefined,
): Promise<RegionClient[]> {
  const token = await clientToken(paths, role);
  if (named !== undefined) regionOf(project, named);
  const hubs = Object.values(project.config.namespaces).flatMap((each) => ('hub' in each ? [each.hub] : []));
  const names = named === undefined ? [...hubs, ...Object.keys(project.config.regions)] : [named];
  return [...new Set(names)].map(
    (region) => new RegionClient({ region, url: serveUrl(project.config, region), token }),
  );
}
