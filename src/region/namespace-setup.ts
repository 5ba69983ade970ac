import { AntipodeError } from '#core/errors';
import { incarnationKey } from '#core/membership/member-record';
import type { Journal } from '#ports/journal';
import type { AuthorityConfig } from '#region/failover/authority-config';
import type { Acknowledgement } from '#region/ingest/acknowledgement';
import { CONTROL_SILENCE_MS, type MembershipConfig } from '#region/membership/active-member';
import type { DurablePositions } from '#region/replicate/durable-positions';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { RetentionConfig } from '#region/retain/retention-plan';

/** How one namespace is replicated: by a hub under a lease, or by every region at once. */
export type NamespaceSetup = {
  /** How long the frames of the namespace stay in the log; default 7 days, 10 GiB. */
  readonly retention?: RetentionConfig | undefined;
} & (
  | (AuthorityConfig & {
      readonly replication?: 'active-passive';
      readonly tail: 'replay' | 'keep';
      /** How long an acknowledgement waits for other regions, ms. */
      readonly acknowledgeWithinMs: number;
    })
  | (MembershipConfig & { readonly replication: 'active-active' })
);

/** How long the control store may be silent before it counts as out of reach, ms. */
export function controlPatienceMs(namespace: NamespaceSetup): number {
  return namespace.replication === 'active-active' ? CONTROL_SILENCE_MS : namespace.leaseMs;
}

/** How long an acknowledgement of an active-active namespace waits where a request asks for other regions, ms. */
const ACTIVE_ACKNOWLEDGE_WITHIN_MS = 5000;

/**
 * Whom acknowledgements count: under a lease the participants that the control store has confirmed for the epoch, since a
 * promotion will count them too; among equals every other member as it is.
 */
export function acknowledgementOf(
  namespace: NamespaceSetup,
  known: { readonly log: NamespaceLog; readonly positions: DurablePositions; readonly peers: readonly string[] },
): Acknowledgement {
  const { log, positions, peers } = known;
  if (namespace.replication === 'active-active')
    return {
      rule: 0,
      withinMs: ACTIVE_ACKNOWLEDGE_WITHIN_MS,
      regions: peers,
      participants: () => Object.fromEntries(positions.logs(peers)),
    };
  return {
    rule: namespace.acknowledge,
    withinMs: namespace.acknowledgeWithinMs,
    regions: namespace.promotable,
    participants: () => log.lease?.record.participants ?? {},
  };
}

/** CONFIG_INVALID when this region's data were written under another way of replication: its streams would mean something else. */
export function assertSameReplication(namespace: NamespaceSetup, journal: Journal): void {
  const { namespace: name, replication = 'active-passive' } = namespace;
  const before = journal.get(incarnationKey(name)) !== undefined ? 'active-active' : undefined;
  const leased = journal.get(`lease/${name}`) !== undefined ? 'active-passive' : undefined;
  const found = before ?? leased;
  if (found === undefined || found === replication) return;
  throw new AntipodeError('CONFIG_INVALID', `namespace ${name} was created ${found} and is configured ${replication}`, {
    remedy: `Set replication of ${name} back to ${found}, or give its feature views a new namespace: the way of replication is fixed when a namespace is created.`,
  });
}
