import { requirementOf } from '#core/failover/acknowledge';
import type { Lease } from '#core/failover/lease';
import type { ControlStore } from '#ports/control-store';
import type { Acknowledgement } from '#region/ingest/acknowledgement';
import type { SyncWaits } from '#region/ingest/sync-waits';
import type { NamespaceSetup } from '#region/namespace-setup';
import { EpochConfirmation } from '#region/serve/epoch-confirmation';
import type { ReadNamespace } from '#region/serve/row-reads';

/** What strong reads of a namespace need: nothing where every region accepts writes, because there are none. */
export function strongReadsOf(options: {
  readonly region: string;
  readonly setup: NamespaceSetup;
  readonly control: ControlStore;
  readonly acknowledgement: Acknowledgement;
  readonly waits: SyncWaits;
  readonly learn: (lease: Lease) => void;
}): Pick<ReadNamespace, 'confirmation' | 'settled'> {
  const { region, setup, control, acknowledgement, waits, learn } = options;
  if (setup.replication === 'active-active') return { confirmation: undefined };
  return {
    confirmation: new EpochConfirmation({ namespace: setup.namespace, control, learn }),
    settled: async (positions) => {
      await waits.until(requirementOf(acknowledgement.rule, region), positions);
    },
  };
}
