import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import type { IngestResult } from '#region/engine-api';
import type { CrashRole, CrashTarget, PointCounts } from '#sim/crash/crash-points';
import { SimKernel } from '#sim/kernel/kernel';
import { SeededRandom } from '#sim/kernel/seeded-random';
import { Trace } from '#sim/kernel/trace';
import { trapRealTime } from '#sim/kernel/traps';
import { drawKnobs, type FaultKind, type Knobs, type NamespaceKnobs } from '#sim/knobs';
import { ControlMachine } from '#sim/machine/control-machine';
import { RegionMachine, type RunningRegion } from '#sim/machine/region-machine';
import { readWall } from '#sim/machine/sim-clock';
import type { Mutant } from '#sim/mutants/mutant';
import { logOf } from '#sim/nemesis/disk-faults';
import { shuffled } from '#sim/nemesis/fault-context';
import { Nemesis } from '#sim/nemesis/nemesis';
import { SimNetwork } from '#sim/network/sim-network';
import { ConflictHistory } from '#sim/oracle/conflict-history';
import { brokenAudits, FinalState, type Shortcoming } from '#sim/oracle/final-state';
import { FrameArchive } from '#sim/oracle/frame-archive';
import { FreshnessOracle } from '#sim/oracle/freshness';
import { holderIsWhole, holdUpToSeals, limitOf, type PlainLease } from '#sim/oracle/lease-view';
import { Promotions } from '#sim/oracle/promotions';
import { ReferenceMerge } from '#sim/oracle/reference-merge';
import { RegionHistory } from '#sim/oracle/region-history';
import { judgeSessions } from '#sim/oracle/session-verdict';
import { SyncAcknowledged } from '#sim/oracle/sync-acknowledged';
import { type Oracle, Violations } from '#sim/oracle/violations';
import { makeReport, type SimReport } from '#sim/report';
import { type ClientOutcomes, Clients } from '#sim/workload/clients';
import { setupOf } from '#sim/workload/namespace-setup';
import { Sessions } from '#sim/workload/sessions';
import { viewsOf } from '#sim/workload/views';
import type { WriteRecord } from '#sim/workload/write-record';

/** A run that needs more is stuck in a loop. */
const EVENTS_MAX = 6_000_000;
/** How far the clocks of two regions may stand apart by the protocol, ms. */
const CLOCK_BOUND_MS = 500;
const CLOCK_LOOK_MS = 25;
/** How often after the heal it is looked whether all agree, ms. */
const LOOK_MS = 1000;
/**
 * Further looks while something has not arrived, after parts of that time. Regions write when nobody asks them to: expiry
 * cuts, every second full second. So one may be on its way at each of many looks that come as regularly.
 */
const LOOKS_AT = [1, 1.31, 1.57] as const;
/** What is wrong with these once everything has arrived does not get right by itself. */
const LASTING: ReadonlySet<Oracle> = new Set(['I3', 'I4', 'I5', 'I7', 'I9', 'I12', 'once']);
const WRONG_LOOKS_MAX = 6;
/** How long they must go on agreeing, ms. */
const STAY_MS = 4000;

/** Log events that mean a fault of the engine, whatever happened around it. */
const FAULT_EVENTS = new Set(['authority-failed', 'stream-halted', 'definition-undecodable', 'tail-failed']);

export interface SimulateOptions {
  readonly seed: number;
  readonly mutant?: Mutant | undefined;
  readonly print?: ((line: string) => void) | undefined;
  /** Kinds of faults, instead of those the seed draws. */
  readonly kinds?: readonly FaultKind[] | undefined;
  /** Where one machine dies, beside all other faults. */
  readonly crashAt?: CrashTarget | undefined;
  /** Oracles that count, instead of all. */
  readonly oracles?: readonly Oracle[] | undefined;
  /** Whether the report lists the labelled points that were passed. */
  readonly points?: boolean | undefined;
}

/** One history: a phase with faults, then the heal, after which all must agree within a bounded time. */
export class Simulation {
  readonly seed: number;
  readonly kernel: SimKernel;
  readonly knobs: Knobs;
  readonly violations: Violations;
  readonly regions: RegionMachine[] = [];
  readonly control: ControlMachine;
  readonly network: SimNetwork;
  readonly nemesis: Nemesis;
  readonly clients: Clients;
  readonly sessions: Sessions;
  readonly histories: RegionHistory[] = [];
  /** How often each event of the engines' logs was met. */
  readonly logEvents = new Map<string, number>();
  /** How often machines passed each labelled point. */
  readonly pointCounts: PointCounts = new Map();
  readonly wantsPoints: boolean;
  readonly #crashTarget: { left: number; readonly at: CrashTarget } | undefined;
  /** Regions that are about to become hub. */
  readonly #candidates = new Set<string>();
  readonly #views: readonly FeatureView[];
  readonly #archive: FrameArchive;
  readonly #merge: ReferenceMerge;
  readonly #sync: SyncAcknowledged;
  readonly #promotions: Promotions;
  readonly #finalStates = new Map<string, FinalState>();
  readonly #freshness: FreshnessOracle;
  /** Members that began an incarnation while a peer was silent. */
  readonly #unheard = new Set<string>();
  readonly #mutant: Mutant | undefined;
  #clocksApartMs = 0;

  constructor(options: SimulateOptions) {
    this.seed = options.seed;
    this.#mutant = options.mutant;
    this.wantsPoints = options.points === true;
    this.#crashTarget = options.crashAt && { left: options.crashAt.nth, at: options.crashAt };
    const random = new SeededRandom(options.seed);
    const drawn = drawKnobs(random.fork('knobs'));
    const asked = { ...drawn, faults: { ...drawn.faults, kinds: options.kinds ?? drawn.faults.kinds } };
    this.knobs = this.#mutant?.tune?.(asked) ?? asked;
    const { knobs } = this;
    this.kernel = new SimKernel(new Trace(options.print));
    const { kernel } = this;
    this.violations = new Violations(kernel, options.oracles);
    this.#archive = new FrameArchive(this.violations);
    this.network = new SimNetwork({ kernel, random: random.fork('network'), knobs: knobs.network });
    this.#views = knobs.namespaces.flatMap(viewsOf);
    this.#freshness = new FreshnessOracle({
      namespaces: knobs.namespaces.flatMap(({ name }) => (this.#isActive(name) ? [name] : [])),
      regions: this.regions,
      violations: this.violations,
    });
    this.#merge = new ReferenceMerge(this.#views);
    const machine = (name: string) => ({
      name,
      kernel,
      random: random.fork('machine'),
      network: this.network,
      disk: knobs.disk,
      crash: { counts: this.wantsPoints ? this.pointCounts : undefined, target: this.#crashTarget },
      lyingDisk: this.#mutant?.lyingDisk === true && name !== 'control',
      wall: {
        offsetMs: random.fork(`wall ${name}`).next() * knobs.faults.clockOffsetMsMax,
        resolutionMs: knobs.clockResolutionMs,
      },
    });
    this.control = new ControlMachine(machine('control'));
    this.control.members = knobs.regions;
    for (const name of knobs.regions) this.regions.push(this.#region(name, new RegionMachine(machine(name))));
    this.#promotions = new Promotions(this.histories, this.violations);
    this.#sync = new SyncAcknowledged({
      namespaces: knobs.namespaces,
      histories: this.histories,
      violations: this.violations,
    });
    this.nemesis = new Nemesis({
      kernel,
      random: random.fork('nemesis'),
      knobs,
      network: this.network,
      regions: this.regions,
      control: this.control,
      onAnomaly: (text) => this.violations.add('health', text),
    });
    this.control.onFatal = (error, expected) => {
      if (!expected) this.violations.add('health', `the control store ends itself: ${describe(error)}`);
      this.nemesis.restartLater(this.control);
    };
    for (const each of [this.control, ...this.regions]) each.onCrashPoint = () => this.nemesis.restartLater(each);
    const observer: ClientOutcomes = {
      onAcknowledged: (write, region, result) => this.#judgeAcknowledgement(write, region, result),
      onAnomaly: (text) => this.violations.add('health', text),
    };
    this.clients = new Clients({
      kernel,
      random: random.fork('clients'),
      knobs: knobs.workload,
      regions: this.regions,
      views: this.#views,
      observer,
    });
    this.sessions = new Sessions({
      kernel,
      random: random.fork('sessions'),
      knobs: knobs.sessions,
      regions: this.regions,
      codecs: this.#views.map((view) => new ViewCodec(view)),
      writes: this.clients.writes,
      timeoutMs: knobs.workload.clientTimeoutMs,
      observer,
    });
    for (const namespace of knobs.namespaces) this.#finalStates.set(namespace.name, this.#finalState(namespace));
  }

  get crashed(): boolean {
    return this.#crashTarget !== undefined && this.#crashTarget.left <= 0;
  }

  #finalState(namespace: NamespaceKnobs): FinalState {
    const views = this.#views.filter((view) => view.namespace === namespace.name);
    return new FinalState({
      namespace,
      views,
      merge: this.#merge,
      writes: this.clients.writes,
      archive: this.#archive,
      unheard: this.#unheard,
    });
  }

  async run(): Promise<SimReport> {
    const { kernel, violations } = this;
    kernel.onThrow = (owner, error) => {
      if (owner === undefined) throw error;
      if (owner.alive) violations.add('health', `${owner.name} throws: ${describe(error)}`);
    };
    const uninstall = this.#mutant?.install?.();
    const releaseRejections = this.#watchRejections();
    const release = trapRealTime((name) => violations.add('ports', `${name} was used: ${new Error(name).stack}`));
    try {
      return await this.#phases();
    } finally {
      release();
      releaseRejections();
      uninstall?.();
    }
  }

  async #phases(): Promise<SimReport> {
    const { kernel, knobs, violations } = this;
    this.control.start();
    for (const region of this.regions) region.start();
    this.#lookAtFreshness();
    kernel.schedule(200, undefined, 'begin', () => {
      this.clients.start();
      this.sessions.start();
      this.#watchClocks();
      this.nemesis.start();
    });
    await kernel.run({ untilMs: knobs.faultsMs, eventsMax: EVENTS_MAX });
    const healedMs = kernel.nowMs;
    this.sessions.stop();
    this.#judgeSessions();
    let convergedMs: number | undefined;
    if (violations.list.length === 0 && knobs.mode !== 'safety') {
      this.clients.stop();
      const away = knobs.mode === 'core' ? this.#chooseAway() : [];
      this.nemesis.heal(away);
      convergedMs = await this.#converge(away);
      if (convergedMs !== undefined && away.length > 0) {
        kernel.moment('core-agreed');
        this.nemesis.healRest();
        convergedMs = await this.#converge([]);
        if (convergedMs !== undefined) kernel.moment('region-away-came-back');
      }
      for (const state of this.#finalStates.values()) for (const name of state.rareMerges()) kernel.moment(name);
    }
    this.#judgePromotions();
    return makeReport(this, { healedMs, convergedMs });
  }

  #lookAtFreshness(): void {
    this.kernel.schedule(LOOK_MS, undefined, 'freshness', () => {
      this.#freshness.look();
      for (const { name } of this.knobs.namespaces)
        this.#promotions.look(name, this.control.lease(name), this.kernel.nowMs);
      this.#lookAtFreshness();
    });
  }

  /** How far the wall clocks of any two regions stood apart at the most. */
  #watchClocks(): void {
    const offsets = this.regions.map(({ wall }) => wall.offsetMs);
    const apartMs = Math.max(...offsets) - Math.min(...offsets) + this.knobs.clockResolutionMs;
    this.#clocksApartMs = Math.max(this.#clocksApartMs, apartMs);
    if (this.kernel.nowMs < this.knobs.faultsMs)
      this.kernel.schedule(CLOCK_LOOK_MS, undefined, 'oracle', () => this.#watchClocks());
  }

  #judgeSessions(): void {
    if (this.violations.list.length > 0) return;
    const lossyEpochs: Record<string, readonly number[]> = {};
    for (const { name } of this.knobs.namespaces) {
      const lossy = this.control.lease(name)?.lossy ?? [];
      lossyEpochs[name] = lossy.map(({ epoch }) => epoch);
    }
    const [finding] = judgeSessions({
      history: this.sessions.history,
      writes: this.clients.writes,
      archive: this.#archive,
      context: { lossyEpochs, clockExcessMs: Math.max(0, this.#clocksApartMs - CLOCK_BOUND_MS) },
    });
    if (finding !== undefined) this.violations.add(finding.oracle, finding.text);
  }

  /** Lossy promotions only where policy or person allowed them, and clean ones that were. */
  #judgePromotions(): void {
    for (const { name, lossy } of this.knobs.namespaces) {
      const lease = this.control.lease(name);
      this.#sync.judgeRecord(name, lease);
      if (lossy === 'refuse' && !this.nemesis.allowedLoss.has(name) && (lease?.lossy.length ?? 0) > 0)
        this.violations.add('sync', `a promotion of ${name} was lossy, which nobody allowed`);
    }
  }

  /** Regions without which the others can go on: not a hub, and nothing valid that nobody else has. */
  #chooseAway(): RegionMachine[] {
    const { knobs, regions, control } = this;
    const random = new SeededRandom(this.seed).fork('away');
    const away: RegionMachine[] = [];
    for (const machine of shuffled(regions, random)) {
      const left = regions.filter((other) => other !== machine && !away.includes(other));
      const needed = knobs.namespaces.some(({ name, promotable, acknowledge }) => {
        if (this.#isActive(name)) return false;
        const lease = control.lease(name);
        const others = promotable.filter((one) => one !== lease?.holder && left.some((other) => other.name === one));
        const enough = typeof acknowledge === 'number' ? acknowledge : 1;
        if (others.length < enough || (typeof acknowledge !== 'number' && acknowledge.includes(machine.name)))
          return true;
        return (
          lease === undefined ||
          lease.holder === machine.name ||
          !left.some((other) => promotable.includes(other.name)) ||
          !holdUpToSeals(lease, left.map(logOf)) ||
          !this.#holderIsWhole(lease)
        );
      });
      if (!needed && left.length >= 2 && random.chance(0.7)) away.push(machine);
    }
    return away;
  }

  #holderIsWhole(lease: PlainLease): boolean {
    const holder = this.regions.find(({ name }) => name === lease.holder);
    if (holder === undefined) return false;
    return holderIsWhole(lease, { log: logOf(holder), logId: holder.logId }, this.regions.map(logOf));
  }

  /** Time after now until all regions but those away agreed for good, and took writes. */
  async #converge(away: readonly RegionMachine[]): Promise<number | undefined> {
    const { kernel, knobs, violations } = this;
    const healedMs = kernel.nowMs;
    const present = this.regions.filter((machine) => !away.includes(machine));
    this.clients.reach(present);
    const deadlineMs = healedMs + knobs.healMsMax;
    const probes: WriteRecord[] = [];
    for (const { name } of knobs.namespaces)
      for (const machine of present) probes.push(this.clients.probe(name, machine, () => kernel.nowMs > deadlineMs));
    let left: readonly Shortcoming[] = [];
    let agreedMs: number | undefined;
    let wrongLooks = 0;
    while (kernel.nowMs < deadlineMs) {
      const fromMs = kernel.nowMs;
      for (const part of LOOKS_AT) {
        const end = await kernel.run({ untilMs: fromMs + part * LOOK_MS, eventsMax: EVENTS_MAX });
        if (end === 'stopped') return undefined;
        if (end === 'events') {
          violations.add('I14', `no end after ${EVENTS_MAX} events`);
          return undefined;
        }
        left = await this.#look(probes, present);
        if (left.every(({ oracle }) => LASTING.has(oracle))) break;
      }
      kernel.note('oracle', left.length === 0 ? 'all agree' : `not yet: ${left[0]?.text}`);
      wrongLooks = left.some(({ oracle }) => LASTING.has(oracle)) ? wrongLooks + 1 : 0;
      if (wrongLooks > WRONG_LOOKS_MAX) break;
      if (left.length > 0) agreedMs = undefined;
      else agreedMs ??= kernel.nowMs;
      if (agreedMs !== undefined && kernel.nowMs - agreedMs >= STAY_MS) return agreedMs - healedMs;
    }
    const after = (kernel.nowMs - healedMs).toFixed(0);
    for (const { oracle, text } of left) violations.add(oracle, `${after} ms after the heal: ${text}`);
    return undefined;
  }

  async #look(probes: readonly WriteRecord[], present: readonly RegionMachine[]): Promise<Shortcoming[]> {
    const found: Shortcoming[] = [];
    const regions: (readonly [string, RunningRegion])[] = [];
    for (const machine of present) {
      if (machine.running === undefined) found.push({ oracle: 'I14', text: `${machine.name} does not run` });
      else regions.push([machine.name, machine.running]);
    }
    for (const { namespace, ackedMs, name } of probes)
      if (ackedMs === undefined)
        found.push({
          oracle: 'I14',
          text: `${name}, a write of ${namespace} after the heal, is not acknowledged`,
        });
    if (this.clients.open > 0) found.push({ oracle: 'I14', text: `${this.clients.open} requests have no answer` });
    if (found.length > 0) return found;
    for (const [namespace, state] of this.#finalStates)
      found.push(...state.shortcomings(this.control.lease(namespace), regions, present.length === this.regions.length));
    if (present.length === this.regions.length)
      for (const text of this.#freshness.standingStill(this.kernel.nowMs)) found.push({ oracle: 'I14', text });
    if (found.length > 0) return found;
    for (const [name, { region, changeLog }] of regions) {
      const ledger = this.histories.find((history) => history.region === name)?.conflicts;
      for (const text of (await ledger?.shortcomings(region, changeLog)) ?? [])
        found.push({ oracle: 'I9', text: `${name}: ${text}` });
    }
    return found.length > 0 ? found : brokenAudits(regions);
  }

  #region(name: string, machine: RegionMachine): RegionMachine {
    const { knobs } = this;
    const history = new RegionHistory({
      region: name,
      kernel: this.kernel,
      archive: this.#archive,
      merge: this.#merge,
      violations: this.violations,
      wallMs: () => readWall(machine.wall, this.kernel.nowMs),
      freshness: this.#freshness,
      conflicts: new ConflictHistory({
        ...{ region: name, archive: this.#archive, views: this.#views, knobs, violations: this.violations },
      }),
      members: knobs.regions,
      seen: (stream) =>
        Math.max(this.control.reported(stream), ...this.regions.map((each) => logOf(each).head(stream).seq)),
      mayLeaveBehind:
        knobs.faults.kinds.includes('flip-log-bit') || knobs.namespaces.some(({ retention }) => retention.bytes < 1e9),
    });
    this.histories.push(history);
    machine.setup = {
      config: {
        region: name,
        place: name,
        peers: knobs.regions.filter((other) => other !== name),
        namespaces: knobs.namespaces.map(setupOf),
        views: this.#views,
        copyChunkBytes: knobs.copyChunkBytes,
      },
      controlDeadlineMs: knobs.controlDeadlineMs,
      history,
      mutant: this.#mutant,
      role: () => this.#roleOf(name),
      onLog: (event, _level, message) => {
        if (event === 'promotion-started') {
          this.#candidates.add(name);
          if (this.#candidates.size > 1) this.kernel.moment('two-candidates');
        } else if (event.startsWith('promotion-') || event === 'region-started') this.#candidates.delete(name);
        // What a silent peer alone held of its keys it cannot know (P10).
        if (event === 'incarnation-begun' && message.includes('without the word of')) this.#unheard.add(name);
        const state = event === 'rebuild-started' && message.includes('seal') ? 'rebuild-beyond-seal' : event;
        this.logEvents.set(state, (this.logEvents.get(state) ?? 0) + 1);
        if (FAULT_EVENTS.has(event)) this.violations.add('health', `${name} reports ${event}: ${message}`);
      },
      onFatal: (error, expected) => {
        if (!expected) this.violations.add('health', `${name} ends itself: ${describe(error)}`);
        this.nemesis.restartLater(machine);
      },
    };
    return machine;
  }

  #roleOf(name: string): CrashRole {
    if (this.#candidates.has(name)) return 'candidate';
    return this.knobs.namespaces.some((namespace) => this.control.lease(namespace.name)?.holder === name)
      ? 'hub'
      : 'replica';
  }

  /** The disks hold it; and, said by the hub itself at this moment, nobody has taken over, or it lies within the seal (I2). */
  #judgeAcknowledgement(write: WriteRecord, region: string, result: IngestResult): void {
    this.#sync.acknowledged(write, result, { atMs: this.kernel.nowMs, by: region });
    if (result.hub !== region || this.#isActive(write.namespace)) return;
    const lease = this.control.lease(write.namespace);
    for (const [stream, seq] of Object.entries(result.positions)) {
      const limit = limitOf(lease, stream);
      if (limit === 'open' && lease?.holder === region) continue;
      if (typeof limit === 'number' && seq <= limit) continue;
      this.violations.add(
        'I2',
        `${region} acknowledges ${write.name} at ${stream} ${seq}; the hub is ${lease?.holder} in epoch ${lease?.epoch}, limit ${limit}`,
      );
    }
  }

  #isActive(namespace: string): boolean {
    return this.knobs.namespaces.some(({ name, replication }) => name === namespace && replication === 'active-active');
  }

  /** A rejection that nobody handles would end a real process. */
  #watchRejections(): () => void {
    const before = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', (error) => {
      const owner = this.kernel.current;
      if (owner?.alive === false) return;
      this.violations.add('health', `${owner?.name ?? 'world'} leaves a rejection unhandled: ${describe(error)}`);
    });
    return () => {
      process.removeAllListeners('unhandledRejection');
      for (const listener of before) process.on('unhandledRejection', listener);
    };
  }
}

function describe(error: unknown): string {
  const known = toAntipodeError(error);
  const cause = known.cause instanceof AntipodeError || known.cause === undefined ? known : known.cause;
  return `${known.code} ${known.message}\n${cause instanceof Error ? cause.stack : ''}`;
}

export function simulate(options: SimulateOptions): Promise<SimReport> {
  return new Simulation(options).run();
}
