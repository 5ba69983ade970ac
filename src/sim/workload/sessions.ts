import { greatestReadingOf } from '#core/codec/stored-reading';
import { readStored } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { toAntipodeError } from '#core/errors';
import type { ReadFallback } from '#core/model/read-policy';
import { EMPTY_TOKEN, mergeTokens, type SessionToken } from '#core/model/session-token';
import { stampLength } from '#core/model/stamp';
import { compareHlc, type Hlc } from '#core/time/hlc';
import type { IngestRequest, IngestResult, ReadRowsRequest, ReadRowsResult } from '#region/engine-api';
import type { Region } from '#region/region';
import type { SimKernel } from '#sim/kernel/kernel';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { RegionMachine } from '#sim/machine/region-machine';
import { EPOCH_MS } from '#sim/machine/sim-clock';
import type { ObservedValue, Operation, ReadOperation, WriteOperation } from '#sim/oracle/history/types';
import type { ClientOutcomes } from '#sim/workload/clients';
import type { SessionKnobs } from '#sim/workload/session-knobs';
import type { WriteRecord } from '#sim/workload/write-record';

const FALLBACKS: readonly ReadFallback[] = ['forward', 'forward', 'stale', 'refuse'];
/** Answers after which a write certainly did nothing. */
const REFUSED = new Set(['NO_HUB', 'NOT_HOLDER', 'CLOCK_SKEWED']);
/** Answers that a read may get: it was not what was asked for, and said so. */
const READ_REFUSALS = new Set([
  'STALE_READ',
  'SESSION_LOST',
  'REBUILDING',
  'CONTROL_UNAVAILABLE',
  'CONSISTENCY_UNSUPPORTED',
]);
/** Clock reading within the byte form of a stamp; what follows orders equal event times. */
const ORDER_AT = 8;

interface Session {
  name: string;
  token: SessionToken;
}

/** Operations that end without an answer may have been done, so they count as `unknown`. */
type Outcome<T> = { readonly result: T } | { readonly code: string | null };

/**
 * Clients with sessions that move between regions: each reads and writes one after the other, at every level, and hands the
 * token on. What they did and were told is a history for the checkers; nothing is judged here.
 */
export class Sessions {
  readonly #ended: Operation[] = [];
  /** Writes that have no answer yet; they may have been done. */
  readonly #pending = new Set<WriteOperation>();
  readonly #kernel: SimKernel;
  readonly #random: SeededRandom;
  readonly #knobs: SessionKnobs;
  readonly #codecs: readonly ViewCodec[];
  readonly #writes: WriteRecord[];
  readonly #timeoutMs: number;
  readonly #observer: ClientOutcomes;
  #regions: readonly RegionMachine[];
  #running = false;
  #next = 0;
  #open = 0;

  constructor(options: {
    kernel: SimKernel;
    random: SeededRandom;
    knobs: SessionKnobs;
    regions: readonly RegionMachine[];
    codecs: readonly ViewCodec[];
    /** Where all writes of a run are kept, for the oracles that judge what became of them. */
    writes: WriteRecord[];
    timeoutMs: number;
    observer: ClientOutcomes;
  }) {
    this.#kernel = options.kernel;
    this.#random = options.random;
    this.#knobs = options.knobs;
    this.#regions = options.regions;
    // A row is one register there, in which the greatest stamp stays, for good.
    this.#codecs = options.codecs.filter(
      ({ view }) => view.resolver.kind === 'last-writer-wins' && view.granularity === 'row' && view.ttlSeconds === null,
    );
    this.#writes = options.writes;
    this.#timeoutMs = options.timeoutMs;
    this.#observer = options.observer;
  }

  /** What was done so far, also without an answer. */
  get history(): Operation[] {
    return [...this.#ended, ...this.#pending];
  }

  get open(): number {
    return this.#open;
  }

  start(): void {
    this.#running = true;
    if (this.#codecs.length === 0) return;
    for (let i = 0; i < this.#knobs.count; i++) this.#later({ name: `s${i}`, token: EMPTY_TOKEN });
  }

  stop(): void {
    this.#running = false;
  }

  #later(session: Session): void {
    this.#kernel.schedule(this.#random.exponential(this.#knobs.intervalMs), undefined, 'session', () => {
      if (!this.#running) return;
      this.#open++;
      const done = (): void => {
        this.#open--;
        this.#later(session);
      };
      if (this.#random.chance(this.#knobs.writeShare)) this.#write(session, done);
      else this.#read(session, done);
    });
  }

  #write(session: Session, done: () => void): void {
    const random = this.#random;
    const codec = random.pick(this.#codecs);
    const name = `q${this.#next++}`;
    const id = `s${random.integer(this.#knobs.keys)}`;
    const step = this.#knobs.eventTimeStepMs;
    const eventTimeUs = Math.floor((EPOCH_MS + this.#kernel.nowMs) / step) * step * 1000;
    const deletes = random.chance(this.#knobs.deleteShare);
    const key = codec.encodeKey([id]);
    const change = deletes
      ? ({ operation: 'delete', eventTimeUs, key, row: Buffer.alloc(0) } as const)
      : ({ operation: 'upsert', eventTimeUs, key, row: codec.encodeRow([null, name]) } as const);
    const { namespace, name: view, version } = codec.view;
    const observed = compareHlc(session.token.hlc, EMPTY_TOKEN.hlc) > 0 ? session.token.hlc : undefined;
    const request: IngestRequest = { view, version, idempotencyKey: name, observed, changes: [change] };
    const machine = random.pick(this.#regions);
    const record: WriteRecord = {
      namespace,
      version,
      name,
      request,
      ackedMs: undefined,
      heldBack: new Set(),
      attempts: 1,
      firstAsked: machine.name,
      unknown: false,
    };
    this.#writes.push(record);
    const pending: WriteOperation = {
      kind: 'write',
      id: name,
      session: session.name,
      region: machine.name,
      namespace,
      invokedMs: this.#kernel.nowMs,
      completedMs: null,
      outcome: 'unknown',
      code: null,
      epoch: null,
      changes: [{ register: `${view}/${id}`, value: deletes ? null : name, rank: { eventTimeUs, order: null } }],
    };
    this.#pending.add(pending);
    this.#ask(
      machine,
      this.#timeoutMs,
      (region) => region.ingest(request),
      (outcome: Outcome<IngestResult>) => {
        const result = 'result' in outcome ? outcome.result : undefined;
        const code = 'result' in outcome ? null : outcome.code;
        const operation: WriteOperation = {
          ...pending,
          completedMs: code === null && result === undefined ? null : this.#kernel.nowMs,
          outcome: result !== undefined ? 'ok' : code !== null && REFUSED.has(code) ? 'refused' : 'unknown',
          code,
          epoch: result?.epoch ?? null,
        };
        this.#pending.delete(pending);
        this.#ended.push(operation);
        if (result !== undefined) {
          record.ackedMs = this.#kernel.nowMs;
          this.#observer.onAcknowledged(record, machine.name, result);
          const seen = { epoch: 0, streams: result.positions };
          session.token = mergeTokens(session.token, { hlc: result.hlc, namespaces: { [namespace]: seen } });
        }
        done();
      },
    );
  }

  #read(session: Session, done: () => void): void {
    const random = this.#random;
    const codec = random.pick(this.#codecs);
    const { namespace, name: view } = codec.view;
    const ids = Array.from({ length: 1 + random.integer(3) }, () => `s${random.integer(this.#knobs.keys)}`);
    const level = random.pick(this.#knobs.levels);
    const request: ReadRowsRequest = {
      namespace,
      level,
      keys: ids.map((id) => codec.rowKey(codec.encodeKey([id]))),
      seen: session.token.namespaces[namespace],
      maxStalenessMs: this.#knobs.maxStalenessMs,
      fallback: random.pick(FALLBACKS),
      budgetMs: this.#knobs.budgetMs,
    };
    const machine = random.pick(this.#regions);
    const invokedMs = this.#kernel.nowMs;
    const id = `r${this.#next++}`;
    this.#ask(
      machine,
      this.#timeoutMs,
      (region) => region.readRows(request),
      (outcome: Outcome<ReadRowsResult>) => {
        const result = 'result' in outcome ? outcome.result : undefined;
        const code = 'result' in outcome ? null : outcome.code;
        if (code !== null && !READ_REFUSALS.has(code))
          this.#observer.onAnomaly(`${machine.name} answers a read with ${code}`);
        const rows = result?.rows.map((row, place) => observed(codec, `${view}/${ids[place]}`, row)) ?? [];
        const operation: ReadOperation = {
          kind: 'read',
          id,
          session: session.name,
          region: result?.region ?? machine.name,
          namespace,
          invokedMs,
          completedMs: code === null && result === undefined ? null : this.#kernel.nowMs,
          outcome: result === undefined ? 'unknown' : 'ok',
          code,
          epoch: result?.epoch ?? null,
          level,
          maxStalenessMs: level === 'bounded' ? this.#knobs.maxStalenessMs : null,
          stale: result?.stale ?? false,
          rows,
        };
        this.#ended.push(operation);
        if (result !== undefined) {
          const hlc = result.rows.reduce<Hlc>((greatest, row) => {
            const reading = row === null ? greatest : greatestReadingOf(codec.view, row);
            return compareHlc(reading, greatest) > 0 ? reading : greatest;
          }, session.token.hlc);
          session.token = { hlc, namespaces: { ...session.token.namespaces, [namespace]: result.seen } };
        } else if (code === 'SESSION_LOST') {
          session.name = `${session.name}'`;
          session.token = EMPTY_TOKEN;
        }
        done();
      },
    );
  }

  /** One request to one region; `ended` is called once. */
  #ask<T>(
    machine: RegionMachine,
    timeoutMs: number,
    send: (region: Region) => Promise<T>,
    ended: (outcome: Outcome<T>) => void,
  ): void {
    const running = machine.running;
    if (running === undefined) {
      this.#kernel.schedule(1, undefined, 'no-connection', () => ended({ code: null }));
      return;
    }
    const { process, region } = running;
    let settled = false;
    const settle = (outcome: Outcome<T>): void => {
      if (settled) return;
      settled = true;
      process.deathWatchers.delete(onDeath);
      this.#kernel.cancel(timeout);
      ended(outcome);
    };
    const onDeath = (): void => {
      this.#kernel.schedule(1, undefined, 'connection-lost', () => settle({ code: null }));
    };
    process.deathWatchers.add(onDeath);
    const timeout = this.#kernel.schedule(timeoutMs, undefined, 'client-timeout', () => settle({ code: null }));
    process.after(this.#random.next(), 'session', () => {
      send(region).then(
        (result) => process.alive && settle({ result }),
        (caught: unknown) => process.alive && settle({ code: toAntipodeError(caught).code }),
      );
    });
  }
}

/** What a stored row says, with its whole rank. */
function observed(codec: ViewCodec, register: string, row: Buffer | null): ObservedValue {
  if (row === null) return { register, value: null, rank: null };
  const { live, values, eventTimeUs } = readStored(codec, row);
  const order = row.toString('hex', ORDER_AT, stampLength(row));
  return { register, value: live ? String(values[1]) : null, rank: { eventTimeUs, order } };
}
