import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { DuckDbOfflineStore } from '#adapters/duckdb/duckdb-offline-store';
import { loadProject } from '#adapters/project-files/load-project';
import { ViewCodec } from '#core/codec/view-codec';
import type { FeatureView } from '#core/model/feature-view';
import type { OfflineRow } from '#ports/offline-store';

const folder = join(import.meta.dirname, '../../../examples/flights');

async function rowsOf(view: FeatureView, today: string): Promise<readonly OfflineRow[]> {
  const store = await DuckDbOfflineStore.open({ projectFolder: folder });
  try {
    const rows: OfflineRow[] = [];
    const bad: string[] = [];
    const { batches } = await store.compute({
      codec: new ViewCodec(view),
      today,
      onBadRow: (row) => bad.push(row.reason),
    });
    for await (const batch of batches) rows.push(...batch.rows);
    assert.deepEqual(bad, []);
    return rows;
  } finally {
    await store.close();
  }
}

test('the flights example loads, and its files lead editors to the schemas', async () => {
  const { config, views } = await loadProject(folder);
  assert.deepEqual(Object.keys(config.regions), ['us-east', 'eu-west', 'ap-south']);
  assert.deepEqual(
    views.map((view) => view.name),
    ['airport_daily', 'route_daily', 'route_latest'],
  );
  const files = ['antipode.yaml', ...readdirSync(join(folder, 'features')).map((name) => join('features', name))];
  for (const file of files) {
    const path = join(folder, file);
    const schema = /^# yaml-language-server: \$schema=(\S+)\n/.exec(readFileSync(path, 'utf8'))?.[1];
    assert.ok(schema !== undefined && existsSync(resolve(dirname(path), schema)), file);
  }
});

test('the latest row of each route: the same for one day, moved by a day for the next', async () => {
  const view = (await loadProject(folder)).views.find((candidate) => candidate.name === 'route_latest') as FeatureView;
  const codec = new ViewCodec(view);
  const [first, again, next] = [
    await rowsOf(view, '2026-11-23'),
    await rowsOf(view, '2026-11-23'),
    await rowsOf(view, '2026-11-24'),
  ];
  assert.equal(first.length, 3399);
  assert.deepEqual(again, first);
  assert.deepEqual(
    next.map((row) => row.eventTimeUs - 86_400_000_000),
    first.map((row) => row.eventTimeUs),
  );
  const times = first.map((row) => row.eventTimeUs);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  assert.equal(times.at(-1), Date.UTC(2026, 10, 23) * 1000);
  const last = first.at(-1) as OfflineRow;
  // Join keys and features in the order of their names: destination, origin; delay_mean, delayed_share_28d, …
  assert.deepEqual(codec.decodeKey(last.key), ['JNU', 'YAK']);
  assert.deepEqual(codec.decodeRow(last.row), [
    8,
    Math.fround(7 / 27),
    199,
    1,
    27n,
    Date.UTC(2026, 10, 22, 17, 54) * 1000,
    [8, -4, 30, 69, 14, 15, 21, -9, -9, 5],
  ]);
});
