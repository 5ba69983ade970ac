// A disk that fills up while rows stream in: writes are refused before it is full, reads go on, and space heals it.
import assert from 'node:assert/strict';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { ingestView } from '#cli/ingest/ingest-view';
import { DISK_RESERVE_BYTES } from '#region/ingest/namespace-writer';
import { changeIdentity, readBooks, readLease } from './support/account-books.ts';
import { newProject, startTopology } from './support/local-topology.ts';
import { mountDisk, whyNoDisk } from './support/small-disk.ts';

const MIB = 1024 * 1024;
const DISK_BYTES = 400 * MIB;
const ROWS = 30_000;
/** Root must be able to: where even root is not, the test fails and says so. */
const SKIP = whyNoDisk();
const NAME = `refuses writes at the reserve, serves reads, and goes on when there is space${SKIP === false ? '' : `; skipped: ${SKIP}`}`;

suite('a full disk', () => {
  test(NAME, { skip: SKIP }, async (t) => {
    const disk = mountDisk(t, DISK_BYTES);
    const project = await newProject(t, {
      regions: ['only'],
      failover: 'manual',
      // One process for everything: what it meets on its disk, its reads meet too.
      settings: { only: `, workers: 0, data: '${join(disk, 'data')}'` },
    });
    const lines = Array.from(
      { length: ROWS },
      (_, index) => `${index},${index},${'x'.repeat(400)},${new Date(Date.now() - 3_600_000 + index).toISOString()}`,
    );
    writeFileSync(
      join(project.folder, 'readings.csv'),
      `sensor_id,reading,note,event_timestamp\n${lines.join('\n')}\n`,
    );
    const topology = await startTopology(t, project);
    // Leaves a few megabytes above the reserve.
    const ballast = join(disk, 'ballast');
    const free = () => statfsSync(disk).bavail * statfsSync(disk).bsize;
    writeFileSync(ballast, Buffer.alloc(free() - DISK_RESERVE_BYTES - 3 * MIB));
    const client = await topology.client('only');
    let refusals = 0;
    const acknowledged = new Map<string, string>();
    const summary = await ingestView({
      project,
      view: 'readings',
      clients: [client],
      rowsPerBatch: 500,
      retryMsMax: 30_000,
      onAcknowledged: ({ changes, region }) => {
        for (const change of changes) acknowledged.set(changeIdentity(change), region);
      },
      onRetry: (error) => {
        assert.equal(error.code, 'DISK_FULL', error.message);
        refusals += 1;
        if (refusals !== 8) return;
        // Long enough refused: reads are answered all the while, and then somebody frees space.
        void client
          .onlineFeatures(['readings:reading'], { sensor_id: [0] })
          .then(({ results }) => assert.deepEqual(results[1]?.values, [0]))
          .finally(() => rmSync(ballast));
      },
    });
    assert.ok(refusals >= 8, `${refusals} refusals`);
    assert.deepEqual([summary.accepted, acknowledged.size, summary.complete], [ROWS, ROWS, true]);
    assert.equal(topology.processes().filter((node) => node.state === 'serving').length, 2, 'nobody died of it');
    await topology.stop();
    const books = await readBooks(topology, 'only', await readLease(topology, 'default'));
    assert.equal(books.rows.size, ROWS);
    assert.deepEqual(
      [...books.valid.values()].filter((times) => times !== 1),
      [],
    );
    assert.ok([...acknowledged.keys()].every((change) => books.valid.has(change)));
  });
});
