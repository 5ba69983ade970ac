import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadProject } from '#adapters/project-files/load-project';
import { exampleFeatures, exampleSource, topologyTemplate } from './init-templates.ts';
import { listenersOf } from './listening-ports.ts';

test('a new project is valid, and its ports are where they were wished', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'antipode-init-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'features'));
  writeFileSync(join(folder, 'antipode.yaml'), topologyTemplate({ name: 'shop', basePort: 9000 }));
  writeFileSync(join(folder, 'features', 'example.yaml'), exampleFeatures());
  const { config, views } = await loadProject(folder);
  assert.deepEqual(Object.keys(config.regions), ['us-east', 'eu-west', 'ap-south']);
  assert.deepEqual(
    listenersOf(config).map(({ at }) => at.port),
    [9000, 9001, 9101, 9002, 9102, 9003, 9103],
  );
  assert.deepEqual(
    views.map((view) => view.name),
    ['driver_stats'],
  );
});

test('no row of the example is in the future or beyond its time to live', () => {
  const nowMs = Date.parse('2026-08-02T10:00:00Z');
  const lines = exampleSource(nowMs).trim().split('\n').slice(1);
  assert.equal(lines.length, 12);
  for (const line of lines) {
    const ageMs = nowMs - Date.parse(line.split(',')[4] ?? '');
    assert.ok(ageMs > 0 && ageMs <= 12 * 3_600_000, line);
  }
});
