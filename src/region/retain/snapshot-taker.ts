import { itemBytes, packItems, type StoreItem } from '#core/codec/store-items';
import { AntipodeError } from '#core/errors';
import { sha256 } from '#core/hash';
import type { StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { OnlineStore } from '#ports/online-store';
import type { Snapshots } from '#ports/snapshots';
import type { Applier } from '#region/apply/applier';
import { isOfLedger } from '#region/apply/conflict-ledger';
import type { ConflictTotals } from '#region/apply/conflict-totals';
import { RESTORING_KEY, STORE_ID_KEY } from '#region/apply/projection';
import { SERVING_STATE_KEY } from '#region/apply/records';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { BACKFILL_PREFIX } from '#region/retain/backfill-state';
import { beyondSeal, encodeManifest, type SnapshotManifest } from '#region/retain/snapshot-manifest';

/** Least pause between two chunks, ms, so that a snapshot leaves the disk to the writes that people wait for. */
const PACE_MS = 2;

/** What belongs to the process or the store as such, and would be wrong in another one. */
const LEFT_OUT: readonly string[] = [SERVING_STATE_KEY, RESTORING_KEY, STORE_ID_KEY];

export interface SnapshotSizes {
  /** Bytes of items in one chunk, at least one item. */
  readonly chunkBytes: number;
}

/**
 * Copies the online store, chunk by chunk in key order while it goes on, into the fsynced environment of the log. The
 * copy is fuzzy: each chunk holds everything up to the vector at the beginning, and nothing beyond the vector at the end.
 * Merge is idempotent, so what is applied again over it changes nothing.
 */
export class SnapshotTaker {
  readonly #store: OnlineStore;
  readonly #snapshots: Snapshots;
  readonly #applier: Applier;
  readonly #clock: Clock;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #totals: Pick<ConflictTotals, 'write'>;
  readonly #chunkBytes: number;

  constructor(options: {
    store: OnlineStore;
    snapshots: Snapshots;
    applier: Applier;
    clock: Clock;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    totals: Pick<ConflictTotals, 'write'>;
    chunkBytes: number;
  }) {
    this.#store = options.store;
    this.#snapshots = options.snapshots;
    this.#applier = options.applier;
    this.#clock = options.clock;
    this.#namespaces = options.namespaces;
    this.#totals = options.totals;
    this.#chunkBytes = options.chunkBytes;
  }

  /**
   * Takes a snapshot and reads it back. Resolves when it is durable and verified. Rejects SNAPSHOT_CHANGED when the store
   * was emptied meanwhile, SNAPSHOT_BEYOND_SEAL when a seal below what it holds became known, SNAPSHOT_CORRUPT when the
   * disk gives back something else, DISK_FULL; nothing is left of it then.
   */
  async take(signal: AbortSignal): Promise<{ readonly id: number; readonly manifest: SnapshotManifest }> {
    const id = this.#snapshots.begin();
    try {
      const manifest = await this.#copy(id, signal);
      await this.#snapshots.finish(id, encodeManifest(manifest));
      if (!(await snapshotIsWhole(this.#snapshots, id, manifest, this.#clock)))
        throw new AntipodeError('SNAPSHOT_CORRUPT', 'a snapshot was read back with other bytes than were written');
      const verified = { ...manifest, verified: true };
      await this.#snapshots.finish(id, encodeManifest(verified));
      return { id, manifest: verified };
    } catch (caught) {
      await this.#snapshots.remove(id).catch(() => undefined);
      throw caught;
    }
  }

  async #copy(id: number, signal: AbortSignal): Promise<SnapshotManifest> {
    const { projection } = this.#applier;
    const storeId = projection.id;
    const from = Object.fromEntries(this.#applier.checkpoints());
    const counted = { chunks: 0, rows: 0, records: 0, bytes: 0 };
    const hashes: Buffer[] = [];
    for (let after: Cursor | undefined = START; after !== undefined; ) {
      signal.throwIfAborted();
      if (projection.id !== storeId || this.#applier.rebuilding)
        throw new AntipodeError('SNAPSHOT_CHANGED', 'the online store was emptied while it was copied');
      const { items, next }: Piece = this.#piece(after);
      after = next;
      if (items.length === 0) continue;
      const chunk = packItems(items);
      hashes.push(sha256(chunk));
      await this.#snapshots.write(id, counted.chunks, chunk);
      counted.chunks += 1;
      counted.bytes += chunk.length;
      for (const { kind } of items) counted[kind === 'row' ? 'rows' : 'records'] += 1;
      await this.#clock.sleep(PACE_MS, signal);
    }
    const to: Record<StreamKey, number> = Object.fromEntries(this.#applier.checkpoints());
    for (const [stream, seq] of projection.reached()) to[stream] = Math.max(seq, to[stream] ?? 0);
    if (projection.id !== storeId || this.#applier.rebuilding)
      throw new AntipodeError('SNAPSHOT_CHANGED', 'the online store was emptied while it was copied');
    const beyond = beyondSeal(to, this.#namespaces.values());
    if (beyond !== undefined)
      throw new AntipodeError('SNAPSHOT_BEYOND_SEAL', `the copy holds ${beyond.stream} up to ${beyond.to}`);
    // Frames may leave the log below the copy, and cannot be counted again then.
    await this.#totals.write();
    return {
      format: 1,
      takenAtMs: this.#clock.wallMs(),
      from,
      to,
      leases: Object.fromEntries(
        [...this.#namespaces].map(([name, { lease }]) => [
          name,
          { epoch: lease?.record.epoch ?? 0, revision: lease?.revision ?? 0 },
        ]),
      ),
      ...counted,
      hash: sha256(Buffer.concat(hashes)).toString('hex'),
      verified: false,
    };
  }

  /** The next items of the store as it is now, records before rows. One synchronous step. */
  #piece(after: Cursor): Piece {
    const items: StoreItem[] = [];
    let bytes = 0;
    const take = (item: StoreItem): boolean => {
      items.push(item);
      bytes += itemBytes(item);
      return bytes >= this.#chunkBytes;
    };
    let cursor = after;
    if (cursor.section === 'records') {
      const page = this.#store.records('', { after: cursor.after, limit: PAGE });
      for (const [key, value] of page) {
        cursor = { section: 'records', after: key };
        if (LEFT_OUT.includes(key) || key.startsWith(BACKFILL_PREFIX) || isOfLedger(key)) continue;
        if (take({ kind: 'record', key: Buffer.from(key), value })) return { items, next: cursor };
      }
      return { items, next: page.length < PAGE ? { section: 'rows', after: undefined } : cursor };
    }
    const page = this.#store.scan(EMPTY, cursor.after, PAGE);
    for (const [key, value] of page) {
      cursor = { section: 'rows', after: key };
      if (take({ kind: 'row', key, value })) return { items, next: cursor };
    }
    return { items, next: page.length < PAGE ? undefined : cursor };
  }
}

type Cursor =
  | { readonly section: 'records'; readonly after: string | undefined }
  | { readonly section: 'rows'; readonly after: Buffer | undefined };

interface Piece {
  readonly items: readonly StoreItem[];
  readonly next: Cursor | undefined;
}

const START: Cursor = { section: 'records', after: undefined };
const EMPTY = Buffer.alloc(0);
/** Items looked at in one step. */
const PAGE = 64;

/** Whether all chunks of a snapshot are there and are what was written. */
export async function snapshotIsWhole(
  snapshots: Snapshots,
  id: number,
  manifest: SnapshotManifest,
  clock: Pick<Clock, 'yield'>,
): Promise<boolean> {
  const hashes: Buffer[] = [];
  for (let index = 0; index < manifest.chunks; index++) {
    const chunk = snapshots.chunk(id, index);
    if (chunk === undefined) return false;
    hashes.push(sha256(chunk));
    await clock.yield();
  }
  return sha256(Buffer.concat(hashes)).toString('hex') === manifest.hash;
}
