import { sha256Hex } from '#core/hash';
import type { SimReport } from '#sim/report';

/** Sums over many runs. */
export class Summary {
  seeds = 0;
  readonly failed: { readonly seed: number; readonly oracle: string; readonly text: string }[] = [];
  #virtualMs = 0;
  #events = 0;
  #ackedWrites = 0;
  #appliedChanges = 0;
  #epochs = 0;
  #lossy = 0;
  #lostLogWrites = 0;
  #hashes = '';
  #convergedMsMax = 0;
  readonly #faults = new Map<string, number>();
  readonly #states = new Map<string, number>();
  readonly #outcomes = new Map<string, number>();

  add(report: SimReport): void {
    this.seeds++;
    this.#virtualMs += report.virtualMs;
    this.#events += report.events;
    this.#ackedWrites += report.ackedWrites;
    this.#appliedChanges += report.appliedChanges;
    this.#epochs += report.epochs;
    this.#lossy += report.lossyFailovers;
    this.#lostLogWrites += report.lostLogWrites;
    this.#hashes += report.traceHash;
    this.#convergedMsMax = Math.max(this.#convergedMsMax, report.convergedMs ?? 0);
    for (const [into, from] of [
      [this.#faults, report.faults],
      [this.#states, report.states],
      [this.#outcomes, report.outcomes],
    ] as const)
      for (const [name, count] of Object.entries(from)) into.set(name, (into.get(name) ?? 0) + count);
    for (const { oracle, text } of report.violations) this.failed.push({ seed: report.seed, oracle, text });
  }

  toJSON(elapsedMs: number) {
    return {
      seeds: this.seeds,
      violations: this.failed,
      elapsedMs: Math.round(elapsedMs),
      seedsPerSecond: Number(((this.seeds / elapsedMs) * 1000).toFixed(2)),
      eventsPerSecond: Math.round((this.#events / elapsedMs) * 1000),
      virtualHours: Number((this.#virtualMs / 3_600_000).toFixed(2)),
      events: this.#events,
      ackedWrites: this.#ackedWrites,
      appliedChanges: this.#appliedChanges,
      failovers: this.#epochs,
      lossyFailovers: this.#lossy,
      lostLogWrites: this.#lostLogWrites,
      convergedMsMax: Math.round(this.#convergedMsMax),
      faults: [...this.#faults.values()].reduce((sum, count) => sum + count, 0),
      faultsByKind: Object.fromEntries([...this.#faults].sort()),
      rareStates: Object.fromEntries([...this.#states].sort()),
      outcomes: Object.fromEntries([...this.#outcomes].sort()),
      traceHash: sha256Hex(this.#hashes).slice(0, 16),
    };
  }

  text(elapsedMs: number): string {
    const { violations, ...rest } = this.toJSON(elapsedMs);
    const lines = Object.entries(rest).map(
      ([name, value]) => `${name.padEnd(16)} ${typeof value === 'object' ? JSON.stringify(value) : value}`,
    );
    const seeds = [...new Set(violations.map(({ seed }) => seed))];
    return [...lines, `failed seeds     ${seeds.length === 0 ? 'none' : seeds.join(' ')}`].join('\n');
  }
}
