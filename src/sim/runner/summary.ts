import { sha256Hex } from '#core/hash';
import type { SimReport } from '#sim/report';
import type { LostRun } from '#sim/runner/pool';
import { SOMETIMES } from '#sim/sometimes';

export interface Failure {
  readonly seed: number;
  readonly oracle: string;
  readonly text: string;
  readonly replay: string;
}

/** Sums over many runs; the order in which they are added does not matter. */
export class Summary {
  seeds = 0;
  readonly #cpuBefore = process.cpuUsage();
  readonly failed: Failure[] = [];
  readonly #hashes = new Map<number, string>();
  #virtualMs = 0;
  #events = 0;
  #ackedWrites = 0;
  #appliedChanges = 0;
  #conflicts = 0;
  #epochs = 0;
  #lossy = 0;
  #lostLogWrites = 0;
  #convergedMsMax = 0;
  readonly #faults = new Map<string, number>();
  readonly #states = new Map<string, number>();
  readonly #outcomes = new Map<string, number>();
  readonly #sometimes = new Map<string, number>(SOMETIMES.map(({ name }) => [name, 0]));

  add(report: SimReport, replay: string): void {
    this.seeds++;
    this.#virtualMs += report.virtualMs;
    this.#events += report.events;
    this.#ackedWrites += report.ackedWrites;
    this.#appliedChanges += report.appliedChanges;
    this.#conflicts += report.conflicts;
    this.#epochs += report.epochs;
    this.#lossy += report.lossyFailovers;
    this.#lostLogWrites += report.lostLogWrites;
    this.#hashes.set(report.seed, report.traceHash);
    this.#convergedMsMax = Math.max(this.#convergedMsMax, report.convergedMs ?? 0);
    for (const [into, from] of [
      [this.#faults, report.faults],
      [this.#states, report.states],
      [this.#outcomes, report.outcomes],
    ] as const)
      for (const [name, count] of Object.entries(from)) into.set(name, (into.get(name) ?? 0) + count);
    for (const { name, count } of SOMETIMES)
      this.#sometimes.set(name, (this.#sometimes.get(name) ?? 0) + count(report));
    for (const { oracle, text } of report.violations) this.failed.push({ seed: report.seed, oracle, text, replay });
  }

  /** A run without an end is a failure like others. */
  addLost(lost: LostRun, replay: string): void {
    this.seeds++;
    this.failed.push({ seed: lost.seed, oracle: 'health', text: `the run was lost: ${lost.reason}`, replay });
  }

  /** One line while runs go on. */
  get brief(): string {
    return `${this.#ackedWrites} acknowledged writes, ${total(this.#faults)} faults, ${this.#epochs} failovers, ${this.failedSeeds.length} failed seeds`;
  }

  get failedSeeds(): number[] {
    return [...new Set(this.failed.map(({ seed }) => seed))].sort((a, b) => a - b);
  }

  toJSON(elapsedMs: number) {
    const missed = [...this.#sometimes].filter(([, count]) => count === 0).map(([name]) => name);
    const cpu = process.cpuUsage(this.#cpuBefore);
    const hashes = [...this.#hashes].sort(([a], [b]) => a - b);
    return {
      seeds: this.seeds,
      violations: [...this.failed].sort((a, b) => a.seed - b.seed),
      elapsedMs: Math.round(elapsedMs),
      seedsPerSecond: Number(((this.seeds / elapsedMs) * 1000).toFixed(2)),
      eventsPerSecond: Math.round((this.#events / elapsedMs) * 1000),
      cpuMsPerSeed: Math.round((cpu.user + cpu.system) / 1000 / Math.max(1, this.seeds)),
      virtualHours: Number((this.#virtualMs / 3_600_000).toFixed(2)),
      events: this.#events,
      ackedWrites: this.#ackedWrites,
      appliedChanges: this.#appliedChanges,
      conflicts: this.#conflicts,
      failovers: this.#epochs,
      lossyFailovers: this.#lossy,
      lostLogWrites: this.#lostLogWrites,
      convergedMsMax: Math.round(this.#convergedMsMax),
      faults: total(this.#faults),
      faultsByKind: Object.fromEntries([...this.#faults].sort()),
      rareStates: Object.fromEntries(this.#sometimes),
      sometimes: { declared: SOMETIMES.length, reached: SOMETIMES.length - missed.length, missed },
      engineEvents: Object.fromEntries([...this.#states].sort()),
      outcomes: Object.fromEntries([...this.#outcomes].sort()),
      traceHash: sha256Hex(hashes.map(([seed, hash]) => `${seed}:${hash}`).join(' ')).slice(0, 16),
    };
  }

  text(elapsedMs: number): string {
    const { violations: _, ...rest } = this.toJSON(elapsedMs);
    const lines = Object.entries(rest).map(
      ([name, value]) => `${name.padEnd(16)} ${typeof value === 'object' ? JSON.stringify(value) : value}`,
    );
    const seeds = this.failedSeeds;
    return [...lines, `failed seeds     ${seeds.length === 0 ? 'none' : seeds.join(' ')}`].join('\n');
  }
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}
