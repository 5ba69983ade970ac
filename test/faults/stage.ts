// Three real regions and the control store behind lines that can be cut, with clients at work, from start to verdict.
import { loadProject, type Project } from '#adapters/project-files/load-project';
import { TEST_CLOCK_OFFSET_VARIABLE } from '#cli/process/machine-clock';
import { clientToken } from '#cli/project/tokens';
import type { Topology } from '#cli/topology';
import { readStored } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import { CONTROL } from '#core/config/topology';
import { SeededRandom } from '#sim/kernel/seeded-random';
import { type WanCut, type WanDirection, WanProxy } from '../../examples/support/wan-proxy.ts';
import { type RegionBooks, readBooks, readLease } from '../support/account-books.ts';
import { defer, freePorts, newProject, startTopology, type TestScope, until } from '../support/local-topology.ts';
import type { FinalRegion, History } from './history.ts';
import { FEATURES, Workload } from './workload.ts';

export const REGIONS = ['ap', 'eu', 'us'] as const;
export type RegionName = (typeof REGIONS)[number];

/** What a region applies within an attempt to agree: two looks in a row must say the same. */
const SETTLE_MS = 1_200;

export interface StageOptions {
  readonly scenario: string;
  readonly seed: number;
  readonly history: History;
  readonly tail?: 'replay' | 'keep';
  /** Further YAML of a region in the configuration. */
  readonly settings?: Readonly<Partial<Record<RegionName, string>>>;
  readonly clockSkewMs?: number;
  readonly clients?: number;
  /** Modules that every process of a region loads before its own: an engine with bugs put in on purpose. */
  readonly weakened?: readonly { readonly name: string; readonly module: string }[];
}

/** One run: processes, lines, clients, and the means to do harm to them. */
export class Stage {
  readonly topology: Topology;
  readonly workload: Workload;
  readonly history: History;
  readonly random: SeededRandom;
  readonly #project: Project;
  readonly #lines: ReadonlyMap<string, WanProxy>;
  readonly #clockOffsets: Map<string, number>;
  readonly #tail: 'replay' | 'keep';

  private constructor(options: {
    readonly stage: StageOptions;
    readonly topology: Topology;
    readonly project: Project;
    readonly workload: Workload;
    readonly lines: ReadonlyMap<string, WanProxy>;
    readonly clockOffsets: Map<string, number>;
  }) {
    this.topology = options.topology;
    this.workload = options.workload;
    this.history = options.stage.history;
    this.random = new SeededRandom(options.stage.seed);
    this.#project = options.project;
    this.#lines = options.lines;
    this.#clockOffsets = options.clockOffsets;
    this.#tail = options.stage.tail ?? 'replay';
  }

  /** Everything runs when it resolves, clients too; everything ends with the scope. */
  static async open(scope: TestScope, options: StageOptions): Promise<Stage> {
    const ports = await freePorts(4);
    const [control, ...links] = ports as [number, number, number, number];
    const linkPort = new Map<string, number>([
      [CONTROL, control],
      ...REGIONS.map((name, at) => [name, links[at]!] as const),
    ]);
    const lines = new Map<string, WanProxy>();
    const addresses: { from: string; to: string; address: string }[] = [];
    for (const from of REGIONS) {
      for (const to of [...REGIONS.filter((name) => name !== from), CONTROL]) {
        const line = new WanProxy({ target: { host: '127.0.0.1', port: linkPort.get(to)! } });
        defer(scope, () => line.close());
        lines.set(lineName(from, to), line);
        addresses.push({ from, to, address: `127.0.0.1:${await line.start()}` });
      }
    }
    const project = await newProject(scope, {
      control,
      linkPorts: linkPort,
      links: addresses,
      tail: options.tail ?? 'replay',
      features: FEATURES,
      settings: Object.fromEntries(REGIONS.map((name) => [name, options.settings?.[name] ?? ', workers: 1'])),
    });
    const clockOffsets = new Map<string, number>();
    const { weakened = [] } = options;
    const imports = weakened.map(({ module }) => `--import=${module}`).join(' ');
    const topology = await startTopology(scope, project, {
      env: (node) => ({
        ...(clockOffsets.has(node) ? { [TEST_CLOCK_OFFSET_VARIABLE]: String(clockOffsets.get(node)) } : {}),
        ...(imports === '' || node === CONTROL ? {} : { NODE_OPTIONS: imports }),
      }),
    });
    options.history.add({
      kind: 'run',
      scenario: options.scenario,
      seed: options.seed,
      weakened: weakened.map(({ name }) => name).join('+') || null,
      regions: REGIONS,
      tail: options.tail ?? 'replay',
      clockSkewMs: options.clockSkewMs ?? 0,
    });
    const workload = new Workload({
      history: options.history,
      seed: options.seed,
      urls: new Map(REGIONS.map((region) => [region, topology.url(region)])),
      token: (await clientToken(topology.paths, 'write')) ?? '',
      ...(options.clients === undefined ? {} : { clients: options.clients }),
    });
    defer(scope, () => workload.stop());
    workload.start();
    return new Stage({ stage: options, topology, project, workload, lines, clockOffsets });
  }

  /** Writes down what is done, and does it. */
  async disturb(what: string, act: () => Promise<unknown> | unknown): Promise<void> {
    this.history.add({ kind: 'fault', atMs: Math.round(this.workload.nowMs()), what });
    await act();
  }

  /** The region that accepts writes; `not` when another one has to. */
  async hub(not?: string): Promise<RegionName> {
    return (await this.topology.waitForHub('default', {
      timeoutMs: 25_000,
      ...(not === undefined ? {} : { not }),
    })) as RegionName;
  }

  kill(region: RegionName): Promise<void> {
    this.workload.avoid(region, true);
    return this.disturb(`kill -9 ${region}`, () => this.topology.killRegion(region, 'SIGKILL'));
  }

  async restart(region: RegionName): Promise<void> {
    await this.disturb(`start ${region}`, () => this.topology.startRegion(region));
    this.workload.avoid(region, false);
  }

  halt(region: RegionName): Promise<void> {
    this.workload.avoid(region, true);
    return this.disturb(`SIGSTOP ${region}`, () => this.topology.killRegion(region, 'SIGSTOP'));
  }

  async resume(region: RegionName): Promise<void> {
    await this.disturb(`SIGCONT ${region}`, () => this.topology.killRegion(region, 'SIGCONT'));
    this.workload.avoid(region, false);
  }

  /** Wall clock of a region from its next start on, against the machine's. */
  setClock(region: RegionName, offsetMs: number): void {
    this.#clockOffsets.set(region, offsetMs);
  }

  /** Cuts a region off: from its peers, and from the control store unless told otherwise. */
  isolate(region: RegionName, cut: WanCut, options: { readonly control?: boolean } = {}): Promise<void> {
    return this.disturb(
      `${cut} around ${region}${options.control === false ? ', not to the control store' : ''}`,
      () => {
        for (const [name, line] of this.#lines) {
          const [from, to] = name.split(' ');
          if (options.control === false && to === CONTROL) continue;
          if (from === region || to === region) line.cut(cut);
        }
      },
    );
  }

  /** Waits until a region has acknowledged so many writes that began after now, while clients ask hardly any other. */
  async untilAcknowledgedBy(region: RegionName, writes: number): Promise<void> {
    const sinceMs = this.workload.nowMs();
    const rest = REGIONS.filter((name) => name !== region);
    for (const each of rest) this.workload.avoid(each, true);
    await until(`${region} has acknowledged ${writes} writes`, 15_000, () => {
      const found = this.history
        .of('write')
        .filter((write) => write.outcome === 'ok' && write.region === region && write.invokedMs > sinceMs);
      return found.length >= writes;
    });
    for (const each of rest) this.workload.avoid(each, false);
  }

  /** Waits until a region has applied so many changes. */
  async untilApplied(region: RegionName, changes: number): Promise<void> {
    await until(`${region} has applied ${changes} changes`, 20_000, async () => {
      const streams = (await this.topology.statuses()).get(region)?.streams ?? [];
      return streams.reduce((sum, { applied }) => sum + applied, 0) >= changes;
    });
  }

  /** Waits until a region tells of an event, in this life of it. */
  async untilSaid(region: RegionName, event: string): Promise<void> {
    await until(`${region} says ${event}`, 20_000, async () => {
      const events = (await this.topology.statuses()).get(region)?.events ?? [];
      return events.some((each) => each.event === event);
    });
  }

  /** Waits until a region has ended by itself. */
  async untilEnded(region: RegionName): Promise<void> {
    await until(`${region} ends by itself`, 20_000, () => {
      const process = this.topology.processes().find(({ name }) => name === region);
      return process?.state !== 'serving';
    });
    this.workload.avoid(region, true);
  }

  /** Waits until a write that begins after now is refused with a code. */
  async untilRefused(code: string): Promise<void> {
    const sinceMs = this.workload.nowMs();
    await until(`a write is refused with ${code}`, 15_000, () =>
      this.history.of('write').some((write) => write.code === code && write.invokedMs > sinceMs),
    );
  }

  /** Nothing arrives from `from` at `to` any more, on connections of both makes; the other direction works. */
  cutOneWay(from: RegionName, to: RegionName): Promise<void> {
    return this.disturb(`nothing arrives from ${from} at ${to}`, () => {
      const cut = (line: WanProxy | undefined, direction: WanDirection): void => line?.cut('blackhole', direction);
      cut(this.#lines.get(lineName(from, to)), 'to-target');
      cut(this.#lines.get(lineName(to, from)), 'to-client');
    });
  }

  /** One way of every line between regions, ms. */
  delay(delayMs: number): Promise<void> {
    return this.disturb(`lines of ${delayMs} ms`, () => {
      for (const line of this.#lines.values()) line.shape({ delayMs });
    });
  }

  heal(): Promise<void> {
    return this.disturb('all lines heal', () => {
      for (const line of this.#lines.values()) line.heal();
    });
  }

  /** Codec of the one view that clients write. */
  get codec(): ViewCodec {
    return new ViewCodec(this.#project.views[0]!);
  }

  /** Where a region keeps its data. */
  dataFolder(region: RegionName): string {
    return this.topology.paths.data(region);
  }

  /**
   * Ends the clients, waits until all regions agree, reads every key in each, stops everything and writes down what the disks hold. Throws when they
   * do not agree in time, unless `tolerant`.
   */
  async conclude(options: { readonly convergeMsMax: number; readonly tolerant: boolean }): Promise<void> {
    await this.workload.stop();
    await this.#converge(options.convergeMsMax).catch((error: unknown) => {
      if (!options.tolerant) throw error;
    });
    this.history.add({ kind: 'settled', atMs: Math.round(this.workload.nowMs()) });
    await this.workload.readAll();
    await this.topology.stop();
    const lease = await readLease(this.topology, 'default');
    const { epoch, streams, seals } = lease;
    const lossy = lease.lossy.map((promotion) => promotion.epoch);
    this.history.add({ kind: 'lease', epoch, streams, seals, lossy });
    const project = await loadProject(this.#project.folder);
    const codec = new ViewCodec(project.views[0]!);
    const writeAt = new Map(this.history.of('write').map(({ eventMs, write }) => [eventMs * 1000, write] as const));
    for (const region of REGIONS)
      this.history.add(finalRegion(region, await readBooks(this.topology, region, lease), { codec, writeAt }));
  }

  async #converge(msMax: number): Promise<void> {
    let said = '';
    let sinceMs = performance.now();
    await until('all regions agree, and no tail is left', msMax, async () => {
      const statuses = [...(await this.topology.statuses()).values()];
      const settled =
        statuses.length === REGIONS.length &&
        statuses.some((status) => status.namespaces.some((namespace) => namespace.accepting)) &&
        statuses.every(
          (status) =>
            status.state === 'serving' &&
            status.streams.every((stream) => stream.backlog === 0) &&
            (this.#tail === 'keep' || status.tails.every((tail) => tail.state === 'replayed')),
        );
      const positions = statuses.map(({ streams }) =>
        JSON.stringify(
          streams
            .filter(({ open }) => open)
            .map(({ stream, applied }) => [stream, applied])
            .sort(),
        ),
      );
      const says = settled && new Set(positions).size === 1 ? (positions[0] ?? '') : '';
      if (says !== said) sinceMs = performance.now();
      said = says;
      return said !== '' && performance.now() - sinceMs >= SETTLE_MS;
    });
  }
}

function lineName(from: string, to: string): string {
  return `${from} ${to}`;
}

/** How writes are told apart: upserts by their value, deletes by their event time, which is theirs alone. */
interface Writes {
  readonly codec: ViewCodec;
  readonly writeAt: ReadonlyMap<number, number>;
}

function finalRegion(region: string, books: RegionBooks, writes: Writes): FinalRegion {
  const { codec } = writes;
  const served: Record<string, number> = {};
  const rows: Record<string, string> = {};
  for (const [key, hex] of books.rows) {
    rows[key] = hex;
    const [sensor] = codec.decodeKey(Buffer.from(key, 'hex').subarray(codec.rowKeyPrefix.length));
    const { live, values, eventTimeUs } = readStored(codec, Buffer.from(hex, 'hex'));
    served[String(sensor)] = live ? readingOf(codec, values) : deleteAt(writes, eventTimeUs);
  }
  return {
    kind: 'region',
    region,
    rows,
    served,
    valid: byWrite(books.valid, writes),
    tails: byWrite(books.tails, writes),
  };
}

/** By write instead of by the identity of its change, which is its event time, its key and its row. */
function byWrite(book: ReadonlyMap<string, number>, writes: Writes): Record<string, number> {
  const { codec } = writes;
  const counts: Record<string, number> = {};
  for (const [identity, times] of book) {
    const [eventTimeUs, , row = ''] = identity.split(' ');
    const write =
      row === '' ? deleteAt(writes, Number(eventTimeUs)) : readingOf(codec, codec.decodeRow(Buffer.from(row, 'hex')));
    counts[write] = (counts[write] ?? 0) + times;
  }
  return counts;
}

/** A number that no write has when nobody deleted at this time. */
function deleteAt({ writeAt }: Writes, eventTimeUs: number): number {
  return writeAt.get(eventTimeUs) ?? -1;
}

function readingOf(codec: ViewCodec, values: readonly unknown[]): number {
  return Number(values[codec.view.features.findIndex(({ name }) => name === 'reading')]);
}
