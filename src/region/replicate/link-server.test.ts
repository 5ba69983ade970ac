import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryNetwork } from '#adapters/memory-link/memory-network';
import { firstRecord } from '#core/failover/lease';
import { chainOf, linked, pass, until } from '#region/testing/link-node.fixture';

const S1 = 'flights/0/us-east/00000000000000a1';
const EPOCH_1 = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [S1] });

test('a watermark is sent only while the origin may append', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, ap }) => {
    for (const node of [us, ap]) node.adopt(EPOCH_1);
    us.extended.add(S1);
    await us.hold(S1, chainOf(S1, 1));
    await us.start();
    await ap.start();
    await until(() => ap.announced.length > 2);
    assert.ok(ap.announced.every(({ watermarkMs }) => watermarkMs === null));
    us.mayAppend = true;
    await until(() => ap.announced.at(-1)?.watermarkMs !== null);
    us.mayAppend = false;
    await pass(500);
    assert.deepEqual(ap.announced.at(-1), { stream: S1, head: 100, watermarkMs: null });
  });
});
