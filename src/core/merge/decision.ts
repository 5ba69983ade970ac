/** What a merge decides about one incoming value: keep the stored one, or store the incoming one. */
export type MergeDecision = 'keep' | 'replace';
