import { closeSync, fdatasyncSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Sample, sample } from './stats.ts';

const WRITES = 50;
const BLOCK = Buffer.alloc(8192, 1);

/** How long the disk below the temporary folder takes to make one small write durable, ms: a part of every figure here. */
export function diskSyncMs(): Sample {
  const folder = mkdtempSync(join(tmpdir(), 'antipode-bench-disk-'));
  const descriptor = openSync(join(folder, 'file'), 'w');
  try {
    for (let at = 0; at < WRITES; at++) writeSync(descriptor, BLOCK, 0, BLOCK.length, at * BLOCK.length);
    fsyncSync(descriptor);
    const times = Array.from({ length: WRITES }, (_, at) => {
      writeSync(descriptor, BLOCK, 0, BLOCK.length, at * BLOCK.length);
      const beganMs = performance.now();
      fdatasyncSync(descriptor);
      return performance.now() - beganMs;
    });
    return sample(times);
  } finally {
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  }
}
