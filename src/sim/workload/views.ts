import type { FeatureView } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';
import type { NamespaceKnobs } from '#sim/knobs';

/** The views of a namespace, small and alike; every row carries the name of the write that made it. */
export function viewsOf(namespace: NamespaceKnobs): FeatureView[] {
  return Array.from({ length: namespace.views }, (_, index) =>
    withVersion({
      name: `${namespace.name}_${index}`,
      namespace: namespace.name,
      joinKeys: [{ name: 'id', type: 'string' }],
      features: [
        { name: 'padding', type: { scalar: 'string', list: false }, nullable: true },
        { name: 'write', type: { scalar: 'string', list: false }, nullable: false },
      ],
      ttlSeconds: null,
      resolver: { kind: 'last-writer-wins' },
      granularity: 'row',
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
