import type { AcknowledgeRule } from '#core/failover/acknowledge';

/** What one region knows of how the hub of a namespace is chosen and what its acknowledgements promise. */
export interface AuthorityConfig {
  readonly namespace: string;
  readonly partitions: number;
  /** Region that creates the lease when there is none. */
  readonly initialHub: string;
  readonly leaseMs: number;
  readonly marginMs: number;
  readonly automatic: boolean;
  /** Regions that may become hub; among equally advanced ones the first does. */
  readonly promotable: readonly string[];
  /** What an acknowledgement waits for. */
  readonly acknowledge: AcknowledgeRule;
  /** Whether a promotion that may leave acknowledged writes behind happens without a person's word. */
  readonly lossy: 'allow' | 'refuse';
}
