import type { Lease } from '#core/failover/lease';
import type { StreamKey } from '#core/model/stream';
import type { HolderGate } from '#region/ingest/holder-gate';
import type { NamespaceStatus } from '#region/status';

/**
 * Who may append to one namespace, as this region takes part in it: by a lease that one region holds (`Authority`), or
 * every member at once (`ActiveMember`). Log, links, applier and merge are the same under both.
 */
export interface NamespaceAuthority extends HolderGate {
  start(): void;
  /** Ends appends first, then everything else. */
  stop(): Promise<void>;
  /** Looks at the control store soon instead of at the next interval. */
  look(): void;
  /** Takes a lease record that came with a new holder's epoch marker. */
  learn(lease: Lease): void;
  /** Whether this region extends the stream in this life, accepting or not: then it takes nobody else's frames for it. */
  extends(stream: StreamKey): boolean;
  status(): Omit<NamespaceStatus, 'freshnessMs' | 'members' | 'backfill'>;
  /** Milliseconds since the control store last answered; null when it never did. */
  controlAnswerAgeMs(): number | null;
  /** Moves the hub to this region on a person's word. FAILOVER_REFUSED where there is none to move. */
  takeOver(actor: string, allowLoss: boolean): Promise<{ epoch: number; lossy: boolean; durationMs: number }>;
  /** Answers a candidate's request for a promise (P6.4). */
  promise(epoch: number, revision: number, candidate: string): Promise<Record<StreamKey, number>>;
  /** Answers a candidate that drains this holder. */
  drain(epoch: number, candidate: string): Promise<{ revision: number; heads: Record<StreamKey, number> }>;
}
