import type { AcknowledgeRule } from '#core/failover/acknowledge';

/** What acknowledgements of one namespace wait for, and whom they may count. */
export interface Acknowledgement {
  readonly rule: AcknowledgeRule;
  /** How long they wait, ms. */
  readonly withinMs: number;
  /** Regions that can ever count, this one included. */
  readonly regions: readonly string[];
  /** Those that count at this moment, each with the log it has. */
  readonly participants: () => Readonly<Record<string, { readonly log: string }>>;
}
