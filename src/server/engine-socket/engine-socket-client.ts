import { Agent, request as httpRequest } from 'node:http';
import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import type {
  AuditEntry,
  AuditVerdict,
  ConflictPage,
  ConflictQuery,
  IngestRequest,
  IngestResult,
  ReadCounters,
  ReadRowsRequest,
  ReadRowsResult,
  RegionEngine,
} from '#region/engine-api';
import type { ConflictCount, RegionStatus, TailStatus } from '#region/status';
import {
  decodeError,
  ENGINE_BODY_BYTES_MAX,
  type EngineMethod,
  encodeIngest,
  encodeReadRows,
  unpackRowsResult,
} from '#server/engine-socket/wire';

/** How long the region's process may take to answer, ms. Ingest may wait for the disk and for another region. */
export interface EngineTimeouts {
  readonly callMs: number;
  readonly ingestMs: number;
  /** A failover waits for a lease to lapse. */
  readonly failoverMs: number;
}

const TIMEOUTS: EngineTimeouts = { callMs: 5_000, ingestMs: 45_000, failoverMs: 120_000 };
/** Connections to the engine, and requests that may wait or be under way; beyond it callers get OVERLOADED at once. */
const SOCKETS_MAX = 16;
const REQUESTS_MAX = 512;

/** A connection that ended before an answer, which tells nothing about what became of the request. */
class Severed extends Error {
  /** Nothing was listening: the request certainly did nothing. */
  readonly refused: boolean;
  /** The connection was kept from an earlier request: the likeliest cause is that the other side had closed it already. */
  readonly stale: boolean;

  constructor(cause: Error, stale: boolean) {
    super(cause.message, { cause });
    const { code } = cause as NodeJS.ErrnoException;
    this.refused = code === 'ECONNREFUSED' || code === 'ENOENT';
    this.stale = stale;
  }
}

class TimedOut extends Error {}

interface CallOptions {
  readonly body?: Buffer;
  readonly timeoutMs?: number;
  /** Whether the call may be made once more when it met a connection that had been closed meanwhile. */
  readonly repeatable?: boolean;
}

/**
 * The region's engine as seen from a serving process. Errors keep their codes. Connections are made as needed, so a region
 * that restarts is simply found again. What may have been done is never reported as failed: an ingest without an answer is
 * OUTCOME_UNKNOWN.
 */
export class EngineSocketClient implements RegionEngine {
  readonly region: string;
  readonly #path: string;
  readonly #timeouts: EngineTimeouts;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, maxFreeSockets: SOCKETS_MAX });
  #requests = 0;
  #reads: ReadCounters = { requests: 0, rows: 0, errors: 0 };
  #reporting: Promise<void> | undefined;

  constructor(options: {
    readonly region: string;
    readonly path: string;
    readonly timeouts?: Partial<EngineTimeouts>;
  }) {
    this.region = options.region;
    this.#path = options.path;
    this.#timeouts = { ...TIMEOUTS, ...options.timeouts };
  }

  async status(): Promise<RegionStatus> {
    return (await this.#call('status')) as RegionStatus;
  }

  async ingest(request: IngestRequest): Promise<IngestResult> {
    // Repeating a write is only safe under a key, by which the engine knows what it has done already.
    const repeatable = request.idempotencyKey !== undefined;
    const answer = await this.#call('ingest', {
      body: encodeIngest(request),
      timeoutMs: this.#timeouts.ingestMs,
      repeatable,
    });
    return answer as IngestResult;
  }

  async readRows(request: ReadRowsRequest): Promise<ReadRowsResult> {
    const answer = await this.#call('readRows', {
      body: encodeReadRows(request),
      timeoutMs: request.budgetMs + this.#timeouts.callMs,
    });
    return unpackRowsResult(answer);
  }

  async views(): Promise<readonly FeatureView[]> {
    return (await this.#call('views')) as readonly FeatureView[];
  }

  async failover(options: Parameters<RegionEngine['failover']>[0]): ReturnType<RegionEngine['failover']> {
    const answer = await this.#call('failover', {
      body: json(options),
      timeoutMs: this.#timeouts.failoverMs,
      repeatable: false,
    });
    return answer as Awaited<ReturnType<RegionEngine['failover']>>;
  }

  async decideTail(decision: Parameters<RegionEngine['decideTail']>[0]): Promise<TailStatus> {
    // Repeating it changes nothing: a decision is what it is.
    const body = json(decision);
    return (await this.#call('decideTail', { body, timeoutMs: this.#timeouts.ingestMs })) as TailStatus;
  }

  async conflicts(query: ConflictQuery): Promise<ConflictPage> {
    return (await this.#call('conflicts', { body: json(query) })) as ConflictPage;
  }

  async conflictCounts(): Promise<readonly ConflictCount[]> {
    return (await this.#call('conflictCounts')) as readonly ConflictCount[];
  }

  async auditEntries(options: Parameters<RegionEngine['auditEntries']>[0]): Promise<readonly AuditEntry[]> {
    return (await this.#call('auditEntries', { body: json(options) })) as readonly AuditEntry[];
  }

  async auditVerify(): Promise<AuditVerdict> {
    return (await this.#call('auditVerify', { timeoutMs: this.#timeouts.failoverMs })) as AuditVerdict;
  }

  async audit(entry: Parameters<RegionEngine['audit']>[0]): Promise<void> {
    await this.#call('audit', { body: json(entry) });
  }

  /** Counters that find nobody are added to the next report. */
  reportReads(counters: ReadCounters): void {
    this.#reads = sum(this.#reads, counters);
    this.#reporting ??= this.#report();
  }

  /** Waits for the last report and ends the connections. */
  async close(): Promise<void> {
    await this.#reporting;
    if (this.#reads.requests > 0) await this.#report();
    this.#agent.destroy();
  }

  async #report(): Promise<void> {
    const counters = this.#reads;
    this.#reads = { requests: 0, rows: 0, errors: 0 };
    try {
      await this.#call('reportReads', { body: json(counters) });
    } catch (error) {
      // After a timeout they may have been counted: rather too few than twice.
      if (error instanceof AntipodeError && error.code === 'PEER_UNAVAILABLE') this.#reads = sum(this.#reads, counters);
    } finally {
      this.#reporting = undefined;
    }
  }

  async #call(method: EngineMethod, options: CallOptions = {}): Promise<unknown> {
    const { body = Buffer.alloc(0), timeoutMs = this.#timeouts.callMs, repeatable = true } = options;
    if (this.#requests >= REQUESTS_MAX) {
      throw new AntipodeError(
        'OVERLOADED',
        `${this.#requests} requests wait for the region's process, at most ${REQUESTS_MAX}`,
      );
    }
    this.#requests += 1;
    let sentBefore = false;
    try {
      const { status, text } = await this.#exchange(method, body, timeoutMs).catch((error: unknown) => {
        if (!(error instanceof Severed && error.stale && repeatable)) throw error;
        sentBefore = true;
        return this.#exchange(method, body, timeoutMs);
      });
      if (status !== 200) throw decodeError(text);
      return JSON.parse(text) as unknown;
    } catch (caught) {
      throw outcome(method, caught, sentBefore);
    } finally {
      this.#requests -= 1;
    }
  }

  #exchange(method: EngineMethod, body: Buffer, timeoutMs: number): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        agent: this.#agent,
        socketPath: this.#path,
        method: 'POST',
        path: `/${method}`,
        headers: { 'content-length': body.length },
      });
      const timer = setTimeout(() => request.destroy(new TimedOut(`no answer for ${timeoutMs} ms`)), timeoutMs);
      const fail = (error: Error) => {
        clearTimeout(timer);
        reject(
          error instanceof TimedOut || error instanceof AntipodeError
            ? error
            : new Severed(error, request.reusedSocket),
        );
      };
      request.on('error', fail);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          chunks.push(chunk);
          if (bytes > ENGINE_BODY_BYTES_MAX)
            request.destroy(new AntipodeError('INTERNAL', 'an answer of the engine is too large'));
        });
        response.on('error', fail);
        response.on('end', () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
        });
      });
      request.end(body);
    });
  }
}

/**
 * What a failed call means to the caller. `sentBefore`: a first try was lost on its way or on the way back, so that a second
 * one that reaches nobody does not prove that nothing was done.
 */
function outcome(method: EngineMethod, caught: unknown, sentBefore: boolean): AntipodeError {
  if (caught instanceof AntipodeError) return caught;
  const options = { cause: caught };
  const changes = method === 'ingest' || method === 'failover';
  if (caught instanceof Severed && caught.refused && !(sentBefore && changes)) {
    return new AntipodeError('PEER_UNAVAILABLE', "the region's own process cannot be reached; reads go on", options);
  }
  const what =
    caught instanceof TimedOut
      ? "the region's own process did not answer in time"
      : "the region's own process ended the connection";
  if (method === 'ingest') return new AntipodeError('OUTCOME_UNKNOWN', what, options);
  return new AntipodeError(
    caught instanceof TimedOut || method === 'failover' ? 'PEER_TIMEOUT' : 'PEER_UNAVAILABLE',
    what,
    options,
  );
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value), 'utf8');
}

function sum(a: ReadCounters, b: ReadCounters): ReadCounters {
  const damaged = [...(a.damaged ?? []), ...(b.damaged ?? [])];
  return {
    requests: a.requests + b.requests,
    rows: a.rows + b.rows,
    errors: a.errors + b.errors,
    ...(damaged.length === 0 ? {} : { damaged }),
  };
}
