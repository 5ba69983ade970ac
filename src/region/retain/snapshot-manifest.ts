import { z } from 'zod';
import { AntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import type { NamespaceLog } from '#region/replicate/namespace-log';

const seq = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const positions = z.record(z.string(), seq);

const MANIFEST = z.strictObject({
  format: z.literal(1),
  takenAtMs: z.number(),
  /** Everything up to here is in it. */
  from: positions,
  /** Nothing beyond here is in it; between the two, anything (it was read while the store went on). */
  to: positions,
  /** Lease that was known of each namespace: whose seals it was taken under (P5.3). */
  leases: z.record(z.string(), z.strictObject({ epoch: seq, revision: seq })),
  chunks: seq,
  rows: seq,
  records: seq,
  bytes: seq,
  /** SHA-256 over the SHA-256 of each chunk, hexadecimal. */
  hash: z.string(),
  /** Read back from the disk and found to be what was written: only then anything may rely on it. */
  verified: z.boolean(),
});

/** What a snapshot of the online store says of itself. */
export type SnapshotManifest = z.infer<typeof MANIFEST>;

export function encodeManifest(manifest: SnapshotManifest): Buffer {
  return Buffer.from(JSON.stringify(manifest), 'utf8');
}

/** SNAPSHOT_CORRUPT when it is not readable. */
export function decodeManifest(bytes: Buffer): SnapshotManifest {
  try {
    return MANIFEST.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw new AntipodeError('SNAPSHOT_CORRUPT', 'the manifest of a snapshot is not readable', { cause });
  }
}

/** The first stream of which a copy that reaches to `to` holds what a known seal rules out (P5.3). */
export function beyondSeal(
  to: Readonly<Record<StreamKey, number>>,
  namespaces: Iterable<Pick<NamespaceLog, 'standing'>>,
): { readonly stream: StreamKey; readonly to: number; readonly seal: number } | undefined {
  const logs = [...namespaces];
  for (const [stream, position] of Object.entries(to)) {
    for (const log of logs) {
      const standing = log.standing(stream);
      if (standing.kind === 'sealed' && position > standing.seal) return { stream, to: position, seal: standing.seal };
    }
  }
  return undefined;
}
