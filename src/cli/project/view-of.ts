import type { Project } from '#adapters/project-files/load-project';
import { didYouMean } from '#core/config/issue';
import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';

/** A view of the project by name; VIEW_NOT_FOUND names the nearest. */
export function viewOf(project: Project, name: string): FeatureView {
  const view = project.views.find((each) => each.name === name);
  if (view !== undefined) return view;
  const names = project.views.map((each) => each.name);
  throw new AntipodeError(
    'VIEW_NOT_FOUND',
    `no feature view is named ${JSON.stringify(name)}${didYouMean(name, names)}`,
    {
      where: `${project.folder}/features`,
      remedy: names.length === 0 ? 'Define one under features/.' : `Feature views: ${names.slice(0, 20).join(', ')}.`,
    },
  );
}
