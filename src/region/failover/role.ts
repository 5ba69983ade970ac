import type { StreamKey } from '#core/model/stream';
import type { Acceptance } from '#region/failover/acceptance';

/** What a region is to the lease of one namespace. */
export type Role =
  | { readonly kind: 'follower' }
  | { readonly kind: 'promoting' }
  /** `accepting` only after a renewal of its own succeeded and everything valid was applied. */
  | {
      readonly kind: 'holder';
      readonly epoch: number;
      readonly streams: readonly StreamKey[];
      leaseUntilMs: number;
      accepting: boolean;
      readonly acceptance: Acceptance;
    };
export type Holder = Extract<Role, { kind: 'holder' }>;
