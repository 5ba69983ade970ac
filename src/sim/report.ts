import type { SimKernel } from '#sim/kernel/kernel';
import type { HealMode, Knobs } from '#sim/knobs';
import type { ControlMachine } from '#sim/machine/control-machine';
import type { RegionMachine } from '#sim/machine/region-machine';
import type { Nemesis } from '#sim/nemesis/nemesis';
import type { RegionHistory } from '#sim/oracle/region-history';
import type { Violation, Violations } from '#sim/oracle/violations';
import type { Clients } from '#sim/workload/clients';
import { ackedChanges } from '#sim/workload/write-record';

export interface SimReport {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly virtualMs: number;
  readonly events: number;
  readonly traceHash: string;
  readonly requests: number;
  readonly ackedWrites: number;
  readonly ackedChanges: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly epochs: number;
  readonly lossyFailovers: number;
  /** Changes applied to the stores of all regions. */
  readonly appliedChanges: number;
  /** Concurrent pairs of values that met in the stores of all regions. */
  readonly conflicts: number;
  /** Writes that lay in no fsync at a crash. */
  readonly lostLogWrites: number;
  /** Time from the heal until all agreed, ms. */
  readonly convergedMs: number | undefined;
  /** Events of the engines' logs, by name. */
  readonly states: Readonly<Record<string, number>>;
  readonly mode: HealMode;
  readonly regions: number;
  readonly namespaces: number;
  /** Rare states that the simulator itself saw, by name. */
  readonly moments: Readonly<Record<string, number>>;
  /** How often machines passed each labelled point, by role and label; only where it was asked for. */
  readonly points?: Readonly<Record<string, number>>;
  /** A machine died at the point that was asked for. */
  readonly crashed: boolean;
}

/** The parts of a simulation that a report is made of. */
interface Reported {
  readonly seed: number;
  readonly knobs: Knobs;
  readonly kernel: SimKernel;
  readonly control: ControlMachine;
  readonly regions: readonly RegionMachine[];
  readonly histories: readonly RegionHistory[];
  readonly clients: Clients;
  readonly nemesis: Nemesis;
  readonly violations: Violations;
  readonly logEvents: ReadonlyMap<string, number>;
  readonly pointCounts: ReadonlyMap<string, number>;
  readonly wantsPoints: boolean;
  readonly crashed: boolean;
}

export function makeReport(
  sim: Reported,
  times: { readonly healedMs: number; readonly convergedMs: number | undefined },
): SimReport {
  const leases = sim.knobs.namespaces.map(({ name }) => sim.control.lease(name));
  const acked = sim.clients.writes.filter(({ ackedMs }) => ackedMs !== undefined);
  return {
    seed: sim.seed,
    violations: sim.violations.list,
    virtualMs: sim.kernel.nowMs,
    events: sim.kernel.events,
    traceHash: sim.kernel.trace.hash,
    requests: sim.clients.writes.reduce((sum, { attempts }) => sum + attempts, 0),
    ackedWrites: acked.length,
    ackedChanges: acked.reduce((sum, write) => sum + ackedChanges(write).length, 0),
    outcomes: Object.fromEntries([...sim.clients.outcomes].sort()),
    faults: Object.fromEntries([...sim.nemesis.counts].sort()),
    epochs: leases.reduce((sum, lease) => sum + (lease?.epoch ?? 1) - 1, 0),
    lossyFailovers: leases.reduce((sum, lease) => sum + (lease?.lossy.length ?? 0), 0),
    appliedChanges: sim.histories.reduce((sum, history) => sum + history.appliedChanges, 0),
    conflicts: sim.histories.reduce((sum, history) => sum + history.conflicts.concurrent, 0),
    lostLogWrites: sim.regions.reduce((sum, region) => sum + region.lostWrites, 0),
    convergedMs: times.convergedMs,
    states: Object.fromEntries([...sim.logEvents].sort()),
    mode: sim.knobs.mode,
    regions: sim.regions.length,
    namespaces: sim.knobs.namespaces.length,
    moments: Object.fromEntries([...sim.kernel.moments].sort()),
    ...(sim.wantsPoints ? { points: Object.fromEntries([...sim.pointCounts].sort()) } : {}),
    crashed: sim.crashed,
  };
}
