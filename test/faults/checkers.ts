// Judges a recorded history. Pure: a history in, violations out. Knows the protocol's promises and none of its code.
import type { HistoryFinding } from '#sim/oracle/history/types';
import type { FinalLease, History, Level, ReadAttempt, WriteAttempt } from './history.ts';
import { findingsOf } from './operations.ts';

/** What the rounding of a header and of two clocks of one machine may differ by, ms. */
const ROUNDING_MS = 5;
/** How long a region may take from learning of a seal to serving nothing beyond it, ms: its state is written now and then. */
const SEAL_MS = 1_000;
const EXAMPLES_SHOWN = 5;
/** Checkers of this file by the names that those of simulated histories have for the same promises. */
const AS_SIMULATED: Readonly<Record<HistoryFinding['promise'], string>> = {
  'no-phantom': 'intact',
  causal: 'causal',
  session: 'session',
  bounded: 'bounded',
  strong: 'strong',
  acknowledged: 'acknowledged',
};

export interface Violation {
  readonly checker: string;
  readonly count: number;
  /** The first few, in words. */
  readonly examples: readonly string[];
}

export interface Verdict {
  readonly violations: readonly Violation[];
  /** How much each checker had to look at: one that looked at nothing has shown nothing. */
  readonly checked: Readonly<Record<string, number>>;
  /** Reads that were asked for and answered at each level. */
  readonly levels: Readonly<Record<Level, number>>;
}

/** One write with all its attempts. */
interface Write {
  readonly number: number;
  readonly key: number;
  readonly operation: WriteAttempt['operation'];
  readonly attempts: readonly WriteAttempt[];
  readonly invokedMs: number;
  /** When its first positive answer was read; Infinity when there was none. */
  readonly ackedMs: number;
  readonly refused: boolean;
  /**
   * When the first positive answer was read that names a place not beyond a seal: from then on readers are promised it.
   * Infinity when there was none: the write is a tail, or was one, and comes back by its replay.
   */
  readonly promisedMs: number;
}

class Finding {
  readonly #found = new Map<string, string[]>();
  readonly checked: Record<string, number> = {};

  /** Counts one thing looked at; `fault` describes what is wrong with it. */
  look(checker: string, fault?: string | false | undefined): void {
    this.checked[checker] = (this.checked[checker] ?? 0) + 1;
    if (fault === undefined || fault === false) return;
    const list = this.#found.get(checker) ?? [];
    list.push(fault);
    this.#found.set(checker, list);
  }

  violations(): Violation[] {
    return [...this.#found].map(([checker, list]) => ({
      checker,
      count: list.length,
      examples: list.slice(0, EXAMPLES_SHOWN),
    }));
  }
}

export function checkHistory(history: History): Verdict {
  const finding = new Finding();
  const [lease] = history.of('lease');
  const writes = writesOf(history.of('write'), lease);
  // A row that is answered as INVALID is no answer to anything: the region has found it damaged and says so.
  const reads = history.of('read').filter((read) => read.outcome === 'ok' && read.status !== 'INVALID');
  checkIntact(finding, reads, writes);
  checkEpochs(finding, history.of('write'), lease);
  const latest = new Promised(writes);
  checkSessions(finding, history, latest);
  checkFreshness(finding, reads, latest, history);
  checkEventual(finding, reads, writes, latest, history);
  checkBounded(finding, reads, latest, history);
  checkStrong(finding, reads, latest, writes);
  checkBeyondSeal(finding, reads, writes, history);
  checkFinal(finding, history, writes);
  checkAsSimulated(finding, history);
  return { violations: finding.violations(), checked: finding.checked, levels: levelsOf(reads) };
}

/** Reads that were answered at each level; those that ask for less than they got count as what they asked for. */
function levelsOf(reads: readonly ReadAttempt[]): Record<Level, number> {
  const levels: Record<Level, number> = { eventual: 0, session: 0, bounded: 0, strong: 0 };
  for (const { level, met } of reads) if (level === 'eventual' || level === met) levels[level] += 1;
  return levels;
}

function writesOf(attempts: readonly WriteAttempt[], lease: FinalLease | undefined): Map<number, Write> {
  const grouped = new Map<number, WriteAttempt[]>();
  for (const attempt of attempts) {
    const known = grouped.get(attempt.write);
    if (known === undefined) grouped.set(attempt.write, [attempt]);
    else known.push(attempt);
  }
  const writes = new Map<number, Write>();
  for (const [number, list] of grouped) {
    const ok = list.filter((attempt) => attempt.outcome === 'ok');
    writes.set(number, {
      number,
      key: list[0]!.key,
      operation: list[0]!.operation,
      attempts: list,
      invokedMs: Math.min(...list.map((attempt) => attempt.invokedMs)),
      ackedMs: Math.min(...ok.map((attempt) => attempt.completedMs)),
      refused: list.every((attempt) => attempt.outcome === 'refused'),
      promisedMs: Math.min(...ok.filter((attempt) => isValid(attempt, lease)).map((attempt) => attempt.completedMs)),
    });
  }
  return writes;
}

/** Whether all positions that an answer gave lie in open streams or below their seals. */
function isValid({ positions }: WriteAttempt, lease: FinalLease | undefined): boolean {
  if (positions === null || lease === undefined) return false;
  return Object.entries(positions).every(([stream, seq]) => {
    if (lease.streams.includes(stream)) return true;
    const seal = Object.values(lease.seals)
      .map((seals) => seals[stream])
      .find((each) => each !== undefined);
    return seal !== undefined && seq <= seal;
  });
}

/** What reads of a key have to show. */
class Promised {
  readonly #byKey = new Map<number, Write[]>();
  readonly #deletes = new Map<number, Write[]>();

  constructor(writes: ReadonlyMap<number, Write>) {
    for (const write of writes.values()) {
      if (write.operation === 'delete') this.#deletes.set(write.key, [...(this.#deletes.get(write.key) ?? []), write]);
      if (write.promisedMs === Infinity) continue;
      const list = this.#byKey.get(write.key);
      if (list === undefined) this.#byKey.set(write.key, [write]);
      else list.push(write);
    }
  }

  /** The write that a read shows. No row may be what any delete left that had begun by then: the greatest of them is assumed. */
  shownBy({ key, write, completedMs }: ReadAttempt): number {
    if (write !== null) return write;
    const deletes = (this.#deletes.get(key) ?? []).filter(({ invokedMs }) => invokedMs < completedMs);
    return Math.max(0, ...deletes.map(({ number }) => number));
  }

  /** The greatest promised write of a key that was acknowledged before a moment. */
  before(key: number, ms: number): Write | undefined {
    let found: Write | undefined;
    for (const write of this.#byKey.get(key) ?? [])
      if (write.promisedMs < ms && write.number > (found?.number ?? 0)) found = write;
    return found;
  }
}

/** I15, and more: a row that is read is byte by byte one that somebody wrote, to this key, before the answer. */
function checkIntact(finding: Finding, reads: readonly ReadAttempt[], writes: ReadonlyMap<number, Write>): void {
  for (const read of reads) {
    if (read.write === null) {
      finding.look('intact');
      continue;
    }
    const write = writes.get(read.write);
    const fault = !read.intact
      ? 'is not what its write sent'
      : write === undefined
        ? 'was never written'
        : write.key !== read.key
          ? `was written to key ${write.key}`
          : write.refused
            ? 'was refused'
            : write.invokedMs > read.completedMs && 'was read before it was written';
    finding.look('intact', fault && `${describe(read)}: write ${read.write} ${fault}`);
  }
}

/** P6: once a later epoch has acknowledged a write, a write that begins after that is never acknowledged in an earlier one. */
function checkEpochs(finding: Finding, attempts: readonly WriteAttempt[], lease: FinalLease | undefined): void {
  const epochs = new Map<string, number>();
  for (const stream of lease?.streams ?? []) epochs.set(stream, lease?.epoch ?? 0);
  for (const [epoch, seals] of Object.entries(lease?.seals ?? {}))
    for (const stream of Object.keys(seals)) epochs.set(stream, Number(epoch));
  const accepted = attempts
    // The answer of a repeated key names the place of the first try.
    .filter((attempt) => attempt.outcome === 'ok' && !attempt.duplicate && attempt.positions !== null)
    .map((attempt) => ({
      attempt,
      epoch: Math.max(...Object.keys(attempt.positions ?? {}).map((stream) => epochs.get(stream) ?? 0)),
    }));
  const byEnd = [...accepted].sort((a, b) => a.attempt.completedMs - b.attempt.completedMs);
  const byBegin = [...accepted].sort((a, b) => a.attempt.invokedMs - b.attempt.invokedMs);
  let at = 0;
  let latest: (typeof accepted)[number] | undefined;
  for (const each of byBegin) {
    for (; at < byEnd.length && byEnd[at]!.attempt.completedMs < each.attempt.invokedMs; at++)
      if (byEnd[at]!.epoch > (latest?.epoch ?? 0)) latest = byEnd[at];
    const late = latest !== undefined && each.epoch < latest.epoch;
    finding.look(
      'epochs',
      late &&
        `write ${each.attempt.write} was accepted under epoch ${each.epoch} by a request that began ${Math.round(each.attempt.invokedMs - (latest?.attempt.completedMs ?? 0))} ms after epoch ${latest?.epoch} had acknowledged write ${latest?.attempt.write}`,
    );
  }
}

/** P11.1: a session sees what it wrote and what it has read, or what outranks it. */
function checkSessions(finding: Finding, history: History, promised: Promised): void {
  const seen = new Map<string, number>();
  const attempts = history.lines
    .filter((line) => line.kind === 'write' || line.kind === 'read')
    .filter((line) => line.outcome === 'ok' && (line.kind === 'write' || line.status !== 'INVALID'))
    .sort((a, b) => a.completedMs - b.completedMs);
  for (const attempt of attempts) {
    const name = `${attempt.session} ${attempt.key}`;
    const before = seen.get(name) ?? 0;
    if (attempt.kind === 'read' && attempt.met === 'session') {
      const short = promised.shownBy(attempt) < before;
      finding.look('session', short && `${describe(attempt)}: ${attempt.session} had seen write ${before} before`);
    }
    if (attempt.token) seen.set(name, Math.max(before, attempt.write ?? 0));
  }
}

/** Once all is quiet and whole, any region shows the last acknowledged write of a key without being asked for more; all show the same. */
function checkEventual(
  finding: Finding,
  reads: readonly ReadAttempt[],
  writes: ReadonlyMap<number, Write>,
  promised: Promised,
  history: History,
): void {
  const [settled] = history.of('settled');
  if (settled === undefined) return;
  const winners = winnersOf(history, writes);
  const shown = new Map<number, ReadAttempt>();
  for (const read of reads) {
    if (read.level !== 'eventual' || read.invokedMs < settled.atMs) continue;
    const due = winners.get(read.key) ?? 0;
    const first = shown.get(read.key) ?? read;
    shown.set(read.key, first);
    const fault =
      promised.shownBy(read) < due
        ? `write ${due} was acknowledged, and all is settled`
        : read.write !== first.write && `${first.region} gave ${first.write}, and all is settled`;
    finding.look('eventual', fault && `${describe(read)}: ${fault}`);
  }
}

/** The last acknowledged write of each key that readers are promised in the end. */
function winnersOf(history: History, writes: ReadonlyMap<number, Write>): Map<number, number> {
  const tail = history.of('run')[0]?.tail;
  const regions = history.of('region');
  const winners = new Map<number, number>();
  for (const { number, key, ackedMs } of writes.values()) {
    const kept = regions.some(({ tails }) => (tails[number] ?? 0) > 0);
    if (ackedMs !== Infinity && (!kept || tail === 'replay')) winners.set(key, Math.max(winners.get(key) ?? 0, number));
  }
  return winners;
}

/** What the freshness header says is true: all that was acknowledged by then is there. */
function checkFreshness(finding: Finding, reads: readonly ReadAttempt[], promised: Promised, history: History): void {
  const slackMs = ROUNDING_MS + skewOf(history);
  for (const read of reads)
    if (read.freshnessMs !== null) judge(finding, 'freshness', read, promised, read.freshnessMs + slackMs);
}

/** P11.2. The bound counts the clocks' own bound in, so that only a skew beyond it must be allowed for, and none is. */
function checkBounded(finding: Finding, reads: readonly ReadAttempt[], promised: Promised, _history: History): void {
  for (const read of reads) {
    if (read.met === 'bounded' && !read.stale && read.maxStalenessMs !== null)
      judge(finding, 'bounded', read, promised, read.maxStalenessMs + ROUNDING_MS);
  }
}

/** P11.3: a strong read shows every write acknowledged before it began, and never less than an earlier strong read. */
function checkStrong(
  finding: Finding,
  reads: readonly ReadAttempt[],
  promised: Promised,
  writes: ReadonlyMap<number, Write>,
): void {
  const strong = reads.filter((read) => read.met === 'strong' && !read.stale);
  for (const read of strong) judge(finding, 'strong', read, promised, 0);
  const byEnd = [...strong].sort((a, b) => a.completedMs - b.completedMs);
  const latest = new Map<number, number>();
  let at = 0;
  for (const read of [...strong].sort((a, b) => a.invokedMs - b.invokedMs)) {
    for (; at < byEnd.length && byEnd[at]!.completedMs < read.invokedMs; at++) {
      const earlier = byEnd[at]!;
      // What no client was promised may go with its hub.
      if (earlier.write === null || writes.get(earlier.write)?.promisedMs === Infinity) continue;
      latest.set(earlier.key, Math.max(latest.get(earlier.key) ?? 0, earlier.write));
    }
    const before = latest.get(read.key) ?? 0;
    finding.look(
      'strong',
      promised.shownBy(read) < before && `${describe(read)}: an earlier strong read showed write ${before}`,
    );
  }
}

function judge(finding: Finding, checker: string, read: ReadAttempt, promised: Promised, ageMs: number): void {
  const due = promised.before(read.key, read.invokedMs - ageMs);
  const short = due !== undefined && promised.shownBy(read) < due.number;
  finding.look(
    checker,
    short &&
      `${describe(read)}: write ${due.number} was acknowledged ${Math.round(read.invokedMs - due.promisedMs)} ms before it began, and ${Math.round(ageMs)} ms may be missing`,
  );
}

/** What the checkers of simulated histories say: they know less of tails, and more of what is between two reads. */
function checkAsSimulated(finding: Finding, history: History): void {
  for (const { promise, text } of findingsOf(history)) finding.look(AS_SIMULATED[promise], text);
}

/** P5.3: a region that knows a seal serves nothing beyond it, neither to readers nor in the end. */
function checkBeyondSeal(
  finding: Finding,
  reads: readonly ReadAttempt[],
  writes: ReadonlyMap<number, Write>,
  history: History,
): void {
  const regions = history.of('region');
  const isTail = (number: number): boolean =>
    regions.some(({ tails }) => (tails[number] ?? 0) > 0) && regions.every(({ valid }) => (valid[number] ?? 0) === 0);
  const epochOf = new Map<string, number>();
  const [lease] = history.of('lease');
  for (const [epoch, seals] of Object.entries(lease?.seals ?? {}))
    for (const stream of Object.keys(seals)) epochOf.set(stream, Number(epoch));
  const knewSince = new Map<string, number>();
  for (const read of [...reads].sort((a, b) => a.completedMs - b.completedMs)) {
    const known = Number(read.headers['antipode-epoch'] ?? 0);
    const place = read.headers['antipode-read-in'] ?? read.region;
    const name = `${place} ${known}`;
    if (!knewSince.has(name)) knewSince.set(name, read.completedMs);
    const positions = writes.get(read.write ?? 0)?.attempts.find((attempt) => attempt.positions !== null)?.positions;
    const epoch = Math.max(0, ...Object.keys(positions ?? {}).map((stream) => epochOf.get(stream) ?? 0));
    const since = Math.min(...[...knewSince].filter(([each]) => isLater(each, place, epoch)).map(([, ms]) => ms));
    const late = epoch > 0 && read.invokedMs - since > SEAL_MS && isTail(read.write ?? 0);
    finding.look(
      'beyond-seal',
      late &&
        `${describe(read)}, which lies beyond the seal of epoch ${epoch}, known there for ${Math.round(read.invokedMs - since)} ms`,
    );
  }
  for (const { region, served } of regions) {
    for (const [key, number] of Object.entries(served))
      finding.look(
        'beyond-seal',
        isTail(number) && `${region} serves write ${number} of key ${key}, which is only a tail`,
      );
  }
}

/** Whether `<region> <epoch>` names the region and a later epoch. */
function isLater(name: string, region: string, epoch: number): boolean {
  const [of, known] = name.split(' ');
  return of === region && Number(known) > epoch;
}

function checkFinal(finding: Finding, history: History, writes: ReadonlyMap<number, Write>): void {
  const [run] = history.of('run');
  const regions = history.of('region');
  const [first] = regions;
  if (first === undefined || run === undefined) return;
  for (const { region, rows } of regions.slice(1)) {
    const different = [...new Set([...Object.keys(rows), ...Object.keys(first.rows)])].filter(
      (key) => rows[key] !== first.rows[key],
    );
    finding.look(
      'identical',
      different.length > 0 &&
        `${region} and ${first.region} differ in ${different.length} rows, such as ${different[0]}`,
    );
  }
  for (const { region, valid } of regions) {
    for (const [number, times] of Object.entries(valid)) {
      finding.look('once', times > 1 && `${region} holds write ${number} ${times} times`);
      const write = writes.get(Number(number));
      const stranger = write === undefined ? 'nobody sent it' : write.refused && 'every attempt was refused';
      finding.look('refused', stranger && `${region} holds write ${number}, and ${stranger}`);
    }
  }
  for (const write of writes.values()) {
    if (write.ackedMs === Infinity) continue;
    const kept = regions.some(({ tails }) => (tails[write.number] ?? 0) > 0);
    for (const { region, valid } of regions) {
      const there = (valid[write.number] ?? 0) > 0 || (kept && run.tail === 'keep');
      finding.look('acknowledged', !there && `write ${write.number}, acknowledged, is not in ${region}`);
    }
  }
  const winners = winnersOf(history, writes);
  for (const { region, served } of regions) {
    for (const [key, number] of winners) {
      const row = served[key] ?? 0;
      finding.look('acknowledged', row < number && `${region} serves write ${row} of key ${key}, not ${number}`);
    }
  }
}

function skewOf(history: History): number {
  return history.of('run')[0]?.clockSkewMs ?? 0;
}

function describe(read: ReadAttempt): string {
  const level: Level = read.met ?? read.level;
  return `${level} read of key ${read.key} in ${read.region} at ${Math.round(read.invokedMs)} ms gave ${read.write === null ? 'no row' : `write ${read.write}`}`;
}
