import { AntipodeError, toAntipodeError } from '#core/errors';
import { coverOf, judgeSeen, type SeenVerdict, type Shown, shownBy } from '#core/model/seen';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import type { OnlineStore } from '#ports/online-store';
import type { Applier } from '#region/apply/applier';
import { READ_KEYS_MAX, type ReadRowsRequest, type ReadRowsResult } from '#region/engine-api';
import type { HolderGate } from '#region/ingest/holder-gate';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';
import { packFrames, unpackFrames } from '#region/replicate/wire';
import type { Confirmed, EpochConfirmation } from '#region/serve/epoch-confirmation';

/** How often a waiting read looks again, ms. */
const LOOK_MS = 10;
/** Most bytes of rows in one forwarded answer, and of keys in its request. */
export const FORWARDED_BYTES_MAX = 8 * 1024 * 1024;

export interface ReadNamespace {
  readonly log: NamespaceLog;
  readonly gate: HolderGate;
  /** Undefined where no region alone accepts writes: then there are no strong reads. */
  readonly confirmation: EpochConfirmation | undefined;
  /** Resolves when these positions of the open streams are as durable as what the namespace acknowledges must be. */
  readonly settled?: ((positions: Readonly<Record<StreamKey, number>>) => Promise<void>) | undefined;
}

/** How fresh a namespace is here: up to when everything is here, by the watermarks and with the clock bound, ms. */
export interface Freshness {
  readonly anchorMs: number | null;
  /** The same if clocks are as far apart as they may be. */
  readonly certainAnchorMs: number | null;
}

/** What this region lacks for a read. */
interface Lack {
  readonly reason: string;
  /** Regions that are likely to have it, the likeliest first. */
  readonly elsewhere: readonly string[];
  /** Waiting here may help. */
  readonly passes: boolean;
}

type Attempt = { readonly result: ReadRowsResult } | { readonly lack: Lack };

/**
 * Reads at a level of consistency (P11). A read that this region cannot answer waits here, then goes to a region that can,
 * all within its budget; what becomes of it then is the caller's choice. A read that came from another region is answered
 * here or not at all.
 */
export class RowReads {
  readonly #region: string;
  readonly #clock: Clock;
  readonly #store: OnlineStore;
  readonly #applier: Applier;
  readonly #peers: Peers;
  readonly #namespaces: ReadonlyMap<string, ReadNamespace>;
  readonly #freshness: (namespace: string) => Freshness;

  constructor(options: {
    region: string;
    clock: Clock;
    store: OnlineStore;
    applier: Applier;
    peers: Peers;
    namespaces: ReadonlyMap<string, ReadNamespace>;
    freshness: (namespace: string) => Freshness;
  }) {
    this.#region = options.region;
    this.#clock = options.clock;
    this.#store = options.store;
    this.#applier = options.applier;
    this.#peers = options.peers;
    this.#namespaces = options.namespaces;
    this.#freshness = options.freshness;
  }

  async read(request: ReadRowsRequest): Promise<ReadRowsResult> {
    const namespace = this.#namespaces.get(request.namespace);
    if (namespace === undefined)
      throw new AntipodeError('VIEW_NOT_FOUND', `namespace ${request.namespace} is not configured here`);
    if (request.keys.length > READ_KEYS_MAX)
      throw new AntipodeError('REQUEST_TOO_LARGE', `${request.keys.length} rows in one read, at most ${READ_KEYS_MAX}`);
    if (request.level === 'strong' && namespace.confirmation === undefined)
      throw new AntipodeError(
        'CONSISTENCY_UNSUPPORTED',
        `every region accepts writes of ${request.namespace}: none of them can tell what is the latest`,
      );
    const deadlineMs = this.#clock.monotonicMs() + request.budgetMs;
    let attempt = await this.#attempt(namespace, request, deadlineMs);
    // Half of the budget is for waiting here: what is on its way is mostly here before another region could answer.
    const waitUntilMs = request.fallback === 'refuse' ? deadlineMs : deadlineMs - request.budgetMs / 2;
    while ('lack' in attempt && attempt.lack.passes && this.#clock.monotonicMs() + LOOK_MS < waitUntilMs) {
      await this.#clock.sleep(LOOK_MS);
      attempt = await this.#attempt(namespace, request, deadlineMs);
    }
    if ('result' in attempt) return attempt.result;
    if (request.fallback !== 'refuse') {
      const answer = await this.#forward(request, attempt.lack.elsewhere, deadlineMs);
      if (answer !== undefined) return answer;
    }
    if (request.fallback === 'stale') return { ...this.#rows(namespace, request), stale: true };
    throw new AntipodeError('STALE_READ', `${request.level} read of ${request.namespace}: ${attempt.lack.reason}`);
  }

  /** What stands in a read that another region forwarded. */
  async readForwarded(
    request: Omit<ReadRowsRequest, 'keys' | 'fallback'>,
    blob: Buffer,
  ): Promise<{ result: ReadRowsResult; blob: Buffer }> {
    const result = await this.read({ ...request, keys: unpackFrames(blob), fallback: 'refuse' });
    const bytes = result.rows.reduce((sum, row) => sum + (row?.length ?? 0) + 4, 0);
    if (bytes > FORWARDED_BYTES_MAX)
      throw new AntipodeError(
        'REQUEST_TOO_LARGE',
        `${bytes} bytes of rows in one answer, at most ${FORWARDED_BYTES_MAX}`,
      );
    return { result, blob: packFrames(result.rows.map((row) => ({ bytes: row ?? Buffer.alloc(0) }))) };
  }

  async #attempt(namespace: ReadNamespace, request: ReadRowsRequest, deadlineMs: number): Promise<Attempt> {
    if (request.level === 'strong') return this.#strong(namespace, request, deadlineMs);
    return this.#here(namespace, request);
  }

  /** One step: what is judged and what is read are of one moment of the store. */
  #here(namespace: ReadNamespace, request: ReadRowsRequest): Attempt {
    const { log, gate } = namespace;
    const hub = gate.hub();
    if (this.#applier.rebuilding || this.#beyondSeal(log))
      return {
        lack: { reason: `${this.#region} rebuilds its online store`, elsewhere: this.#others(hub), passes: false },
      };
    const verdict = this.#verdict(namespace, request);
    if (verdict?.kind === 'lost') throw sessionLost(verdict.lost);
    if (verdict?.kind === 'behind') {
      const origins = verdict.streams.map((stream) => parseStreamKey(stream)?.origin);
      const what = verdict.streams.length === 0 ? 'a closed epoch' : verdict.streams.join(', ');
      const reason = `${this.#region} has not applied what the session has seen of ${what}`;
      return { lack: { reason, elsewhere: this.#others(hub, ...origins), passes: true } };
    }
    const result = this.#rows(namespace, request);
    if (request.level !== 'bounded') return { result };
    const maxMs = request.maxStalenessMs ?? 0;
    const anchorMs = this.#freshness(request.namespace).certainAnchorMs;
    const stalenessMs = anchorMs === null ? null : Math.max(0, this.#clock.wallMs() - anchorMs);
    if (stalenessMs !== null && stalenessMs <= maxMs) return { result };
    const how =
      stalenessMs === null ? 'how old its rows are is not known' : `its rows may be ${Math.ceil(stalenessMs)} ms old`;
    const reason = `${how} in ${this.#region}, more than ${maxMs} ms`;
    // Where there is no hub, or it is out of reach, another region may still hear whom this one does not.
    return { lack: { reason, elsewhere: this.#others(hub, ...this.#peers.names), passes: false } };
  }

  /** P11.3. The rows are read after the control store confirmed the epoch, in the step that checks the lease. */
  async #strong(namespace: ReadNamespace, request: ReadRowsRequest, deadlineMs: number): Promise<Attempt> {
    const { gate, confirmation } = namespace;
    const hub = gate.hub();
    if (confirmation === undefined || hub !== this.#region) {
      const reason = hub === undefined ? 'no hub is known' : `${this.#region} is not the hub`;
      return { lack: { reason, elsewhere: this.#others(hub), passes: false } };
    }
    try {
      const confirmed = await this.#within(confirmation.confirm(), deadlineMs);
      if (!this.speaksFor(gate, confirmed)) {
        const reason = `${this.#region} does not hold the lease now`;
        return { lack: { reason, elsewhere: this.#others(confirmed?.holder), passes: true } };
      }
      const attempt = this.#here(namespace, request);
      // What was read and could still be lost would be a promise that a promotion breaks.
      const positions = this.#openPositions(namespace.log);
      if (namespace.settled !== undefined) await this.#within(namespace.settled(positions), deadlineMs);
      return attempt;
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.disposition === 'stop' || error.code === 'SESSION_LOST') throw error;
      return { lack: { reason: error.message, elsewhere: [], passes: false } };
    }
  }

  /** Whether this region was the hub when the control store answered, and is by its own clock still. */
  speaksFor(gate: HolderGate, confirmed: Confirmed | undefined): boolean {
    return confirmed?.holder === this.#region && gate.acknowledgeable(confirmed.epoch);
  }

  #openPositions(log: NamespaceLog): Record<StreamKey, number> {
    const streams = log.lease?.record.streams ?? [];
    return Object.fromEntries(streams.map((stream) => [stream, this.#store.checkpoint(stream)]));
  }

  #verdict(namespace: ReadNamespace, request: ReadRowsRequest): SeenVerdict | undefined {
    if (request.seen === undefined || request.level === 'eventual') return undefined;
    const { log } = namespace;
    return judgeSeen(request.seen, this.#shown(log), {
      standing: (stream) => log.standing(stream),
      applied: (stream) => this.#store.checkpoint(stream),
    });
  }

  #rows(namespace: ReadNamespace, request: ReadRowsRequest): ReadRowsResult {
    if (this.#applier.rebuilding)
      throw new AntipodeError('REBUILDING', `region ${this.#region} cannot serve features now`);
    const { log } = namespace;
    const rows = request.keys.map((key) => {
      const stored = this.#store.row(key);
      return stored === undefined ? null : Buffer.from(stored);
    });
    const applied = [...this.#store.checkpoints()].filter(
      ([stream]) => parseStreamKey(stream)?.namespace === log.namespace,
    );
    const { anchorMs } = this.#freshness(log.namespace);
    return {
      rows,
      region: this.#region,
      epoch: namespace.gate.epoch(),
      stale: false,
      seen: coverOf(this.#shown(log), applied, request.seen),
      freshnessMs: anchorMs === null ? null : Math.max(0, Math.round(this.#clock.wallMs() - anchorMs)),
    };
  }

  #shown(log: NamespaceLog): Shown {
    return shownBy({
      epoch: log.lease?.record.epoch ?? 0,
      streams: log.streams(),
      standing: (stream) => log.standing(stream),
      applied: (stream) => this.#store.checkpoint(stream),
    });
  }

  /** What is applied here is not the valid history: the applier is about to build it again (P5.3). */
  #beyondSeal(log: NamespaceLog): boolean {
    return log.streams().some((stream) => {
      const standing = log.standing(stream);
      return standing.kind === 'sealed' && this.#store.checkpoint(stream) > standing.seal;
    });
  }

  async #forward(
    request: ReadRowsRequest,
    regions: readonly string[],
    deadlineMs: number,
  ): Promise<ReadRowsResult | undefined> {
    const blob = packFrames(request.keys.map((bytes) => ({ bytes })));
    if (blob.length > FORWARDED_BYTES_MAX) return undefined;
    for (const region of regions) {
      const leftMs = Math.floor(deadlineMs - this.#clock.monotonicMs());
      if (leftMs <= 0) return undefined;
      const { namespace, level, seen = null, maxStalenessMs = null } = request;
      const body = { namespace, level, seen: seen === null ? null : mutable(seen), maxStalenessMs, budgetMs: leftMs };
      try {
        const { answer, blob: packed } = await this.#peers.request(region, 'rows', body, { timeoutMs: leftMs, blob });
        const rows = unpackFrames(packed);
        if (rows.length !== request.keys.length) continue;
        return { ...answer, rows: rows.map((row) => (row.length === 0 ? null : row)), region, stale: false };
      } catch (caught) {
        const error = toAntipodeError(caught);
        if (error.code === 'SESSION_LOST') throw error;
      }
    }
    return undefined;
  }

  /** Connected regions among these, each once, this one left out. */
  #others(...regions: readonly (string | undefined)[]): string[] {
    const others = new Set<string>();
    for (const region of regions)
      if (region !== undefined && region !== this.#region && this.#peers.connected(region)) others.add(region);
    return [...others];
  }

  /** Rejects STALE_READ when the budget ends first. */
  async #within<T>(task: Promise<T>, deadlineMs: number): Promise<T> {
    const late = new AbortController();
    const leftMs = Math.max(0, deadlineMs - this.#clock.monotonicMs());
    try {
      return await Promise.race([
        task,
        this.#clock.sleep(leftMs, late.signal).then(() => {
          throw new AntipodeError('STALE_READ', 'the latency budget ended before the epoch was confirmed');
        }),
      ]);
    } finally {
      late.abort(null);
    }
  }
}

function sessionLost(lost: readonly { stream: string; position: number; seal: number }[]): AntipodeError {
  const what = lost.map(({ stream, position, seal }) => `${stream} ends at ${seal}, the session saw ${position}`);
  return new AntipodeError('SESSION_LOST', `a failover lost what the session has seen: ${what.join('; ')}`);
}

function mutable(seen: ReadRowsResult['seen']): { epoch: number; streams: Record<string, number> } {
  return { epoch: seen.epoch, streams: { ...seen.streams } };
}
