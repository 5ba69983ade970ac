import { unpackItems } from '#core/codec/store-items';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { sha256 } from '#core/hash';
import type { OnlineStore } from '#ports/online-store';
import type { Snapshots } from '#ports/snapshots';
import { type Projection, REACH_PREFIX, RESTORING_KEY } from '#region/apply/projection';
import { encodeJsonRecord } from '#region/apply/records';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import { beyondSeal, decodeManifest, type SnapshotManifest } from '#region/retain/snapshot-manifest';

/** Fills an empty store from the newest snapshot that may be used; what came later, the applier adds from the logs. */
export class SnapshotRestorer {
  readonly #store: OnlineStore;
  readonly #projection: Projection;
  readonly #snapshots: Snapshots;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #events: EventList;

  constructor(options: {
    store: OnlineStore;
    projection: Projection;
    snapshots: Snapshots;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    events: EventList;
  }) {
    this.#store = options.store;
    this.#projection = options.projection;
    this.#snapshots = options.snapshots;
    this.#namespaces = options.namespaces;
    this.#events = options.events;
  }

  /**
   * Called on an empty store. The store is empty again, or filled up to the vector at which a snapshot begins. A snapshot
   * that a seal rules out, or that does not have the content its hash promises, is passed over. Throws DISK_FULL.
   */
  async restore(): Promise<void> {
    for (const { id, manifest: bytes } of this.#snapshots.list()) {
      try {
        const manifest = decodeManifest(bytes);
        if (!manifest.verified) continue;
        const beyond = beyondSeal(manifest.to, this.#namespaces.values());
        if (beyond !== undefined)
          throw new AntipodeError(
            'SNAPSHOT_BEYOND_SEAL',
            `it holds ${beyond.stream} up to ${beyond.to}, the seal is ${beyond.seal}`,
          );
        await this.#read(id, manifest);
        const at = new Date(manifest.takenAtMs).toISOString();
        this.#events.add('snapshot-restored', 'info', `${manifest.rows} rows came from the snapshot of ${at}`);
        return;
      } catch (caught) {
        const error = toAntipodeError(caught);
        if (error.code !== 'SNAPSHOT_BEYOND_SEAL' && error.code !== 'SNAPSHOT_CORRUPT') throw caught;
        this.#events.add('snapshot-refused', 'warning', `snapshot ${id} is not used: ${error.message}`, {
          code: error.code,
        });
        await this.#projection.wipe();
      }
    }
  }

  async #read(id: number, manifest: SnapshotManifest): Promise<void> {
    const hashes: Buffer[] = [];
    for (let index = 0; index < manifest.chunks; index++) {
      const chunk = this.#snapshots.chunk(id, index);
      if (chunk === undefined) throw new AntipodeError('SNAPSHOT_CORRUPT', `chunk ${index} is missing`);
      hashes.push(sha256(chunk));
      const items = unpackItems(chunk);
      const rows = items.filter(({ kind }) => kind === 'row');
      const records = new Map<string, Buffer | null>([[RESTORING_KEY, encodeJsonRecord(id)]]);
      for (const { kind, key, value } of items) if (kind === 'record') records.set(key.toString('utf8'), value);
      await this.#store.apply({ rows, checkpoints: new Map(), records }, () => 'replace');
    }
    if (sha256(Buffer.concat(hashes)).toString('hex') !== manifest.hash)
      throw new AntipodeError('SNAPSHOT_CORRUPT', 'its content does not have the hash of its manifest');
    const records = new Map<string, Buffer | null>([[RESTORING_KEY, null]]);
    for (const [stream, seq] of Object.entries(manifest.to)) records.set(REACH_PREFIX + stream, encodeJsonRecord(seq));
    await this.#store.apply({ rows: [], checkpoints: new Map(Object.entries(manifest.from)), records }, () => 'keep');
    this.#projection.load();
  }
}
