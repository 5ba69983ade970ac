import type { Frame } from '#core/codec/frame';
import type { ViewCodec } from '#core/codec/view-codec';
import type { MergeDecision } from '#core/merge/decision';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { OnlineReader } from '#ports/online-store';
import { ChangeHistory, type HeldStreams } from '#region/apply/change-history';
import { ConflictDetector } from '#region/apply/conflict-detector';
import { type ConflictBatch, ConflictLedger } from '#region/apply/conflict-ledger';
import type { AppliedVector } from '#region/apply/conflict-relation';
import type { ConflictTotals } from '#region/apply/conflict-totals';
import { ReplayIndex } from '#region/apply/replay-index';

/** What the counters of the views of one batch may take, bytes: a region knows few others. */
const COUNTERS_BYTES = 64 * 1024;

/** Conflicts of one region, as the applier meets them: the detector of each batch, and the ledger they end in. */
export class ConflictWatch {
  readonly ledger: ConflictLedger;
  readonly totals: ConflictTotals;
  readonly #replays: ReplayIndex;
  readonly #history: ChangeHistory;

  constructor(options: {
    store: OnlineReader;
    totals: ConflictTotals;
    namespaces: ReadonlyMap<string, HeldStreams>;
    /** Entries kept of each view. */
    keptMax?: number | undefined;
  }) {
    this.ledger = new ConflictLedger(options.store, options.keptMax);
    this.totals = options.totals;
    this.#replays = new ReplayIndex(options.store);
    this.#history = new ChangeHistory({ namespaces: options.namespaces, replays: this.#replays });
  }

  /** A batch of frames of `stream`; `applied` are the streams applied so far. */
  begin(stream: StreamKey, applied: ReadonlyMap<StreamKey, number>): WatchedBatch {
    this.#replays.begin();
    const batch = this.ledger.begin();
    const detector = new ConflictDetector({ history: this.#history, batch, counted: [this.ledger.cover] });
    return new WatchedBatch({ detector, batch, replays: this.#replays, alone: isAlone(stream, applied) });
  }

  /**
   * Rows of a peer's store, in a namespace whose streams are applied up to `applied`. What the logs here do not tell of them
   * makes their meetings undecidable: none is passed over. Pairs that are both applied have met.
   */
  beginCopy(applied: AppliedVector): WatchedBatch {
    this.#replays.begin();
    const batch = this.ledger.begin();
    const counted = [this.ledger.cover, new Map(applied)];
    const detector = new ConflictDetector({ history: this.#history, batch, counted });
    return new WatchedBatch({ detector, batch, replays: this.#replays, alone: false });
  }

  /** The store was emptied, and began with the totals. */
  wiped(): void {
    this.ledger.reload();
  }
}

/** One transaction of the applier, looked on at. */
export class WatchedBatch {
  readonly #detector: ConflictDetector;
  readonly #batch: ConflictBatch;
  readonly #replays: ReplayIndex;
  #alone: boolean;

  constructor(options: { detector: ConflictDetector; batch: ConflictBatch; replays: ReplayIndex; alone: boolean }) {
    this.#detector = options.detector;
    this.#batch = options.batch;
    this.#replays = options.replays;
    this.#alone = options.alone;
  }

  /** The frame's rows are those from `firstRow` on; `offsetMax` is the greatest offset of its changes. */
  frame(
    frame: Frame,
    codec: ViewCodec,
    rows: { readonly firstRow: number; readonly offsetMax: number },
    records: Map<string, Buffer | null>,
  ): void {
    this.#detector.frame(frame, codec, rows.firstRow);
    this.#replays.collect(frame, rows.offsetMax, records);
    if (frame.replay !== null) this.#alone = false;
  }

  /** A copied row, the one at `index`; rows in order. */
  copied(index: number, codec: ViewCodec, partition: { readonly namespace: string; readonly partition: number }): void {
    this.#detector.copied(index, codec, partition);
  }

  decided(key: Buffer, stored: Buffer, incoming: Buffer, index: number, decision: MergeDecision): void {
    this.#detector.decided(key, stored, incoming, index, decision);
  }

  /** Upper bound of what `records` will give. A stream that is alone in its partition has nobody to be in conflict with. */
  bound(): { readonly operations: number; readonly bytes: number } {
    return this.#alone ? { operations: 1, bytes: COUNTERS_BYTES } : this.#detector.bound();
  }

  records(): ReadonlyMap<string, Buffer | null> {
    return this.#batch.records();
  }

  /** The transaction succeeded. */
  commit(): void {
    this.#batch.commit();
  }
}

function isAlone(stream: StreamKey, applied: ReadonlyMap<StreamKey, number>): boolean {
  const id = parseStreamKey(stream);
  const partition = `${id?.namespace}/${id?.partition}/`;
  for (const other of applied.keys()) if (other !== stream && other.startsWith(partition)) return false;
  return true;
}
