/**
 * Copies of the online store beside the logs, in the same fsynced environment: what a region rebuilds its store from once
 * its logs do not reach back to the beginning. A snapshot is a run of numbered chunks and, once complete, a manifest.
 */
export interface Snapshots {
  /** Complete snapshots, newest first. */
  list(): { readonly id: number; readonly manifest: Buffer }[];
  /** A number for a new one. What is left of those never finished, and of removed ones, is removed in time. */
  begin(): number;
  /** Durable when resolved. Chunks are numbered from 0. Throws and rejects as `ChangeLog.append` does. */
  write(id: number, index: number, chunk: Buffer): Promise<void>;
  /** Makes it complete, or replaces the manifest of one that is. Durable when resolved. */
  finish(id: number, manifest: Buffer): Promise<void>;
  /** A copy of a chunk as it was written; undefined when there is none. */
  chunk(id: number, index: number): Buffer | undefined;
  /** Removes a snapshot: not listed from the call on, its space free when resolved. */
  remove(id: number): Promise<void>;
}
