import {
  type CellParts,
  type CellSource,
  cellLength,
  encodeCell,
  isLive,
  payloadStart,
  ROW_DELETED,
  ROW_LIVE,
  readGeneration,
  writeCell,
} from '#core/codec/cell';
import { foldState, type Slice } from '#core/codec/counter-state';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { FeatureValue, FeatureView, Resolver } from '#core/model/feature-view';
import { readEventTimeUs, STAMP_FIXED_BYTES, stampLength } from '#core/model/stamp';
import type { Hlc } from '#core/time/hlc';

/**
 * The stored form of a row of one view version. With row granularity one cell, whose payload is the Avro row. With feature
 * granularity, for each feature of the view in its order: u32 length · cell; length 0 is a feature that was never written,
 * a payload is the Avro value of one feature.
 */
const LENGTH_BYTES = 4;
const EMPTY = Buffer.alloc(0);

/** One change with its identity and stamp, on its way into a store. */
export interface StampedChange {
  readonly eventTimeUs: number;
  readonly hlc: Hlc;
  readonly source: CellSource;
  readonly seq: number;
  readonly operation: 'upsert' | 'delete';
  readonly generation: number;
  /** Places of the features that `row` holds; undefined: all of them. */
  readonly features: readonly number[] | undefined;
  readonly row: Buffer;
}

/** A stored row as it is served. */
export interface StoredRow {
  /** False when it was deleted, or nothing of it is left. */
  readonly live: boolean;
  /** In the order of the view's features; null where a feature is not live. */
  readonly values: readonly FeatureValue[];
  /** Of the row; under feature granularity the latest of its features. */
  readonly eventTimeUs: number;
  /** Under feature granularity each feature's own event time, null where it is not live; null under row granularity. */
  readonly eventTimesUs: readonly (number | null)[] | null;
}

/** Whether cells of views with this resolver carry a generation. */
export function hasGeneration(resolver: Resolver): boolean {
  return resolver.kind === 'max' || resolver.kind === 'min' || resolver.kind === 'counter';
}

/** What a change leaves in an empty store. ROW_INVALID when its row does not hold the features it names. */
export function encodeStored(codec: ViewCodec, change: StampedChange): Buffer {
  const { view } = codec;
  const { eventTimeUs, hlc, source, seq, operation, features, row } = change;
  const generation = hasGeneration(view.resolver) ? change.generation : null;
  const cell = (payload: Buffer): CellParts => ({ eventTimeUs, hlc, source, seq, operation, generation, payload });
  if (view.granularity === 'row') {
    if (features !== undefined) throw undecodable(view);
    return encodeCell(cell(row));
  }
  const cells: (CellParts | undefined)[] = new Array(view.features.length).fill(undefined);
  if (operation === 'delete') return joinCells(cells.fill(cell(EMPTY)));
  const places = features ?? view.features.map((_, place) => place);
  const payloads = codec.splitRow(row, places);
  for (let i = 0; i < places.length; i++) cells[places[i] as number] = cell(payloads[i] as Buffer);
  return joinCells(cells);
}

function joinCells(cells: readonly (CellParts | undefined)[]): Buffer {
  const size = cells.reduce((sum, cell) => sum + LENGTH_BYTES + (cell === undefined ? 0 : cellLength(cell)), 0);
  const target = Buffer.allocUnsafe(size);
  let at = 0;
  for (const cell of cells) {
    at = target.writeUInt32BE(cell === undefined ? 0 : cellLength(cell), at);
    if (cell !== undefined) at = writeCell(target, at, cell);
  }
  return target;
}

/**
 * Where the cells of a value under feature granularity lie: start and end of each feature in turn, equal where it was never
 * written. Undefined when the bytes are no such value.
 */
export function cellSpans(value: Buffer, features: number): number[] | undefined {
  const spans: number[] = [];
  let at = 0;
  for (let i = 0; i < features; i++) {
    if (at + LENGTH_BYTES > value.length) return undefined;
    const start = at + LENGTH_BYTES;
    at = start + value.readUInt32BE(at);
    if (at > value.length || (at > start && at - start < STAMP_FIXED_BYTES)) return undefined;
    spans.push(start, at);
  }
  return at === value.length ? spans : undefined;
}

/** Puts cells together again: each a range of one of two values, as `cellSpans` gave them. */
export function pickCells(picks: readonly Slice[]): Buffer {
  const size = picks.reduce((sum, { start, end }) => sum + LENGTH_BYTES + end - start, 0);
  const target = Buffer.allocUnsafe(size);
  let at = 0;
  for (const { from, start, end } of picks) {
    at = target.writeUInt32BE(end - start, at);
    at += from.copy(target, at, start, end);
  }
  return target;
}

/** The latest event time and the greatest generation of a stored row's cells: what its next change goes by (P3, P9.1). */
export function storedExtent(codec: ViewCodec, value: Buffer): { eventTimeUs: number; generation: number } {
  const { granularity, resolver, features } = codec.view;
  const withGeneration = hasGeneration(resolver);
  if (granularity === 'row')
    return { eventTimeUs: readEventTimeUs(value), generation: withGeneration ? readGeneration(value) : 0 };
  const extent = { eventTimeUs: Number.MIN_SAFE_INTEGER, generation: 0 };
  const spans = cellSpans(value, features.length) ?? [];
  for (let i = 0; i < spans.length; i += 2) {
    const start = spans[i] as number;
    if (start === spans[i + 1]) continue;
    extent.eventTimeUs = Math.max(extent.eventTimeUs, readEventTimeUs(value, start));
    if (withGeneration) extent.generation = Math.max(extent.generation, readGeneration(value, start));
  }
  return extent;
}

/**
 * Reads a stored row for serving. ROW_INVALID when the bytes are not what `encodeStored` or a merge gives (I15). With
 * `compact`, an int64 may be a number (`ViewCodec.decodeRow`).
 */
export function readStored(codec: ViewCodec, value: Buffer, compact = false): StoredRow {
  const { view } = codec;
  if (view.granularity === 'feature') return readFeatures(codec, value, compact);
  const eventTimeUs = value.length < STAMP_FIXED_BYTES ? Number.NaN : readEventTimeUs(value);
  const start = payloadStart(value, 0, hasGeneration(view.resolver));
  if (!(start <= value.length)) throw undecodable(view);
  if (!liveFlag(value, 0, view)) return { live: false, values: [], eventTimeUs, eventTimesUs: null };
  const values =
    view.resolver.kind === 'counter'
      ? foldState(codec, value, start, value.length)
      : codec.decodeRow(value, start, value.length, compact);
  return { live: true, values, eventTimeUs, eventTimesUs: null };
}

function readFeatures(codec: ViewCodec, value: Buffer, compact: boolean): StoredRow {
  const { view } = codec;
  const spans = cellSpans(value, view.features.length);
  if (spans === undefined) throw undecodable(view);
  const withGeneration = hasGeneration(view.resolver);
  const values: FeatureValue[] = [];
  const eventTimesUs: (number | null)[] = [];
  let live = false;
  let latestUs = Number.MIN_SAFE_INTEGER;
  for (let place = 0; place < view.features.length; place++) {
    const start = spans[2 * place] as number;
    const end = spans[2 * place + 1] as number;
    const written = end > start;
    if (written && liveFlag(value, start, view)) {
      const payload = payloadStart(value, start, withGeneration);
      if (payload > end) throw undecodable(view);
      values.push(codec.decodeFeature(place, value, payload, end, compact));
      eventTimesUs.push(readEventTimeUs(value, start));
      live = true;
    } else {
      values.push(null);
      eventTimesUs.push(null);
    }
    if (written) latestUs = Math.max(latestUs, readEventTimeUs(value, start));
  }
  return { live, values, eventTimeUs: latestUs, eventTimesUs };
}

function liveFlag(value: Buffer, start: number, view: FeatureView): boolean {
  const flag = value[start + stampLength(value, start)];
  if (flag !== ROW_LIVE && flag !== ROW_DELETED) throw undecodable(view);
  return isLive(value, start);
}

function undecodable(view: FeatureView): AntipodeError {
  return new AntipodeError('ROW_INVALID', `view ${view.name}: the stored bytes are no row`, {
    where: `view ${view.name}`,
  });
}
