import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FaultKind } from '#sim/knobs';
import { sweepCrashPoints } from '#sim/runner/crash-sweep';
import { Pool } from '#sim/runner/pool';

const FULL = process.env['ANTIPODE_VERIFY'] === 'full';
const SEEDS = 12;
const TIMEOUT_MS = 1_200_000;

/** Writes of retention, snapshots and backfills: rare ones, at which deaths by chance hardly ever fall. */
const PREFIXES = ['log-', 'snapshot-', 'store-apply copy'];
/** Faults after which logs begin anew and stores come from peers. */
const KINDS: readonly FaultKind[] = ['crash-region', 'isolate', 'wipe-disks'];
/** Each of them before the write, when it was taken and is not durable, and after it. */
const MOMENTS = ['before', 'taken', 'after'];
const WRITES = [
  'log-truncate own',
  'log-truncate mirror',
  'log-reset mirror',
  'snapshot-chunk',
  'snapshot-manifest',
  'snapshot-remove',
  'store-apply copy',
];

test('a death at each write of retention, snapshots and backfills', { skip: !FULL, timeout: TIMEOUT_MS }, async () => {
  const pool = new Pool(1);
  const seeds = Array.from({ length: SEEDS }, (_, index) => index + 1);
  const { points, hit, pairs, missed, violations } = await sweepCrashPoints(pool, seeds, {
    kinds: KINDS,
    labels: PREFIXES,
  });
  await pool.close();
  const found = violations.map(({ seed, oracle, text, replay }) => `seed ${seed}: ${oracle}: ${text}\n${replay}`);
  assert.equal(found.length, 0, found.join('\n'));
  const unmet = WRITES.flatMap((write) => MOMENTS.map((moment) => `${write} ${moment}`)).filter(
    (label) => points[label] === undefined,
  );
  assert.deepEqual(unmet, [], 'labels that no machine passed');
  assert.equal(hit, pairs, `no death at ${missed.join(', ')}`);
});
