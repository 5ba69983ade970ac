import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const ROWS = 1500;
const DEMO_MS_MAX = 120_000;

test('the active-active demo: three real regions cut off from each other agree after the heal, and list every write that lost', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'antipode-active-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'report.json');
  const args = ['--active-active', '--once', '--rows', String(ROWS), '--report', file];
  const run = spawnSync(
    process.execPath,
    ['--conditions=antipode-source', '--disable-warning=ExperimentalWarning', 'examples/flights/demo.ts', ...args],
    { cwd: join(import.meta.dirname, '..'), encoding: 'utf8', timeout: DEMO_MS_MAX },
  );
  assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const shared = ROWS / 5;
  assert.equal(report.regions, 3);
  assert.equal(report.rowsCompared, ROWS);
  assert.equal(report.rowsDiffering, 0);
  assert.equal(report.ackedRowsLost, 0);
  const everywhere = shared / 3;
  assert.equal(report.conflictsExpected, shared - everywhere);
  assert.deepEqual([report.conflictsMissing, report.conflictsUnexpected], [0, 0]);
  assert.equal(report.rowsWrittenEverywhere, everywhere);
  // Of three writes at once two lose; at least two of the three pairs meet somewhere, perhaps the third too.
  const { conflictsEverywhere } = report;
  assert.ok(
    conflictsEverywhere >= 2 * everywhere && conflictsEverywhere <= 3 * everywhere,
    String(conflictsEverywhere),
  );
  assert.equal(report.conflictsListed, report.conflictsExpected + conflictsEverywhere);
  assert.equal(report.writesLost, shared - everywhere + 2 * everywhere);
  assert.deepEqual([report.writesLostUnlisted, report.everyLoserListed], [0, true]);
  assert.equal(report.readErrors, 0);
  assert.ok(report.partitionMs >= 3000 && report.catchUpMs > 0, JSON.stringify(report));
  assert.equal(Object.keys(report.rowsWritten).length, 3);
  for (const rows of Object.values(report.rowsWrittenCutOff)) assert.ok(Number(rows) > shared / 3);
});
