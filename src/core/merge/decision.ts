/**
 * What a merge decides about one incoming value: keep the stored one, store the incoming one, or store these bytes, which
 * are neither.
 */
export type MergeDecision = 'keep' | 'replace' | Buffer;
