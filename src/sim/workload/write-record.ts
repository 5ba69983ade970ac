import type { IngestChange, IngestRequest } from '#region/engine-api';

/** One write as its client knows it: what was asked, and whether it was told `done`. */
export interface WriteRecord {
  readonly namespace: string;
  readonly version: string;
  /** Also the client's key, unless the request has none: then it is in the rows alone. */
  readonly name: string;
  readonly request: IngestRequest;
  /** When a region said that the write is durable. */
  ackedMs: number | undefined;
  /** Indexes of changes that were held back, with which the acknowledgement has nothing to do. */
  heldBack: ReadonlySet<number>;
  attempts: number;
  /** The region that was asked first. */
  firstAsked: string | undefined;
  /** A region said that the outcome is unknown. */
  unknown: boolean;
}

/** Changes of which the client was told that they will not be lost. */
export function ackedChanges(write: WriteRecord): IngestChange[] {
  if (write.ackedMs === undefined) return [];
  return write.request.changes.filter((_, index) => !write.heldBack.has(index));
}

/** A write that changes nothing when it comes again: by its key, or because it merges with itself. */
export function mayRepeat({ request }: WriteRecord): boolean {
  return request.idempotencyKey !== undefined || request.producer !== undefined;
}
