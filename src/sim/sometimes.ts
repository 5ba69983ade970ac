import type { SimReport } from '#sim/report';

/** A rare state that runs must reach now and then: an oracle is worth nothing in states that never come up. */
export interface Sometimes {
  readonly name: string;
  readonly meaning: string;
  /** How often a run was in it. */
  readonly count: (report: SimReport) => number;
}

/** The engine reported this event. */
const event = (name: string, meaning: string, of = name): Sometimes => ({
  name,
  meaning,
  count: ({ states }) => states[of] ?? 0,
});
/** A client got this answer. */
const outcome = (name: string, meaning: string, of: string): Sometimes => ({
  name,
  meaning,
  count: ({ outcomes }) => outcomes[of] ?? 0,
});
/** The simulator itself saw it: see `SimKernel.moment`. */
const moment = (name: string, meaning: string): Sometimes => ({
  name,
  meaning,
  count: ({ moments }) => moments[name] ?? 0,
});
const given = (name: string, meaning: string, holds: (report: SimReport) => boolean): Sometimes => ({
  name,
  meaning,
  count: (report) => (holds(report) ? 1 : 0),
});

/** All rare states. A run of many seeds reports those that it did not reach. */
export const SOMETIMES: readonly Sometimes[] = [
  event('lease-lapsed', 'a hub went past its lease'),
  event('lease-lost', 'a hub learned from the record that another one had taken over'),
  event('lease-resumed', 'a hub came back within its epoch'),
  event('lease-handed-over', 'a hub stopped for a candidate that asked'),
  event('holder-stalled', 'the process of a hub stood still for half its lease'),
  event('hub-suspected', 'a region saw the lease stand still'),
  event('hub-not-accepting', 'a hub owed something before its first append'),
  event('hub-waits-for-clock', 'a hub waited until its clock reached the sealed stamps'),
  event('not-eligible', 'a region could not take over, and said why'),
  event('promotion-completed', 'a promotion went to its end'),
  event('promotion-failed', 'a promotion was given up'),
  event('drain-unanswered', 'a person moved the hub while the old one did not answer'),
  event('log-behind', 'a starting hub found that others held more of its streams'),
  event('log-not-vouched', 'a starting hub could not ask everybody, and went on under a new incarnation'),
  event('rebuild-beyond-seal', 'a region had applied more than the seal allowed'),
  event('rebuild-started', 'a store was built again from the logs'),
  event('rebuild-completed', 'a store built again served'),
  event('snapshot-taken', 'a store was copied beside its log'),
  event('snapshot-restored', 'a store came back from its snapshot'),
  event('log-truncated', 'frames left a log'),
  event('retention-forced', 'frames left a log although a member lacked them'),
  event('gap-found', 'a region lacked what no log could give it'),
  event('backfill-completed', 'a gap was filled from the store of a peer'),
  event('backfill-interrupted', 'a backfill lost its peer, or its own store, on the way'),
  event('backfill-resumed', 'a backfill went on where a crash had left it'),
  event('frame-damaged', 'a frame was read otherwise than it was written'),
  event('frame-repaired', 'a damaged frame was replaced by the copy of a peer'),
  event('stream-reset', 'a mirror went on from where a copy began'),
  event('tail-found', 'a region held changes beyond a seal'),
  event('tail-replayed', 'a tail came to the new hub'),
  event('disk-full', 'the applier waited for space'),
  event('control-lost', 'a region had no answer from the control store'),
  event('control-restored', 'the control store answered again'),
  event('clock-offset', 'a region told that its clock is off'),
  event('stream-parked', 'changes waited until their time had come'),
  event('audit-log-replaced', 'a region came back with another audit log than it had anchored'),
  outcome('answered-unknown', 'a client was told that the outcome is unknown', 'OUTCOME_UNKNOWN'),
  outcome('answered-overloaded', 'a client was turned away because too much waited', 'OVERLOADED'),
  outcome('answered-disk-full', 'a client was turned away because the disk was full', 'DISK_FULL'),
  outcome('answered-no-hub', 'a client found no region that accepts', 'NO_HUB'),
  outcome('answered-duplicate', 'a repeated key got the first answer', 'duplicate'),
  outcome('client-gave-up', 'a client waited no longer', 'client-timeout'),
  outcome('connection-lost', 'a region died with a client waiting', 'connection-lost'),
  moment('acked-by-another-region', 'a write was acknowledged in another region than the first one asked'),
  moment('acked-after-unknown', 'a write was acknowledged after an outcome that was unknown'),
  moment('acked-by-forwarding', 'a region that is not the hub acknowledged what the hub had accepted'),
  moment('change-held-back', 'a change with an event time far ahead went to quarantine'),
  moment('died-as-hub', 'a hub died'),
  moment('died-as-candidate', 'a region died while it was about to become hub'),
  moment('died-as-control', 'the control store died'),
  moment('died-at-a-point', 'a machine died at a labelled point that was chosen before'),
  moment('two-candidates', 'two regions were about to become hub at the same time'),
  moment('log-writes-lost', 'a crash lost writes that no fsync had reached'),
  moment('log-writes-kept-in-part', 'of such writes a crash kept some and lost others'),
  moment('store-lost-in-part', 'of unsynced store writes the death of a machine kept some and lost others'),
  moment('disks-rolled-back', 'a machine came back with disks that lacked what it had acknowledged'),
  moment('disks-wiped', 'a machine came back with empty disks'),
  moment('orphan-channel', 'a listener got a channel at whose other end nobody was'),
  moment('message-repeated', 'a message came twice over one connection'),
  moment('packet-lost-thrice', 'one message was lost three times in a row'),
  moment('sender-held-up', 'a sender was told to wait until its channel had drained'),
  moment('silent-connection', 'a host gave up on a connection over which nothing came'),
  moment('core-agreed', 'a core of regions agreed while the others were away'),
  moment('region-away-came-back', 'a region that had been away agreed with the rest in the end'),
  moment('tie-by-counter', 'two changes of a row had equal event times and clock readings, but for the counter'),
  moment('tie-by-origin', 'two changes of a row had equal stamps, but for their origin'),
  moment('delete-outranked', 'a delete lost against another change'),
  moment('delete-won', 'a delete was the last word on a row'),
  given('five-regions', 'five regions took part', ({ regions }) => regions === 5),
  given('two-namespaces', 'two namespaces shared the regions', ({ namespaces }) => namespaces === 2),
  given('unlimited-faults', 'faults knew no limit', ({ mode }) => mode === 'safety'),
  given('many-epochs', 'one run saw five epochs or more', ({ epochs }) => epochs >= 4),
  given('clean-failover', 'a promotion left nothing behind', ({ epochs, lossyFailovers }) => epochs > lossyFailovers),
  given('lossy-failover', 'a promotion may have left something behind', ({ lossyFailovers }) => lossyFailovers > 0),
];
