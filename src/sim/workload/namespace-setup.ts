import type { NamespaceSetup } from '#region/namespace-setup';
import type { NamespaceKnobs } from '#sim/knobs';

/** The configuration of a namespace as regions get it. */
export function setupOf(knobs: NamespaceKnobs): NamespaceSetup {
  const {
    name: namespace,
    replication,
    partitions,
    initialHub,
    leaseMs,
    marginMs,
    promotable,
    tail,
    acknowledge,
    lossy,
    retention,
  } = knobs;
  if (replication === 'active-active') return { namespace, replication, partitions, retention };
  return {
    namespace,
    replication,
    partitions,
    initialHub,
    leaseMs,
    marginMs,
    automatic: true,
    promotable,
    tail,
    acknowledge,
    acknowledgeWithinMs: 3000,
    lossy,
    retention,
  };
}
