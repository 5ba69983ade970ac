import { cellSpans, pickCells } from '#core/codec/stored-value';
import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import { readEventTimeUs } from '#core/model/stamp';

/**
 * Physical expiry (P14.2). A cut, carried in a stream, says of a view version: nothing with an event time before it is kept
 * any more, whenever and wherever it is applied. It holds for good, and of two the later one counts, so that regions agree
 * whatever they applied first. That is only true where the value with the latest event time wins anyway; under the other
 * resolvers a value that was outranked might come up again, and rows stay until they are deleted.
 */
export function mayExpire(view: Pick<FeatureView, 'ttlSeconds' | 'resolver'>): boolean {
  return view.ttlSeconds !== null && view.resolver.kind === 'last-writer-wins';
}

const CUT_BYTES = 8;

/** A cut as the payload of its frame: signed microseconds, big endian. */
export function encodeCut(cutUs: number): Buffer {
  const payload = Buffer.allocUnsafe(CUT_BYTES);
  payload.writeBigInt64BE(BigInt(cutUs));
  return payload;
}

/** FRAME_CORRUPT when it is none. */
export function decodeCut(payload: Uint8Array): number {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const cutUs = bytes.length === CUT_BYTES ? Number(bytes.readBigInt64BE()) : Number.NaN;
  if (!Number.isSafeInteger(cutUs)) throw new AntipodeError('FRAME_CORRUPT', 'an expiry frame has no cut');
  return cutUs;
}

/** What a cut leaves of a stored row: all of it, nothing, or, under feature granularity, the cells that are young enough. */
export function afterCut(
  view: Pick<FeatureView, 'granularity' | 'features'>,
  stored: Buffer,
  cutUs: number,
): 'keep' | 'remove' | Buffer {
  if (view.granularity === 'row') return readEventTimeUs(stored) < cutUs ? 'remove' : 'keep';
  const spans = cellSpans(stored, view.features.length);
  if (spans === undefined) return 'keep';
  const left = view.features.map((_, place) => {
    const start = spans[2 * place] as number;
    const end = spans[2 * place + 1] as number;
    return { from: stored, start, end: end > start && readEventTimeUs(stored, start) < cutUs ? start : end };
  });
  if (left.every(({ end }, place) => end === spans[2 * place + 1])) return 'keep';
  return left.every(({ start, end }) => start === end) ? 'remove' : pickCells(left);
}
