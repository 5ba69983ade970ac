import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { Producer } from '#core/codec/counter-state';
import { readStored } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import type { FeatureValue, Granularity, Resolver } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';
import type { IngestChange, IngestRequest } from '#region/engine-api';
import { InProcessTopology, TEST_VIEW } from '#region/testing/in-process.fixture';

function codecOf(name: string, resolver: Resolver, granularity: Granularity = 'row'): ViewCodec {
  return new ViewCodec(withVersion({ ...TEST_VIEW, name, resolver, granularity }));
}

const PROFILE = codecOf('profile', { kind: 'last-writer-wins' }, 'feature');
const BEST = codecOf('best', { kind: 'max', by: 'delay' });
const CLICKS = codecOf('clicks', { kind: 'counter' });
const REGIONS = ['us-east', 'eu-west', 'ap-south'];
const T = 1_000_000;

function upsert(codec: ViewCodec, key: string, values: FeatureValue[], eventTimeUs = T): IngestChange {
  return { operation: 'upsert', eventTimeUs, key: codec.encodeKey([key]), row: codec.encodeRow(values) };
}

/** A partial row of one feature. */
function partial(key: string, place: number, value: FeatureValue, eventTimeUs = T): IngestChange {
  const row = PROFILE.encodeFeatures([place], [value]);
  return { operation: 'upsert', eventTimeUs, key: PROFILE.encodeKey([key]), features: [place], row };
}

function remove(codec: ViewCodec, key: string, eventTimeUs = T): IngestChange {
  return { operation: 'delete', eventTimeUs, key: codec.encodeKey([key]), row: Buffer.alloc(0) };
}

function request(codec: ViewCodec, changes: IngestChange[], producer?: Producer): IngestRequest {
  return { view: codec.view.name, version: codec.view.version, changes, producer };
}

suite('merging, from the request to the stores of all regions', () => {
  const views = [PROFILE, BEST, CLICKS].map(({ view }) => view);
  const topology = new InProcessTopology({ views, leaseMs: 6000 });
  before(async () => {
    await topology.start();
    await topology.until(async () => (await topology.region('us-east').status()).namespaces[0]?.accepting === true);
    for (const name of ['eu-west', 'ap-south'])
      await topology.until(async () => (await topology.region(name).status()).namespaces[0]?.hub === 'us-east');
  });
  after(() => topology.stop());

  const write = (region: string, codec: ViewCodec, changes: IngestChange[], producer?: Producer) =>
    topology.region(region).ingest(request(codec, changes, producer));
  const read = (region: string, codec: ViewCodec, key: string) => {
    const stored = topology.stored(region, codec.rowKey(codec.encodeKey([key])));
    return stored === undefined ? undefined : readStored(codec, stored);
  };
  /** Waits until the values are these in every region. */
  const everywhere = async (codec: ViewCodec, key: string, values: FeatureValue[]): Promise<void> => {
    for (const region of REGIONS)
      await topology.until(() => read(region, codec, key)?.values.map(String).join() === values.map(String).join());
  };

  test('two pipelines write their own features and keep those of the other', async () => {
    await write('us-east', PROFILE, [partial('a', 0, 0.5, 7)]);
    await write('eu-west', PROFILE, [partial('a', 1, 3n, 5)]);
    await everywhere(PROFILE, 'a', [0.5, 3n]);
    assert.deepEqual(read('ap-south', PROFILE, 'a')?.eventTimesUs, [7, 5]);
    // Each feature has an event time of its own: what is older for one is newer for the other.
    await write('ap-south', PROFILE, [upsert(PROFILE, 'a', [9, 9n], 6)]);
    await everywhere(PROFILE, 'a', [0.5, 9n]);
    await write('eu-west', PROFILE, [remove(PROFILE, 'a', 1)]);
    await everywhere(PROFILE, 'a', [null, null]);
    assert.equal(read('eu-west', PROFILE, 'a')?.live, false);
    await write('eu-west', PROFILE, [partial('a', 1, 1n, 8)]);
    await everywhere(PROFILE, 'a', [null, 1n]);
    assert.deepEqual(read('us-east', PROFILE, 'a')?.eventTimesUs, [null, 8]);
  });

  test('the greatest value stays until the key is deleted, in one request too', async () => {
    await write('us-east', BEST, [upsert(BEST, 'a', [5, 1n], 9), upsert(BEST, 'a', [4, 2n], 10)]);
    await everywhere(BEST, 'a', [5, 1n]);
    await write('eu-west', BEST, [remove(BEST, 'a'), upsert(BEST, 'a', [1, 3n], 2)]);
    await everywhere(BEST, 'a', [1, 3n]);
    await write('eu-west', BEST, [upsert(BEST, 'a', [Number.NaN, 4n], 99), upsert(BEST, 'a', [null, 5n], 99)]);
    await write('us-east', BEST, [upsert(BEST, 'a', [2, 6n], 1)]);
    await everywhere(BEST, 'a', [2, 6n]);
  });

  test('totals of several producers are added; a retry anywhere, and an older total, change nothing', async () => {
    const send = (region: string, name: string, sequence: number, count: bigint) =>
      write(region, CLICKS, [upsert(CLICKS, 'a', [null, count])], { name, sequence });
    await send('us-east', 'web', 1, 10n);
    await send('eu-west', 'app', 1, 2n);
    await send('ap-south', 'web', 2, 15n);
    for (const region of REGIONS) await send(region, 'web', 1, 10n);
    await send('eu-west', 'app', 1, 2n);
    await everywhere(CLICKS, 'a', [null, 17n]);
    await write('ap-south', CLICKS, [remove(CLICKS, 'a')]);
    await topology.until(() => read('us-east', CLICKS, 'a')?.live === false);
    await send('us-east', 'web', 3, 1n);
    await everywhere(CLICKS, 'a', [null, 1n]);
  });

  test('what does not fit its view is refused with a code of its own, by the hub and through another region', async () => {
    const producer = { name: 'web', sequence: 1 };
    const one = [upsert(CLICKS, 'z', [null, 1n])];
    const cases: [ViewCodec, IngestChange[], Producer | undefined, string][] = [
      [BEST, [{ ...upsert(BEST, 'z', [1, null]), features: [0] }], undefined, 'PARTIAL_ROW_INVALID'],
      [PROFILE, [{ ...partial('z', 0, 1), features: [2] }], undefined, 'PARTIAL_ROW_INVALID'],
      [PROFILE, [{ ...partial('z', 0, 1), features: [0, 1] }], undefined, 'ROW_INVALID'],
      [PROFILE, [upsert(PROFILE, 'z', [1, 1n])], producer, 'PRODUCER_INVALID'],
      [CLICKS, one, undefined, 'PRODUCER_INVALID'],
      [CLICKS, one, { name: 'a b', sequence: 1 }, 'PRODUCER_INVALID'],
      [CLICKS, [...one, upsert(CLICKS, 'z', [null, 2n])], producer, 'PRODUCER_INVALID'],
    ];
    for (const [codec, changes, by, code] of cases)
      for (const region of ['us-east', 'eu-west'])
        await assert.rejects(write(region, codec, changes, by), { code }, `${region}: ${code}`);
    const misshapen: IngestChange[] = [
      { ...remove(PROFILE, 'z'), features: [0] },
      { ...partial('z', 0, 1), features: [] },
      { ...upsert(PROFILE, 'z', [1, 1n]), features: [1, 0] },
    ];
    for (const change of misshapen)
      await assert.rejects(write('us-east', PROFILE, [change]), { code: 'PARTIAL_ROW_INVALID' });
    for (const sequence of [-1, 1.5, 2 ** 53])
      await assert.rejects(write('us-east', CLICKS, one, { name: 'web', sequence }), { code: 'PRODUCER_INVALID' });
    for (const region of REGIONS) assert.equal(read(region, CLICKS, 'z'), undefined);
  });

  test('a counter takes 256 producers and no more', async () => {
    const changes = [upsert(CLICKS, 'full', [null, 1n])];
    const producers = Array.from({ length: 256 }, (_, i) => ({ name: `p${i}`, sequence: 1 }));
    await Promise.all(producers.map((producer) => write('us-east', CLICKS, changes, producer)));
    const oneMore = write('us-east', CLICKS, changes, { name: 'p256', sequence: 1 });
    await assert.rejects(oneMore, { code: 'COUNTER_FULL' });
    await write('us-east', CLICKS, [upsert(CLICKS, 'full', [null, 3n])], { name: 'p7', sequence: 2 });
    await everywhere(CLICKS, 'full', [null, 258n]);
  });

  test('the same key with another producer or other features is another request', async () => {
    const hub = topology.region('us-east');
    const keyed = (codec: ViewCodec, changes: IngestChange[], producer?: Producer) =>
      hub.ingest({ ...request(codec, changes, producer), idempotencyKey: 'once' });
    const total = [upsert(CLICKS, 'k', [null, 1n])];
    await keyed(CLICKS, total, { name: 'web', sequence: 1 });
    assert.equal((await keyed(CLICKS, total, { name: 'web', sequence: 1 })).duplicate, true);
    const reused = { code: 'IDEMPOTENCY_KEY_REUSED' };
    await assert.rejects(keyed(CLICKS, total, { name: 'web', sequence: 2 }), reused);
    await keyed(PROFILE, [partial('k', 0, null)]);
    assert.equal((await keyed(PROFILE, [partial('k', 0, null)])).duplicate, true);
    await assert.rejects(keyed(PROFILE, [partial('k', 1, null)]), reused);
  });
});
