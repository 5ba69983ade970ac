import { producerFault } from '#core/codec/counter-state';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { IngestChange, IngestRequest, QuarantinedChange } from '#region/engine-api';

/** Most changes in one request. */
export const REQUEST_CHANGES_MAX = 20_000;

/** Rows gone through for the sake of one retry. */
const DIVIDED_ROWS_MAX = 200_000;

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/;

/** A request after validation: what will be appended, and what was held back with its reason. */
export interface ValidatedRequest {
  readonly changes: readonly IngestChange[];
  readonly quarantined: readonly QuarantinedChange[];
}

/**
 * Checks a request against its view version, whoever sent it: a peer region is no more trusted than a client. Refuses the
 * whole request (ROW_INVALID) when a row does not decode; holds single rows back when their event time lies too far ahead
 * (P3.3).
 */
export function validateRequest(request: IngestRequest, codec: ViewCodec, nowMs: number): ValidatedRequest {
  if (request.idempotencyKey !== undefined && !IDEMPOTENCY_KEY.test(request.idempotencyKey)) {
    throw new AntipodeError(
      'REQUEST_MALFORMED',
      'an idempotency key has 1 to 128 printable ASCII characters without spaces',
    );
  }
  if (request.changes.length > REQUEST_CHANGES_MAX) {
    throw new AntipodeError(
      'REQUEST_TOO_LARGE',
      `${request.changes.length} changes in one request, at most ${REQUEST_CHANGES_MAX}`,
    );
  }
  checkProducer(request, codec);
  const latestUs = (nowMs + codec.view.eventTimeAheadMsMax) * 1000;
  for (let index = 0; index < request.changes.length; index++) {
    const change = request.changes[index] as IngestChange;
    const where = `change ${index} of ${codec.view.name}`;
    if (!Number.isSafeInteger(change.eventTimeUs))
      throw new AntipodeError('ROW_INVALID', 'the event time is not a whole number of microseconds', { where });
    try {
      codec.decodeKey(change.key);
      if (change.features !== undefined) checkPartialRow(change, change.features, codec, where);
      else if (change.operation === 'upsert') codec.decodeRow(change.row, 0, change.row.length);
      else if (change.row.length > 0) throw new AntipodeError('ROW_INVALID', 'a delete carries no row', { where });
    } catch (cause) {
      if (cause instanceof AntipodeError && cause.where !== undefined) throw cause;
      throw new AntipodeError('ROW_INVALID', cause instanceof Error ? cause.message : String(cause), { where, cause });
    }
  }
  return heldBackAfter(latestUs, request, codec, nowMs);
}

/** The rows up to an event time, and those beyond it as held back. */
function heldBackAfter(latestUs: number, request: IngestRequest, codec: ViewCodec, nowMs: number): ValidatedRequest {
  const changes: IngestChange[] = [];
  const quarantined: QuarantinedChange[] = [];
  for (const [index, change] of request.changes.entries()) {
    if (change.eventTimeUs <= latestUs) changes.push(change);
    else {
      const aheadSeconds = Math.round((change.eventTimeUs / 1000 - nowMs) / 1000);
      const message = `event time is ${aheadSeconds} s ahead of now, at most ${codec.view.eventTimeAheadMsMax / 1000} s are allowed`;
      quarantined.push({ index, code: 'ROW_EVENT_TIME_AHEAD', message });
    }
  }
  return { changes, quarantined };
}

/**
 * How an earlier try of the same valid request may have been divided, the likeliest first: what lies too far ahead depends on
 * when and by which clock that was asked. Of a request with very many event times only some divisions are given.
 */
export function* otherDivisions(request: IngestRequest, codec: ViewCodec, nowMs: number): Generator<ValidatedRequest> {
  const latestUs = (nowMs + codec.view.eventTimeAheadMsMax) * 1000;
  const times = [...new Set(request.changes.map(({ eventTimeUs }) => eventTimeUs))];
  const distance = (timeUs: number): number => Math.abs(timeUs - latestUs);
  const admitted = request.changes.filter(({ eventTimeUs }) => eventTimeUs <= latestUs).length;
  const divisions = Math.max(1, Math.floor(DIVIDED_ROWS_MAX / Math.max(1, request.changes.length)));
  for (const cutUs of times.sort((a, b) => distance(a) - distance(b)).slice(0, divisions)) {
    const division = heldBackAfter(cutUs, request, codec, nowMs);
    if (division.changes.length !== admitted) yield division;
  }
}

function checkPartialRow(change: IngestChange, features: readonly number[], codec: ViewCodec, where: string): void {
  const invalid = (message: string) => new AntipodeError('PARTIAL_ROW_INVALID', message, { where });
  if (codec.view.granularity !== 'feature') throw invalid(`${codec.view.name} is written by whole rows only`);
  if (change.operation === 'delete') throw invalid('a delete names no features');
  const count = codec.view.features.length;
  const rising = features.every(
    (place, i) => Number.isInteger(place) && place >= 0 && place < count && (i === 0 || place > (features[i - 1] ?? 0)),
  );
  if (features.length === 0 || !rising)
    throw invalid(`the places of the features are not one or more of 0 to ${count - 1}, rising`);
  codec.decodeFeatures(features, change.row);
}

/** Counters take running totals, each under its producer; two totals of one producer for one key have no order. */
function checkProducer({ producer, changes }: IngestRequest, codec: ViewCodec): void {
  const { name, resolver } = codec.view;
  const invalid = (message: string) => new AntipodeError('PRODUCER_INVALID', message, { where: `view ${name}` });
  if (resolver.kind !== 'counter') {
    if (producer !== undefined) throw invalid(`${name} is no counter and takes no producer`);
    return;
  }
  const fault = producer === undefined ? undefined : producerFault(producer);
  if (fault !== undefined) throw invalid(`the producer's ${fault}`);
  if (producer === undefined && changes.some(({ operation }) => operation === 'upsert'))
    throw invalid(`${name} is a counter: its rows need a producer and a sequence`);
  const keys = new Set(changes.map(({ key }) => key.toString('latin1')));
  if (keys.size < changes.length) throw invalid(`a write to the counter ${name} changes one key twice`);
}
