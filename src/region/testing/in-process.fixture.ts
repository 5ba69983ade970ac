import { randomBytes } from 'node:crypto';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { KvChangeLog } from '#adapters/kv/kv-change-log';
import { KvJournal } from '#adapters/kv/kv-journal';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { KvSnapshots } from '#adapters/kv/kv-snapshots';
import { MemoryDisk } from '#adapters/memory/memory-disk';
import { MemoryKv } from '#adapters/memory/memory-kv';
import { MemoryNetwork } from '#adapters/memory-link/memory-network';
import type { AcknowledgeRule } from '#core/failover/acknowledge';
import type { FeatureView } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';
import type { Clock } from '#ports/clock';
import type { Host, Logger } from '#ports/host';
import type { OnlineStore } from '#ports/online-store';
import { ControlClient } from '#region/control/control-client';
import { ControlServer } from '#region/control/control-server';
import type { NamespaceSetup } from '#region/namespace-setup';
import { Region } from '#region/region';
import type { RegionConfig } from '#region/region-config';
import type { RetentionConfig } from '#region/retain/retention-plan';

/** Real time, for tests of whole regions in one process. */
export const REAL_CLOCK: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
  every: (ms, task) => {
    const timer = setInterval(task, ms);
    return () => clearInterval(timer);
  },
  yield: () => nextTurn(),
};

export const QUIET: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

export const TEST_HOST: Host = {
  bootId: () => 'boot-1',
  freeBytes: () => 1e12,
  fatal: (error) => {
    throw error;
  },
};

export const TEST_VIEW = withVersion({
  name: 'airport',
  namespace: 'flights',
  joinKeys: [{ name: 'code', type: 'string' }],
  features: [
    { name: 'delay', type: { scalar: 'float64', list: false }, nullable: true },
    { name: 'departures', type: { scalar: 'int64', list: false }, nullable: true },
  ],
  ttlSeconds: null,
  resolver: { kind: 'last-writer-wins' },
  granularity: 'row',
  eventTimeAheadMsMax: 300_000,
  sources: [],
  sql: null,
  eventTimeColumn: 'event_timestamp',
  owner: 'tests',
  description: '',
  tags: {},
});

export const REGIONS = ['ap-south', 'eu-west', 'us-east'];

/** Disks outlive the processes that use them. */
interface Disks {
  readonly log: MemoryDisk;
  readonly store: MemoryDisk;
}

/** Three regions and a control store in one process, on memory adapters and real time. */
export class InProcessTopology {
  readonly network = new MemoryNetwork();
  readonly regions = new Map<string, Region>();
  /** How far the wall clock of a region is ahead, ms. */
  readonly wallAheadMs = new Map<string, number>();
  readonly #disks = new Map<string, Disks>();
  readonly #setup: NamespaceSetup;
  readonly #logger: Logger;
  readonly #views: readonly FeatureView[];
  readonly #stores = new Map<string, OnlineStore>();
  readonly #controlKv = new MemoryKv(new MemoryDisk());
  #control: ControlServer | undefined;

  constructor(
    options: {
      leaseMs?: number;
      logger?: Logger;
      setup?: NamespaceSetup;
      acknowledge?: AcknowledgeRule;
      views?: readonly FeatureView[];
      retention?: RetentionConfig;
    } = {},
  ) {
    this.#views = options.views ?? [TEST_VIEW];
    const leaseMs = options.leaseMs ?? 2000;
    this.#setup = options.setup ?? {
      namespace: 'flights',
      partitions: 1,
      initialHub: 'us-east',
      leaseMs,
      marginMs: leaseMs / 6,
      automatic: true,
      promotable: REGIONS,
      retention: options.retention,
      tail: 'replay',
      acknowledge: options.acknowledge ?? 0,
      acknowledgeWithinMs: 2000,
      lossy: 'allow',
    };
    this.#logger = options.logger ?? QUIET;
  }

  async start(): Promise<void> {
    await this.startControl();
    for (const name of REGIONS) await this.startRegion(name);
  }

  region(name: string): Region {
    const region = this.regions.get(name);
    if (region === undefined) throw new Error(`${name} is not running`);
    return region;
  }

  async startRegion(name: string): Promise<Region> {
    const disks = this.#disks.get(name) ?? { log: new MemoryDisk(), store: new MemoryDisk() };
    this.#disks.set(name, disks);
    const logKv = new MemoryKv(disks.log);
    const transport = this.network.transport(name);
    const store = new KvOnlineStore(new MemoryKv(disks.store));
    this.#stores.set(name, store);
    const clock: Clock = { ...REAL_CLOCK, wallMs: () => Date.now() + (this.wallAheadMs.get(name) ?? 0) };
    const config: RegionConfig = {
      region: name,
      place: name,
      peers: REGIONS.filter((other) => other !== name),
      namespaces: [this.#setup],
      views: this.#views,
    };
    const region = new Region({
      config,
      ports: {
        clock,
        random: { next: Math.random, hex: (bytes) => randomBytes(bytes).toString('hex') },
        host: TEST_HOST,
        logger: this.#logger,
        changeLog: new KvChangeLog(logKv),
        journal: new KvJournal(logKv),
        snapshots: new KvSnapshots(logKv),
        store,
        control: new ControlClient({ transport, clock, deadlineMs: 300 }),
        transport,
      },
    });
    this.regions.set(name, region);
    await region.start();
    return region;
  }

  /** What a region's store holds under a storage key. */
  stored(name: string, rowKey: Buffer): Buffer | undefined {
    return this.#stores.get(name)?.row(rowKey);
  }

  /** The region's online store is gone at its next start; its log is not. */
  loseStore(name: string): void {
    const disks = this.#disks.get(name);
    if (disks !== undefined) this.#disks.set(name, { log: disks.log, store: new MemoryDisk() });
  }

  /** Flips a bit in the `index`th frame of the region's log. */
  damageFrame(name: string, index: number): void {
    const table = this.#disks.get(name)?.log.table('frames');
    const [key, value] = [...(table?.entries({}) ?? [])][index] ?? [];
    if (table === undefined || key === undefined || value === undefined) throw new Error(`${name} has no such frame`);
    value[value.length - 1] = (value[value.length - 1] as number) ^ 1;
    table.set(key.toString('latin1'), value);
  }

  /** All stored rows of a region, as text. */
  storedRows(name: string): string[] {
    const disk = this.#disks.get(name);
    if (disk === undefined) return [];
    return Array.from(
      disk.store.table('rows').entries({}),
      ([key, value]) => `${key.toString('hex')} ${value.toString('hex')}`,
    );
  }

  /** The region gets new, empty disks at its next start. */
  wipe(name: string): void {
    this.#disks.delete(name);
  }

  async startControl(): Promise<void> {
    this.#control = new ControlServer({
      journal: new KvJournal(this.#controlKv),
      transport: this.network.transport('control'),
      clock: REAL_CLOCK,
      host: TEST_HOST,
      log: this.#logger,
      members: REGIONS,
    });
    await this.#control.start();
  }

  async stopControl(): Promise<void> {
    await this.#control?.stop();
    this.#control = undefined;
  }

  /** The next start of the region finds empty disks. */
  loseDisks(name: string): void {
    this.#disks.delete(name);
  }

  async stopRegion(name: string): Promise<void> {
    const region = this.region(name);
    this.regions.delete(name);
    await region.stop();
  }

  async stop(): Promise<void> {
    for (const name of [...this.regions.keys()]) await this.stopRegion(name);
    await this.stopControl();
  }

  /** Waits until `condition` holds, at most `ms`. */
  async until(condition: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
    const endMs = performance.now() + ms;
    while (!(await condition())) {
      if (performance.now() > endMs) throw new Error(`not within ${ms} ms: ${condition}`);
      await delay(10);
    }
  }
}
