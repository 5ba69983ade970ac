import { createHash } from 'node:crypto';
import type { IngestChange } from '#region/engine-api';

const DIGEST_DIGITS = 16;

/** 16 hexadecimal digits that tell one request's content from another's under the same idempotency key. */
export function requestDigest(changes: readonly IngestChange[]): string {
  const hash = createHash('sha256');
  const head = Buffer.allocUnsafe(15);
  for (const { operation, eventTimeUs, key, row } of changes) {
    head[0] = operation === 'delete' ? 1 : 0;
    head.writeDoubleBE(eventTimeUs, 1);
    head.writeUInt16BE(key.length, 9);
    head.writeUInt32BE(row.length, 11);
    hash.update(head).update(key).update(row);
  }
  return hash.digest('hex').slice(0, DIGEST_DIGITS);
}
