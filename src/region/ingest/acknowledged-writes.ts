import type { Producer } from '#core/codec/counter-state';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { Requirement } from '#core/failover/acknowledge';
import type { StreamKey } from '#core/model/stream';
import type { IngestChange } from '#region/engine-api';
import type { HolderGate } from '#region/ingest/holder-gate';
import type { NamespaceWriter, WriteReceipt } from '#region/ingest/namespace-writer';
import type { SyncWaits } from '#region/ingest/sync-waits';
import type { NamespaceLog } from '#region/replicate/namespace-log';

export interface AcknowledgedWrite extends WriteReceipt {
  /** Other regions in which all of it was durable when it was acknowledged. */
  readonly durableIn: readonly string[];
}

/**
 * Writes of one namespace up to their acknowledgement: first durable and visible here, then durable in the regions that
 * namespace and request ask for. Whoever asks is answered only then, first or again: a retry of a write that is here
 * already waits for the same regions.
 */
export class AcknowledgedWrites {
  readonly #writer: NamespaceWriter;
  readonly #waits: SyncWaits;
  readonly #gate: HolderGate;
  readonly #log: NamespaceLog;

  constructor(options: { writer: NamespaceWriter; waits: SyncWaits; gate: HolderGate; log: NamespaceLog }) {
    this.#writer = options.writer;
    this.#waits = options.waits;
    this.#gate = options.gate;
    this.#log = options.log;
  }

  /** As `NamespaceWriter.write`, and OUTCOME_UNKNOWN when other regions did not confirm in time. */
  async write(
    codec: ViewCodec,
    changes: readonly IngestChange[],
    options: {
      readonly key: string | null;
      readonly producer: Producer | undefined;
      readonly requirement: Requirement;
    },
  ): Promise<AcknowledgedWrite> {
    const { key, producer, requirement } = options;
    const epoch = this.#gate.appendable()?.epoch;
    if (requirement.count > 0) this.#waits.assertRoom();
    const receipt = await this.#writer.write(codec, changes, key, producer);
    const durableIn = await this.#waits.until(requirement, receipt.positions);
    if (requirement.count > 0 && (epoch === undefined || !this.#mayAcknowledge(epoch, receipt.positions)))
      throw new AntipodeError('OUTCOME_UNKNOWN', 'the lease ran out while the write waited for other regions');
    return { ...receipt, durableIn };
  }

  /** The epoch is still this region's, or what was written lies within its seals. */
  #mayAcknowledge(epoch: number, positions: Readonly<Record<StreamKey, number>>): boolean {
    if (this.#gate.acknowledgeable(epoch)) return true;
    return Object.entries(positions).every(([stream, seq]) => {
      const standing = this.#log.standing(stream);
      return standing.kind === 'sealed' && seq <= standing.seal;
    });
  }
}
