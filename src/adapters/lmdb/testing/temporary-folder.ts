import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A fresh folder; `remove` deletes it with all that is in it. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'antipode-lmdb-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const MIB = 1024 ** 2;

/** Small enough for many environments at once. */
export const SMALL = { mapBytes: 1024 * MIB, reserveBytes: 4 * MIB } as const;
