import { type AcknowledgeRule, type Requirement, requirementOf, weaker } from '#core/failover/acknowledge';
import type { LeaseRecord } from '#core/failover/lease';
import { withParticipants } from '#core/failover/participants';
import type { DurablePositions } from '#region/replicate/durable-positions';
import type { NamespaceLog } from '#region/replicate/namespace-log';

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
    const heads = Object.fromEntries(record.streams.map((stream) => [stream, this.#log.head(stream).seq]));
    return {
      ...record,
      acknowledge: { count, regions: [...regions] },
      participants: withParticipants(record, this.#positions.logs(this.#others), heads),
    };
  }
}
