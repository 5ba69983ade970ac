import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defer, type TestScope } from './local-topology.ts';

/** Why no disk can be mounted here; false when one can. */
export function whyNoDisk(): string | false {
  return process.getuid?.() !== 0 && 'needs a small disk of its own, and only root may mount one';
}

/** A small disk of its own, which is unmounted with the test. Its folder. */
export function mountDisk(scope: TestScope, bytes: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'antipode-disk-'));
  defer(scope, () => {
    spawnSync('umount', [folder]);
    rmdirSync(folder);
  });
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, `mount: ${error?.message ?? stderr}`);
  return folder;
}
