import { type ConfigIssue, didYouMean, quote } from '#core/config/issue';
import type { FeatureView } from '#core/model/feature-view';

type MergePart = Pick<FeatureView, 'resolver' | 'granularity' | 'features'>;

/**
 * Whether a view's resolver, granularity and features go together (P9.1): what is allowed here, every region can merge.
 * `regions`: those of the topology; unchecked when left out, because a version from a stream may name one that is gone.
 */
export function resolverFaults(view: MergePart, regions?: readonly string[]): ConfigIssue[] {
  switch (view.resolver.kind) {
    case 'last-writer-wins':
      return [];
    case 'region-priority':
      return regionFaults(view.resolver.regions, regions);
    case 'max':
    case 'min':
      return view.granularity === 'row'
        ? rowExtremeFaults(view, view.resolver.kind, view.resolver.by)
        : featureExtremeFaults(view, view.resolver.kind, view.resolver.by);
    case 'counter':
      return counterFaults(view);
  }
}

function regionFaults(named: readonly string[], regions: readonly string[] | undefined): ConfigIssue[] {
  const faults: ConfigIssue[] = [];
  named.forEach((name, index) => {
    const path = ['resolver', 'region-priority', index];
    if (named.indexOf(name) < index) faults.push({ path, message: `the region ${quote(name)} is listed twice` });
    if (regions === undefined || regions.includes(name)) return;
    faults.push({
      path,
      message: `antipode.yaml has no region ${quote(name)}${didYouMean(name, regions)}`,
      remedy: `Regions: ${regions.join(', ')}.`,
    });
  });
  return faults;
}

function rowExtremeFaults(view: MergePart, kind: 'max' | 'min', by: string | null): ConfigIssue[] {
  if (by === null) {
    return [
      {
        path: ['resolver'],
        message: `with rows as the granularity, ${kind} needs a feature to go by`,
        remedy: `Write resolver: { ${kind}: <feature> }, or granularity: feature to merge each feature by itself.`,
      },
    ];
  }
  const feature = view.features.find(({ name }) => name === by);
  const path = ['resolver', kind];
  if (feature === undefined) {
    const names = view.features.map(({ name }) => name);
    return [{ path, message: `the view has no feature ${quote(by)}${didYouMean(by, names)}` }];
  }
  return feature.type.list ? [{ path, message: `"${by}" is a list, and lists have no ${kind}` }] : [];
}

function featureExtremeFaults(view: MergePart, kind: 'max' | 'min', by: string | null): ConfigIssue[] {
  if (by !== null) {
    return [
      {
        path: ['resolver', kind],
        message: `with features as the granularity, each feature goes by itself, not by ${quote(by)}`,
        remedy: `Write resolver: ${kind}.`,
      },
    ];
  }
  return view.features
    .filter(({ type }) => type.list)
    .map(({ name }) => ({ path: ['resolver'], message: `the feature "${name}" is a list, and lists have no ${kind}` }));
}

function counterFaults(view: MergePart): ConfigIssue[] {
  const faults: ConfigIssue[] = view.features
    .filter(({ type }) => type.list || (type.scalar !== 'int64' && type.scalar !== 'float64'))
    .map(({ name }) => ({
      path: ['resolver'],
      message: `the feature "${name}" cannot be counted`,
      remedy: 'Counters have features of type int64 and float64 only.',
    }));
  if (view.granularity === 'feature') {
    faults.push({
      path: ['granularity'],
      message: 'a counter is written by whole rows of running totals',
      remedy: 'Leave granularity out.',
    });
  }
  return faults;
}
