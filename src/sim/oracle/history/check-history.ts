import { lacks } from '#sim/oracle/history/rank';
import type {
  History,
  HistoryContext,
  HistoryFinding,
  ObservedValue,
  Operation,
  ReadOperation,
  WriteOperation,
  WrittenValue,
} from '#sim/oracle/history/types';

/** A value that later reads may have to show, or one that outranks it, and how it came to be known. */
interface Evidence {
  readonly operation: Operation;
  readonly completedMs: number;
  readonly value: WrittenValue | ObservedValue;
}

const NOTHING_KNOWN: HistoryContext = { lossyEpochs: {}, clockExcessMs: 0 };

/**
 * Checks a recorded history against what each level of consistency promises. A row is a register in which the greatest
 * rank stays, so a read is right when it shows what it must, or anything that outranks it (P9.2); for such a register
 * that, and no value from nowhere, is all that linearizability asks.
 */
export function checkHistory(history: History, context: HistoryContext = NOTHING_KNOWN): HistoryFinding[] {
  const index = new HistoryIndex(history);
  const findings: HistoryFinding[] = [];
  for (const read of history) {
    if (read.kind === 'write') findings.push(...causeBreaks(read, index));
    if (read.kind !== 'read' || read.outcome !== 'ok') continue;
    findings.push(...phantoms(read, index));
    if (read.stale) continue;
    if (read.level !== 'eventual' && read.session !== null) findings.push(...sessionBreaks(read, index));
    if (read.level === 'bounded') findings.push(...boundBreaks(read, index, context));
    if (read.level === 'strong') findings.push(...strongBreaks(read, index, context));
  }
  return findings;
}

/**
 * Every acknowledged write is in the end what its register holds, or outranked by it. `excused`: ids of writes that the
 * policy allowed to be lost, and that are listed as such somewhere.
 */
export function checkAcknowledged(
  history: History,
  final: { readonly region: string; readonly rows: ReadonlyMap<string, ObservedValue> },
  excused: ReadonlySet<string> = new Set(),
): HistoryFinding[] {
  const index = new HistoryIndex(history);
  const findings: HistoryFinding[] = [];
  for (const write of history) {
    if (write.kind !== 'write' || write.outcome !== 'ok' || excused.has(write.id)) continue;
    for (const change of write.changes) {
      const seen = final.rows.get(change.register) ?? { register: change.register, value: null, rank: null };
      if (!lacks(seen, change, index.mayBeDeleted(change.register, Number.POSITIVE_INFINITY))) continue;
      const text = `${write.id} was acknowledged; in the end ${final.region} holds ${show(seen)} in ${change.register}, not ${show(change)}`;
      findings.push({ promise: 'acknowledged', text });
    }
  }
  return findings;
}

/** What is known of each register, in the order in which it was known. */
class HistoryIndex {
  readonly #writers = new Map<string, WriteOperation>();
  readonly #deletes = new Map<string, number>();
  readonly #acknowledged = new Map<string, Evidence[]>();
  readonly #strong = new Map<string, Evidence[]>();
  readonly #sessions = new Map<string, Evidence[]>();
  readonly #allOfSession = new Map<string, Evidence[]>();

  constructor(history: History) {
    const byCompletion = [...history].sort((a, b) => (a.completedMs ?? Infinity) - (b.completedMs ?? Infinity));
    for (const operation of byCompletion) {
      if (operation.kind === 'write') this.#write(operation);
      else this.#read(operation);
    }
  }

  writer(register: string, value: string): WriteOperation | undefined {
    return this.#writers.get(`${register}\n${value}`);
  }

  /** Whether a delete that was begun by then may have emptied the register. */
  mayBeDeleted(register: string, byMs: number): boolean {
    return (this.#deletes.get(register) ?? Number.POSITIVE_INFINITY) <= byMs;
  }

  /** Acknowledged writes of the register, the earliest first. */
  acknowledged(register: string): readonly Evidence[] {
    return this.#acknowledged.get(register) ?? [];
  }

  /** What strong reads found in the register, the earliest first. */
  strong(register: string): readonly Evidence[] {
    return this.#strong.get(register) ?? [];
  }

  /** What a session wrote to the register or read from it, the earliest first. */
  ofSession(session: string, register: string): readonly Evidence[] {
    return this.#sessions.get(`${session}\n${register}`) ?? [];
  }

  /** Everything that a session wrote or read, the earliest first. */
  allOfSession(session: string): readonly Evidence[] {
    return this.#allOfSession.get(session) ?? [];
  }

  #write(write: WriteOperation): void {
    if (write.outcome === 'refused') return;
    for (const value of write.changes) {
      const { register } = value;
      if (value.value !== null) this.#writers.set(`${register}\n${value.value}`, write);
      else this.#deletes.set(register, Math.min(write.invokedMs, this.#deletes.get(register) ?? Infinity));
      if (write.outcome !== 'ok' || write.completedMs === null) continue;
      const evidence = { operation: write, completedMs: write.completedMs, value };
      add(this.#acknowledged, register, evidence);
      this.#ofSession(write.session, register, evidence);
    }
  }

  #read(read: ReadOperation): void {
    if (read.outcome !== 'ok' || read.completedMs === null) return;
    for (const row of read.rows) {
      // A value read without its whole rank has the one its writer gave it.
      const written = row.value === null ? undefined : this.#rankOf(row.register, row.value);
      const value = row.rank === null || row.rank.order === null ? { ...row, rank: written ?? row.rank } : row;
      const evidence = { operation: read, completedMs: read.completedMs, value };
      if (read.level === 'strong' && !read.stale) add(this.#strong, row.register, evidence);
      this.#ofSession(read.session, row.register, evidence);
    }
  }

  #ofSession(session: string | null, register: string, evidence: Evidence): void {
    if (session === null) return;
    add(this.#sessions, `${session}\n${register}`, evidence);
    add(this.#allOfSession, session, evidence);
  }

  #rankOf(register: string, value: string) {
    const change = this.writer(register, value)?.changes.find(
      (each) => each.register === register && each.value === value,
    );
    return change?.rank;
  }
}

/**
 * What a session writes is stamped above all that it had seen or written before: at one event time the later write of a
 * session wins, in whatever region it is made.
 */
function causeBreaks(write: WriteOperation, index: HistoryIndex): HistoryFinding[] {
  if (write.outcome !== 'ok' || write.session === null) return [];
  const findings: HistoryFinding[] = [];
  for (const change of write.changes) {
    const { order } = change.rank;
    if (order === null) continue;
    const cause = index
      .allOfSession(write.session)
      .find(
        ({ operation, completedMs, value }) =>
          operation !== write && completedMs <= write.invokedMs && (value.rank?.order ?? '') >= order,
      );
    if (cause === undefined) continue;
    const text = `${write.id} is stamped ${show(change)}, not above ${show(cause.value)} that its session had from ${cause.operation.id}`;
    findings.push({ promise: 'causal', text });
  }
  return findings;
}

function phantoms(read: ReadOperation, index: HistoryIndex): HistoryFinding[] {
  const findings: HistoryFinding[] = [];
  for (const row of read.rows) {
    if (row.value === null) continue;
    const writer = index.writer(row.register, row.value);
    if (writer !== undefined && writer.invokedMs <= (read.completedMs ?? Infinity)) continue;
    const text = `${read.id} at ${read.region} finds ${show(row)} in ${row.register}, which nobody had written`;
    findings.push({ promise: 'no-phantom', text });
  }
  return findings;
}

function sessionBreaks(read: ReadOperation, index: HistoryIndex): HistoryFinding[] {
  return breaks(read, index, 'session', (row) =>
    index.ofSession(read.session ?? '', row.register).filter(({ completedMs }) => completedMs <= read.invokedMs),
  );
}

function boundBreaks(read: ReadOperation, index: HistoryIndex, context: HistoryContext): HistoryFinding[] {
  const dueMs = read.invokedMs - (read.maxStalenessMs ?? 0) - context.clockExcessMs;
  return breaks(read, index, 'bounded', (row) =>
    index
      .acknowledged(row.register)
      .filter(({ completedMs, operation }) => completedMs <= dueMs && !waived(operation, read, context)),
  );
}

function strongBreaks(read: ReadOperation, index: HistoryIndex, context: HistoryContext): HistoryFinding[] {
  return breaks(read, index, 'strong', (row) =>
    [...index.acknowledged(row.register), ...index.strong(row.register)].filter(
      ({ completedMs, operation }) => completedMs <= read.invokedMs && !waived(operation, read, context),
    ),
  );
}

function breaks(
  read: ReadOperation,
  index: HistoryIndex,
  promise: HistoryFinding['promise'],
  required: (row: ObservedValue) => readonly Evidence[],
): HistoryFinding[] {
  const findings: HistoryFinding[] = [];
  for (const row of read.rows) {
    const deleted = index.mayBeDeleted(row.register, read.completedMs ?? Infinity);
    const missed = required(row).find(({ value }) => lacks(row, value, deleted));
    if (missed === undefined) continue;
    const { operation, value } = missed;
    const how = operation.kind === 'write' ? 'acknowledged' : 'read';
    const text = `${read.id} (${read.level}, ${read.region}, ${read.invokedMs.toFixed(0)} ms) finds ${show(row)} in ${row.register}, but ${operation.id} at ${operation.region} had ${how} ${show(value)} at ${missed.completedMs.toFixed(0)} ms`;
    findings.push({ promise, text });
  }
  return findings;
}

/** A lossy end of an epoch lies between the two. */
function waived(earlier: Operation, read: ReadOperation, { lossyEpochs }: HistoryContext): boolean {
  const { epoch } = earlier;
  const later = read.epoch;
  const lossy = Object.hasOwn(lossyEpochs, read.namespace) ? (lossyEpochs[read.namespace] ?? []) : [];
  if (lossy.length === 0) return false;
  // Without the epochs it cannot be told on which side of the loss the two stand.
  if (epoch === null || later === null) return true;
  return lossy.some((closed) => epoch <= closed && closed < later);
}

function show({ value, rank }: ObservedValue | WrittenValue): string {
  const what = value === null ? 'nothing' : JSON.stringify(value);
  return rank === null ? what : `${what} of ${rank.eventTimeUs}${rank.order === null ? '' : `/${rank.order}`}`;
}

function add<T>(map: Map<string, T[]>, key: string, item: T): void {
  const held = map.get(key);
  if (held === undefined) map.set(key, [item]);
  else held.push(item);
}
