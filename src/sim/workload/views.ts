import type { FeatureView } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';
import type { NamespaceKnobs } from '#sim/knobs';
import { mergePart } from '#sim/workload/merge-styles';

/** The views of a namespace, small and alike but for how they merge. */
export function viewsOf(namespace: NamespaceKnobs): FeatureView[] {
  return Array.from({ length: namespace.views }, (_, index) =>
    withVersion({
      name: `${namespace.name}_${index}`,
      namespace: namespace.name,
      joinKeys: [{ name: 'id', type: 'string' }],
      ...mergePart(namespace.merges[index] ?? 'last-writer-wins', namespace.promotable),
      ttlSeconds: namespace.ttlSeconds,
      eventTimeAheadMsMax: 300_000,
      sources: [],
      sql: null,
      eventTimeColumn: 'event_timestamp',
      owner: 'simulation',
      description: '',
      tags: {},
    }),
  );
}
