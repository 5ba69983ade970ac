import type { ViewCodec } from '#core/codec/view-codec';
import type { MergeDecision } from '#core/merge/decision';
import { lastWriterWins } from '#core/merge/last-writer-wins';

/** Decides two stored forms of one key and view version. Pure, total, and a join: see `docs/decisions/0012`. */
export type Merge = (stored: Buffer, incoming: Buffer) => MergeDecision;

/** The merge of a view version (P9.1). */
export function mergeOf(_codec: ViewCodec): Merge {
  return lastWriterWins;
}
