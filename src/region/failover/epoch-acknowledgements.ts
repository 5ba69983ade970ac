import { type AcknowledgeRule, type Requirement, requirementOf, weaker } from '#core/failover/acknowledge';
import type { Lease, LeaseRecord } from '#core/failover/lease';
import { type ReturnedLog, withParticipants } from '#core/failover/participants';
import type { StreamKey } from '#core/model/stream';
import type { DurablePositions } from '#region/replicate/durable-positions';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { AcknowledgementStatus } from '#region/status';

export function acknowledgementStatus(lease: Lease | undefined): AcknowledgementStatus | undefined {
  if (lease === undefined) return undefined;
  const { acknowledge, participants, lossy } = lease.record;
  return { ...acknowledge, participants: Object.keys(participants).sort(), lossy };
}

/**
 * What the record of an epoch says of its acknowledgements, as this region would write it as holder: the weakest rule in
 * force, and whose acknowledgements count. Nothing of it is acted upon before the control store has it, so that whoever
 * promotes after this epoch knows at least as much (P6.4, P6.5).
 */
export class EpochAcknowledgements {
  readonly #region: string;
  readonly #rule: AcknowledgeRule;
  readonly #others: readonly string[];
  readonly #log: NamespaceLog;
  readonly #positions: DurablePositions;
  readonly #owed = new Map<string, { log: string; epoch: number; heads: Record<StreamKey, number> }>();

  constructor(options: {
    region: string;
    config: { readonly acknowledge: AcknowledgeRule; readonly promotable: readonly string[] };
    log: NamespaceLog;
    positions: DurablePositions;
  }) {
    this.#region = options.region;
    this.#rule = options.config.acknowledge;
    this.#others = options.config.promotable.filter((name) => name !== options.region);
    this.#log = options.log;
    this.#positions = options.positions;
  }

  /** What this region's acknowledgements wait for as holder. */
  get requirement(): Requirement {
    return requirementOf(this.#rule, this.#region);
  }

  /** The record for a renewal. */
  inForce(record: LeaseRecord): LeaseRecord {
    const { count, regions } = weaker(record.acknowledge, this.requirement);
    const peers = new Map<string, ReturnedLog>();
    for (const [region, peer] of this.#positions.logs(this.#others))
      peers.set(region, { ...peer, owed: this.#owedBy(region, peer.log, record) });
    return withParticipants({ ...record, acknowledge: { count, regions: [...regions] } }, peers);
  }

  /** What a log that is new to the epoch has to hold before it counts: what there was when it came. */
  #owedBy(region: string, log: string, record: LeaseRecord): Record<StreamKey, number> {
    const known = this.#owed.get(region);
    if (known?.log === log && known.epoch === record.epoch) return known.heads;
    const heads = Object.fromEntries(record.streams.map((stream) => [stream, this.#log.head(stream).seq]));
    this.#owed.set(region, { log, epoch: record.epoch, heads });
    return heads;
  }
}
