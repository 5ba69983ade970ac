export type JournalOperation =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: string };

/**
 * Small durable records that are in no stream: promises, clock bounds, audit entries, quarantined rows, clean marks.
 * Keys are printable ASCII, at most 500 bytes, ordered bytewise.
 */
export interface Journal {
  get(key: string): Uint8Array | undefined;
  /** Entries whose key starts with `prefix`, in key order, from `after` (exclusive) on, at most `limit`. */
  list(
    prefix: string,
    options?: { readonly after?: string; readonly limit?: number; readonly reverse?: boolean },
  ): (readonly [string, Uint8Array])[];
  /** Atomic and durable once resolved; calls take effect in call order and share fsyncs with the change log. Throws and rejects as `ChangeLog.append` does. */
  write(operations: readonly JournalOperation[]): Promise<void>;
}
