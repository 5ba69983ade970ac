import { packItems } from '#core/codec/store-items';
import { AntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import type { OnlineStore } from '#ports/online-store';
import type { Applier } from '#region/apply/applier';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { RequestHandlers } from '#region/replicate/rpc';
import { readSections, sectionsOf } from '#region/retain/copied-sections';

/**
 * Gives other regions copies of this region's live store, a chunk for each request: nothing is kept here between two of
 * them, and the one who asks knows where it stands. Refused while this region is filled itself or must rebuild; not where
 * it only lacks something: who asks may lack something else, and would wait for this one as this one for it.
 */
export class CopyServer {
  readonly #store: OnlineStore;
  readonly #applier: Applier;
  readonly #views: ViewRegistry;
  readonly #namespaces: ReadonlyMap<string, NamespaceLog>;
  readonly #unsettled: (namespace: string) => string | undefined;
  readonly #chunkBytes: number;

  constructor(options: {
    store: OnlineStore;
    applier: Applier;
    views: ViewRegistry;
    namespaces: ReadonlyMap<string, NamespaceLog>;
    /** Why what is here may not be relied on by others. */
    unsettled: (namespace: string) => string | undefined;
    chunkBytes: number;
  }) {
    this.#store = options.store;
    this.#applier = options.applier;
    this.#views = options.views;
    this.#namespaces = options.namespaces;
    this.#unsettled = options.unsettled;
    this.#chunkBytes = options.chunkBytes;
  }

  handlers(): RequestHandlers {
    return {
      copyBegin: async ({ namespace }) => {
        const log = this.#giving(namespace);
        const vector: Record<StreamKey, { seq: number; hash: string }> = {};
        for (const { stream, seq: applied } of this.#applier.appliedVector(namespace)) {
          // A log whose last frames were damaged when it was opened ends below what was applied: the copy reaches further.
          const seq = Math.min(applied, log.head(stream).seq);
          const hash = log.hashAt(stream, seq);
          if (hash !== undefined) vector[stream] = { seq, hash: Buffer.from(hash).toString('hex') };
        }
        return { answer: { storeId: this.#applier.projection.id, vector, rows: this.#store.rowCount() } };
      },
      copyChunk: async ({ namespace, storeId, cursor }) => {
        this.#giving(namespace);
        if (storeId !== this.#applier.projection.id)
          throw new AntipodeError('SNAPSHOT_CHANGED', 'the online store was emptied since the copy began');
        const sections = sectionsOf(namespace, this.#views);
        const { items, next } = readSections(this.#store, sections, cursor, this.#chunkBytes);
        return { answer: { next, reach: this.#reach(namespace) }, blob: packItems(items) };
      },
    };
  }

  #giving(namespace: string): NamespaceLog {
    const log = this.#namespaces.get(namespace);
    if (log === undefined) throw new AntipodeError('STREAM_NOT_FOUND', `namespace ${namespace} is not configured here`);
    const reason = this.#unsettled(namespace);
    if (reason !== undefined) throw new AntipodeError('REBUILDING', reason);
    const beyond = this.#applier.projection.beyondSeal(log, this.#applier.checkpoints());
    if (beyond !== undefined)
      throw new AntipodeError('REBUILDING', `this region must rebuild ${beyond.stream} to its seal first`);
    return log;
  }

  /** Nothing in the store lies beyond this. */
  #reach(namespace: string): Record<StreamKey, number> {
    const reach: Record<StreamKey, number> = {};
    for (const { stream, seq } of this.#applier.appliedVector(namespace)) reach[stream] = seq;
    for (const [stream, seq] of this.#applier.projection.reached())
      if (stream.startsWith(`${namespace}/`)) reach[stream] = Math.max(seq, reach[stream] ?? 0);
    return reach;
  }
}
