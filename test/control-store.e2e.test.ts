// The control store killed, halted and cut off: reads go on, the hub stops accepting in time and goes on afterwards.
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import type { RegionClient } from '#cli/region-client';
import type { Topology } from '#cli/topology';
import { AntipodeError } from '#core/errors';
import { WanProxy } from '../examples/support/wan-proxy.ts';
import { defer, freePorts, LEASE_MS, newProject, sleep, startTopology, until } from './support/local-topology.ts';

const REGIONS = ['ap', 'eu', 'us'];
/** What a poll, a busy machine and the steps of the test may add. */
const SLACK_MS = 1_500;
/** Longer than a lease and its margin: whoever could wrongly take over would have. */
const OUTAGE_MS = LEASE_MS * 2;

suite('the control store is lost', () => {
  test('killed, halted and cut off: reads go on, the hub stops in time, and no hub changes', async (t) => {
    const [control] = (await freePorts(1)) as [number];
    const proxies = await Promise.all(
      REGIONS.map(async (from) => {
        const proxy = new WanProxy({ target: { host: '127.0.0.1', port: control } });
        defer(t, () => proxy.close());
        return { from, proxy, port: await proxy.start() };
      }),
    );
    const links = proxies.map(({ from, port }) => ({ from, to: 'control', address: `127.0.0.1:${port}` }));
    const topology = await startTopology(t, await newProject(t, { control, links }));
    const hub = await topology.client('ap');
    await push(hub, 1);
    await until('the row is everywhere', 5_000, async () => {
      const found = await Promise.all(REGIONS.map((region) => readsRow(topology, region)));
      return found.every(Boolean);
    });
    await outage(t, 'killed', topology, {
      begin: () => topology.killControl('SIGKILL'),
      end: () => topology.startControl(),
    });
    await outage(t, 'halted', topology, {
      begin: () => topology.killControl('SIGSTOP'),
      end: () => topology.killControl('SIGCONT'),
    });
    await outage(t, 'cut off', topology, {
      begin: () => {
        for (const { proxy } of proxies) proxy.cut('blackhole');
      },
      end: () => {
        for (const { proxy } of proxies) proxy.heal();
      },
    });
  });

  test('a halted hub is deposed, and accepts nothing when it goes on', async (t) => {
    const topology = await startTopology(t, await newProject(t));
    const hub = await topology.client('ap');
    await push(hub, 1);
    await topology.killRegion('ap', 'SIGSTOP');
    const haltedAtMs = performance.now();
    const next = await topology.waitForHub('default', { timeoutMs: 15_000, not: 'ap' });
    t.diagnostic(`${next} accepts ${Math.round(performance.now() - haltedAtMs)} ms after the hub was halted`);
    await push(await topology.client(next), 2);
    await topology.killRegion('ap', 'SIGCONT');
    // What it takes now it has forwarded: it never holds a write of its old epoch.
    const headers = await eventually(() => push(hub, 3), 10_000);
    assert.equal(headers.get('antipode-hub'), next);
    await until('the old hub says who is hub', 3_000, async () => {
      const [namespace] = (await hub.status()).namespaces;
      return namespace?.hub === next && namespace.epoch === 2 && !namespace.accepting;
    });
  });
});

interface Outage {
  readonly begin: () => Promise<void> | void;
  readonly end: () => Promise<void> | void;
}

async function outage(t: TestContext, name: string, topology: Topology, { begin, end }: Outage): Promise<void> {
  const hub = await topology.client('ap');
  await begin();
  const beganAtMs = performance.now();
  const reading = keepReading(topology);
  let acceptedUntilMs = 0;
  for (let number = 100; performance.now() - beganAtMs < OUTAGE_MS; number++) {
    try {
      await push(hub, number, 1_000);
      acceptedUntilMs = performance.now() - beganAtMs;
    } catch (error) {
      assert.ok(error instanceof AntipodeError, String(error));
      assert.match(error.code, /^(NO_HUB|OUTCOME_UNKNOWN)$/, error.message);
    }
    await sleep(25);
  }
  assert.ok(acceptedUntilMs <= LEASE_MS, `${name}: accepted ${Math.round(acceptedUntilMs)} ms into the outage`);
  const status = await hub.status();
  assert.equal(status.control.reachable, false);
  await end();
  const endedAtMs = performance.now();
  await eventually(() => push(hub, 99), LEASE_MS + SLACK_MS + 6_000);
  const resumedMs = performance.now() - endedAtMs;
  const reads = await reading();
  t.diagnostic(
    `${name}: accepted for ${Math.round(acceptedUntilMs)} ms, again ${Math.round(resumedMs)} ms after the end; ${reads.count} reads`,
  );
  assert.deepEqual(reads.errors, [], `${name}: every read in every region is answered`);
  assert.ok(reads.count > 50);
  for (const [region, each] of await topology.statuses()) {
    assert.deepEqual(
      [each.namespaces[0]?.hub, each.namespaces[0]?.epoch],
      ['ap', 1],
      `${name}: the hub as ${region} sees it`,
    );
  }
}

/** Reads in every region until the returned function is called. */
function keepReading(topology: Topology): () => Promise<{ count: number; errors: string[] }> {
  let stopped = false;
  let count = 0;
  const errors: string[] = [];
  const readers = REGIONS.map(async (region) => {
    while (!stopped) {
      try {
        if (await readsRow(topology, region)) count += 1;
        else errors.push(`${region}: the row is gone`);
      } catch (error) {
        errors.push(`${region}: ${error instanceof Error ? error.message : error}`);
      }
      await sleep(20);
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(readers);
    return { count, errors };
  };
}

async function readsRow(topology: Topology, region: string): Promise<boolean> {
  const { results } = await (await topology.client(region, 'read')).onlineFeatures(['readings:reading'], {
    sensor_id: [1],
  });
  return results[1]?.statuses[0] === 'PRESENT';
}

function push(client: RegionClient, reading: number, timeoutMs = 5_000): Promise<Headers> {
  const df = { sensor_id: [1], reading: [reading], note: ['n'], event_timestamp: [new Date().toISOString()] };
  return client.push('readings', df, { signal: AbortSignal.timeout(timeoutMs) });
}

/** Tries again until it succeeds; throws the last failure when it does not in time. */
async function eventually<T>(attempt: () => Promise<T>, timeoutMs: number): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
    }
    await sleep(50);
  }
}
