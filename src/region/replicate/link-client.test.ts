import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryNetwork } from '#adapters/memory-link/memory-network';
import { decodeLease, firstRecord } from '#core/failover/lease';
import { chainOf, linked, pass, until } from '#region/testing/link-node.fixture';

const S1 = 'flights/0/us-east/00000000000000a1';
const EPOCH_1 = firstRecord({ namespace: 'flights', holder: 'us-east', streams: [S1] });

test('an epoch marker that cannot be read is audited and passed over; it ends neither process nor link', async () => {
  const network = new MemoryNetwork();
  await linked(network, async ({ us, ap }) => {
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    try {
      for (const node of [us, ap]) node.adopt(EPOCH_1);
      us.extended.add(S1);
      us.mayAppend = true;
      ap.onEpochMarker = decodeLease;
      await us.hold(S1, chainOf(S1, 2, Buffer.from('{"revision":1,"record":{"later":"release"}}')));
      await us.start();
      await ap.start();
      await until(() => ap.head(S1) === 201);
      await until(() => ap.audited('frame-refused') === 1);
      await pass(3000);
      assert.deepEqual(unhandled, []);
      assert.equal(ap.audited('frame-refused'), 1);
      assert.equal(ap.link('us-east').state, 'connected');
      assert.equal(ap.link('us-east').reconnects, 0);
    } finally {
      process.off('unhandledRejection', note);
    }
  });
});
