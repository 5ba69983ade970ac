import { CHANGE_ID_BYTES, changeIdAt, holdsCell, INCARNATION_BYTES, isLive, readChangeId } from '#core/codec/cell';
import type { Frame } from '#core/codec/frame';
import { cellSpans, pickCells } from '#core/codec/stored-value';
import { KEY_BYTES_MAX } from '#core/codec/value-limits';
import { ROW_KEY_PREFIX_BYTES, type ViewCodec } from '#core/codec/view-codec';
import { assert } from '#core/errors';
import type { MergeDecision } from '#core/merge/decision';
import type { Resolver } from '#core/model/feature-view';
import { stampLength } from '#core/model/stamp';
import { parseStreamKey, type StreamId, streamKey } from '#core/model/stream';
import { type ChangeHistory, vectorOf } from '#region/apply/change-history';
import {
  CONFLICT_OVERHEAD_BYTES,
  CONFLICT_VALUE_BYTES_MAX,
  type ConflictCell,
  type ConflictWinner,
} from '#region/apply/conflict-entry';
import type { ConflictBatch } from '#region/apply/conflict-ledger';
import {
  type AppliedVector,
  type ChangePlace,
  knows,
  type PlacedChange,
  relationOf,
} from '#region/apply/conflict-relation';
import { metWithin } from '#region/apply/conflict-totals';

/** Bytes of values that the entries of one transaction keep; those beyond it keep ids and stamps. */
const BATCH_VALUE_BYTES_MAX = 4 * 1024 * 1024;

/** Rows of one frame within a batch, or one copied row. */
interface Span {
  readonly firstRow: number;
  /** Undefined when the row was copied: all that is known of its change is its id. */
  readonly frame: Frame | undefined;
  readonly codec: ViewCodec;
  readonly id: Pick<StreamId, 'namespace' | 'partition'>;
  readonly rule: string;
  /** None of its changes can be in the totals that the store began with. */
  readonly fresh: boolean;
  /** Made from the frame when the first row needs it. */
  vector: AppliedVector | undefined;
}

/** What a comparison of two cells found. */
interface Verdict {
  readonly winner: ConflictWinner;
  /** Where the two cells lie; the whole values under row granularity. */
  readonly storedAt: number;
  readonly incomingAt: number;
  /** Place of the feature; null under row granularity. */
  readonly feature: number | null;
}

/**
 * Looks on while a batch is merged, and tells the ledger of the writes that lost and of the conflicts (P9.4). Two changes of
 * one stream follow each other: for them nothing is looked up, so a namespace with one origin pays a comparison of eight
 * bytes for each row that was there before.
 */
export class ConflictDetector {
  readonly #history: ChangeHistory;
  readonly #batch: ConflictBatch;
  readonly #counted: readonly AppliedVector[];
  readonly #spans: Span[] = [];
  #span = 0;
  #valueBytes = 0;
  #rows = 0;

  constructor(options: {
    history: ChangeHistory;
    batch: ConflictBatch;
    /** Pairs of changes that are both within one of these are counted already. */
    counted: readonly AppliedVector[];
  }) {
    this.#history = options.history;
    this.#batch = options.batch;
    this.#counted = options.counted;
  }

  /** The rows from `firstRow` on, as many as the frame has changes, come from this frame. Frames in order. */
  frame(frame: Frame, codec: ViewCodec, firstRow: number): void {
    const id = parseStreamKey(frame.stream);
    assert(id !== undefined, `stream key ${frame.stream}`);
    const fresh =
      frame.replay === null && this.#counted.every((vector) => frame.from >= (vector.get(frame.stream) ?? 0));
    this.#spans.push({ firstRow, frame, codec, id, rule: ruleText(codec.view.resolver), fresh, vector: undefined });
    this.#rows = firstRow + frame.to - frame.from;
  }

  /** The row at `index` is a copy of a peer's. */
  copied(index: number, codec: ViewCodec, id: Span['id']): void {
    const rule = ruleText(codec.view.resolver);
    this.#spans.push({ firstRow: index, frame: undefined, codec, id, rule, fresh: false, vector: undefined });
    this.#rows = index + 1;
  }

  /** Upper bound of what the ledger may write for these frames. Neighbouring entries share the pages they lie on. */
  bound(): { readonly operations: number; readonly bytes: number } {
    const valueBytes = Math.min(this.#rows * 2 * CONFLICT_VALUE_BYTES_MAX, BATCH_VALUE_BYTES_MAX);
    return {
      operations: this.#rows + this.#spans.length,
      bytes: this.#rows * (CONFLICT_OVERHEAD_BYTES + KEY_BYTES_MAX) + valueBytes,
    };
  }

  /** Takes note of how row `index` was decided. The buffers are only read during the call. */
  decided(key: Buffer, stored: Buffer, incoming: Buffer, index: number, decision: MergeDecision): void {
    const span = this.#spanOf(index);
    if (span.codec.view.granularity === 'feature') this.#features(span, key, stored, incoming, decision);
    else this.#row(span, key, stored, incoming, decision);
  }

  #row(span: Span, key: Buffer, stored: Buffer, incoming: Buffer, decision: MergeDecision): void {
    // A merge takes any bytes; those that are no cell have no change to tell of.
    if (!holdsCell(stored, 0, stored.length) || !holdsCell(incoming, 0, incoming.length)) return;
    const winner = decision === 'keep' ? 'stored' : decision === 'replace' ? 'incoming' : 'merged';
    if (sameIncarnation(stored, 0, incoming, 0)) {
      if (lostInStream(winner, stored, 0, incoming, 0) && !this.#isCounted(span, Buffer.from(stored), 0, incoming, 0))
        this.#batch.superseded(span.codec.view.name);
      return;
    }
    this.#compare(span, key, Buffer.from(stored), incoming, [{ winner, storedAt: 0, incomingAt: 0, feature: null }]);
  }

  /** Cells that came from the same stored change are one comparison. */
  #features(span: Span, key: Buffer, stored: Buffer, incoming: Buffer, decision: MergeDecision): void {
    const { view } = span.codec;
    const before = cellSpans(stored, view.features.length);
    const offered = cellSpans(incoming, view.features.length);
    if (before === undefined || offered === undefined) return;
    const after = typeof decision === 'string' ? undefined : cellSpans(decision, view.features.length);
    const byChange = new Map<string, Verdict[]>();
    // Only what the totals may hold is looked up here.
    const kept = span.fresh ? stored : Buffer.from(stored);
    let lost = false;
    for (let feature = 0; feature < view.features.length; feature++) {
      const [storedAt, storedEnd] = [before[2 * feature] as number, before[2 * feature + 1] as number];
      const [incomingAt, incomingEnd] = [offered[2 * feature] as number, offered[2 * feature + 1] as number];
      if (!holdsCell(kept, storedAt, storedEnd) || !holdsCell(incoming, incomingAt, incomingEnd)) continue;
      if (kept.compare(incoming, incomingAt, incomingEnd, storedAt, storedEnd) === 0) continue;
      const winner = cellWinner();
      if (sameIncarnation(kept, storedAt, incoming, incomingAt)) {
        lost ||=
          lostInStream(winner, kept, storedAt, incoming, incomingAt) &&
          !this.#isCounted(span, kept, storedAt, incoming, incomingAt);
        continue;
      }
      const { origin, incarnation, seq } = readChangeId(kept, storedAt);
      const name = `${origin}/${incarnation}/${seq}`;
      const verdicts = byChange.get(name);
      const verdict = { winner, storedAt, incomingAt, feature };
      if (verdicts === undefined) byChange.set(name, [verdict]);
      else verdicts.push(verdict);

      function cellWinner(): ConflictWinner {
        if (decision === 'keep') return 'stored';
        if (decision === 'replace' || after === undefined) return 'incoming';
        const [start, end] = [after[2 * feature] as number, after[2 * feature + 1] as number];
        if (kept.compare(decision as Buffer, start, end, storedAt, storedEnd) === 0) return 'stored';
        return incoming.compare(decision as Buffer, start, end, incomingAt, incomingEnd) === 0 ? 'incoming' : 'merged';
      }
    }
    if (lost) this.#batch.superseded(view.name);
    if (byChange.size === 0) return;
    const copy = Buffer.from(kept);
    for (const verdicts of byChange.values()) this.#compare(span, key, copy, incoming, verdicts);
  }

  /** Two changes of different streams; the verdicts are of the same two. `stored` is a copy: looking up overwrites the original. */
  #compare(span: Span, key: Buffer, stored: Buffer, incoming: Buffer, verdicts: readonly Verdict[]): void {
    const [first] = verdicts;
    assert(first !== undefined, 'a comparison compares something');
    const theirs = readChangeId(stored, first.storedAt);
    const ours = readChangeId(incoming, first.incomingAt);
    const here = this.#incoming(span, incoming, first.incomingAt);
    const there = this.#history.locate(placeOf(span, stored, first.storedAt));
    const counted = !span.fresh && metWithin(this.#counted, there, here);
    // A copy brings again what is here; it met then.
    if (counted && span.frame === undefined) return;
    if (!counted) this.#countLosses(span, there, here, verdicts);
    const relation = relationOf(there, here);
    if (relation !== 'concurrent' && relation !== 'undecidable') return;
    const features = verdicts.flatMap(({ feature }) => (feature === null ? [] : [feature]));
    const entry = {
      version: span.codec.view.version,
      key: Buffer.from(key.subarray(ROW_KEY_PREFIX_BYTES)),
      kind: relation,
      winner: combined(verdicts),
      rule: span.rule,
      features,
      stored: this.#cell(there, stored, first.storedAt, span.codec, features),
      incoming: this.#cell(here, incoming, first.incomingAt, span.codec, features),
    };
    this.#batch.conflict(span.codec.view.name, [theirs.origin, ours.origin], entry, counted);
  }

  /** Whether the meeting of two changes of one stream is in the totals. `stored` is a copy. */
  #isCounted(span: Span, stored: Buffer, storedAt: number, incoming: Buffer, incomingAt: number): boolean {
    if (span.fresh) return false;
    const there = this.#history.locate(placeOf(span, stored, storedAt));
    return metWithin(this.#counted, there, this.#incoming(span, incoming, incomingAt));
  }

  /** A write lost when what stays was not made knowing it; a merge of both loses nothing. */
  #countLosses(span: Span, there: PlacedChange, here: PlacedChange, verdicts: readonly Verdict[]): void {
    const { name } = span.codec.view;
    if (verdicts.some(({ winner }) => winner === 'stored') && knows(there, here) !== true) this.#batch.superseded(name);
    if (verdicts.some(({ winner }) => winner === 'incoming') && knows(here, there) !== true)
      this.#batch.superseded(name);
  }

  #incoming(span: Span, incoming: Buffer, at: number): PlacedChange {
    const id = placeOf(span, incoming, at);
    const { frame } = span;
    if (frame === undefined) return this.#history.locate(id);
    const original = frame.replay?.original;
    span.vector ??= vectorOf(original?.applied ?? frame.applied);
    // Another hub may have appended it before, so all places count.
    const replayedAt = original === undefined ? [] : this.#history.locate(id).replayedAt;
    return { id, replayedAt, applied: span.vector };
  }

  #cell(change: PlacedChange, value: Buffer, at: number, codec: ViewCodec, features: readonly number[]): ConflictCell {
    const form = features.length === 0 ? Buffer.from(value) : onlyFeatures(value, codec, features);
    const kept = form.length <= CONFLICT_VALUE_BYTES_MAX && this.#valueBytes + form.length <= BATCH_VALUE_BYTES_MAX;
    if (kept) this.#valueBytes += form.length;
    return {
      stream: change.id.stream,
      seq: change.id.seq,
      stamp: Buffer.from(value.subarray(at, at + stampLength(value, at))),
      deleted: !isLive(value, at),
      value: kept ? form : Buffer.alloc(0),
      valueBytes: form.length,
    };
  }

  /** Rows are decided in their order. */
  #spanOf(index: number): Span {
    while (index >= (this.#spans[this.#span + 1]?.firstRow ?? Number.POSITIVE_INFINITY)) this.#span++;
    const span = this.#spans[this.#span];
    assert(span !== undefined && index >= span.firstRow, `row ${index} comes from a frame`);
    return span;
  }
}

function placeOf(span: Span, value: Buffer, at: number): ChangePlace {
  const { origin, incarnation, seq } = readChangeId(value, at);
  return { stream: streamKey({ ...span.id, origin, incarnation }), seq };
}

/** Cells of one key and incarnation are of one stream: the partition follows from the key. */
function sameIncarnation(stored: Buffer, storedAt: number, incoming: Buffer, incomingAt: number): boolean {
  const [a, b] = [changeIdAt(stored, storedAt), changeIdAt(incoming, incomingAt)];
  return stored.compare(incoming, b, b + INCARNATION_BYTES, a, a + INCARNATION_BYTES) === 0;
}

/**
 * Whether a write lost against one of its own stream that did not know it: the later of the two, since a stream's changes
 * know those before them. The incoming one is the later, except when a hub appends a tail again.
 */
function lostInStream(
  winner: ConflictWinner,
  stored: Buffer,
  storedAt: number,
  incoming: Buffer,
  incomingAt: number,
): boolean {
  if (winner === 'merged') return false;
  const a = changeIdAt(stored, storedAt);
  const b = changeIdAt(incoming, incomingAt);
  // Of one incarnation: the seqs decide.
  const later = stored.compare(incoming, b, b + CHANGE_ID_BYTES, a, a + CHANGE_ID_BYTES) > 0 ? 'stored' : 'incoming';
  return winner !== later;
}

function combined(verdicts: readonly Verdict[]): ConflictWinner {
  const [first, ...others] = verdicts.map(({ winner }) => winner);
  assert(first !== undefined, 'a comparison compares something');
  return others.every((winner) => winner === first) ? first : 'merged';
}

/** The value without the features that are not in question. */
function onlyFeatures(value: Buffer, codec: ViewCodec, features: readonly number[]): Buffer {
  const count = codec.view.features.length;
  const spans = cellSpans(value, count);
  assert(spans !== undefined, `row of ${codec.view.name} with its features`);
  return pickCells(
    codec.view.features.map((_, feature) => {
      const start = spans[2 * feature] as number;
      return { from: value, start, end: features.includes(feature) ? (spans[2 * feature + 1] as number) : start };
    }),
  );
}

/** The resolver as a view's file says it. */
export function ruleText(resolver: Resolver): string {
  switch (resolver.kind) {
    case 'last-writer-wins':
    case 'counter':
      return resolver.kind;
    case 'region-priority':
      return `region-priority: ${resolver.regions.join(' > ')}`;
    case 'max':
    case 'min':
      return resolver.by === null ? resolver.kind : `${resolver.kind}: ${resolver.by}`;
  }
}
