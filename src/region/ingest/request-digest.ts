import { createHash } from 'node:crypto';
import { featureBitmapBytes, writeFeatureBitmap } from '#core/codec/changes';
import type { IngestChange, IngestRequest } from '#region/engine-api';

const DIGEST_DIGITS = 16;
const FLAG_DELETE = 1;
const FLAG_FEATURES = 2;

/** 16 hexadecimal digits that tell one request's content from another's under the same idempotency key. */
export function requestDigest(changes: readonly IngestChange[], producer: IngestRequest['producer']): string {
  const hash = createHash('sha256');
  if (producer !== undefined) hash.update(`${producer.name} ${producer.sequence}\n`);
  const head = Buffer.allocUnsafe(15);
  for (const { operation, eventTimeUs, key, row, features } of changes) {
    head[0] = (operation === 'delete' ? FLAG_DELETE : 0) | (features === undefined ? 0 : FLAG_FEATURES);
    head.writeDoubleBE(eventTimeUs, 1);
    head.writeUInt16BE(key.length, 9);
    head.writeUInt32BE(row.length, 11);
    hash.update(head).update(key).update(row);
    if (features === undefined) continue;
    const bitmap = Buffer.allocUnsafe(featureBitmapBytes(features));
    writeFeatureBitmap(bitmap, 0, features);
    hash.update(bitmap);
  }
  return hash.digest('hex').slice(0, DIGEST_DIGITS);
}
