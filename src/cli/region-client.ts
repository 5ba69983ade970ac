import type { Producer } from '#core/codec/counter-state';
import { AntipodeError, ERROR_CODES, type ErrorCode } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import type { AuditEntry, AuditVerdict, IngestResult } from '#region/engine-api';
import type { ConflictCount, RegionStatus, TailStatus } from '#region/status';
import { CHANGE_BATCH_CONTENT_TYPE } from '#server/change-batch';
import { readJson } from '#server/json/read-json';
import { exactJson } from './exact-json.ts';
import { type HttpAnswer, sendHttp } from './http-request.ts';
import { TOKEN_VARIABLE } from './project/tokens.ts';

const TIMEOUT_MS = 5_000;
/** A read may wait for its level of consistency. */
const READ_TIMEOUT_MS = 35_000;
/** A write may wait for the disk, for another region, and for a lease. */
const INGEST_TIMEOUT_MS = 50_000;
/** A failover may have to wait for a lease to lapse and a store to catch up. */
const FAILOVER_TIMEOUT_MS = 120_000;
/** Conflicts asked for at a time. */
const CONFLICTS_PAGE = 500;

export interface OnlineFeatures {
  readonly names: readonly string[];
  /** By feature, then by entity row. */
  readonly results: readonly {
    readonly values: readonly unknown[];
    readonly statuses: readonly string[];
    readonly event_timestamps: readonly string[];
  }[];
  readonly headers: Headers;
}

export interface FailoverResult {
  readonly epoch: number;
  readonly lossy: boolean;
  readonly durationMs: number;
}

/** One of the two writes of a conflict, as the face writes it. */
export interface ListedSide {
  /** `stream#seq` */
  readonly change: string;
  readonly origin: string;
  readonly operation: 'upsert' | 'delete';
  readonly eventTime: string;
  readonly acceptedAtMs: number;
  readonly counter: number;
  readonly valueBytes: number;
  /** Null for a delete, and for what was too large to keep. */
  readonly values: Readonly<Record<string, unknown>> | null;
}

export interface ListedConflict {
  readonly cursor: string;
  readonly view: string;
  readonly version: string;
  readonly kind: 'concurrent' | 'undecidable';
  readonly winner: 'stored' | 'incoming' | 'merged';
  readonly rule: string;
  readonly atMs: number;
  readonly key: Readonly<Record<string, unknown>> | null;
  readonly keyBytes: string;
  readonly features: readonly string[] | null;
  readonly stored: ListedSide;
  readonly incoming: ListedSide;
}

/** Conditions of a listing of conflicts, in the words of the route. */
export interface ConflictFilter {
  readonly view?: string | undefined;
  readonly key?: string | undefined;
  readonly pair?: string | undefined;
  readonly afterMs?: number | undefined;
  readonly limit: number;
}

interface Call {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly json?: unknown;
  readonly bytes?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** A call without an answer may have done something. */
  readonly changes?: boolean;
}

/**
 * The HTTP face of one region as commands use it. Every failure is an AntipodeError with the code the region gave, or one
 * that tells whether anything can have happened: PEER_UNAVAILABLE (certainly not), OUTCOME_UNKNOWN or PEER_TIMEOUT.
 */
export class RegionClient {
  readonly region: string;
  readonly url: string;
  readonly #token: string | undefined;

  constructor(options: { readonly region: string; readonly url: string; readonly token?: string | undefined }) {
    this.region = options.region;
    this.url = options.url;
    this.#token = options.token;
  }

  async status(signal?: AbortSignal): Promise<RegionStatus> {
    return (await this.#json({ path: '/v1/status', signal })) as RegionStatus;
  }

  async views(): Promise<readonly FeatureView[]> {
    return ((await this.#json({ path: '/v1/views' })) as { views: readonly FeatureView[] }).views;
  }

  /** Sends one encoded change batch. The same key may be sent again, here or elsewhere, until an answer comes. */
  async ingest(options: {
    readonly view: string;
    readonly batch: Buffer;
    readonly idempotencyKey: string;
    /** An earlier try under this key was not answered. */
    readonly retried?: boolean | undefined;
    /** Whose running totals the rows of a counter are. */
    readonly producer?: Producer | undefined;
    /** Regions beside the hub that shall hold the batch before it is acknowledged. */
    readonly acknowledge?: number | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly timeoutMs?: number;
  }): Promise<IngestResult> {
    const { producer } = options;
    const producerHeaders =
      producer === undefined
        ? {}
        : { 'antipode-producer': producer.name, 'antipode-sequence': String(producer.sequence) };
    const answer = await this.#json({
      method: 'POST',
      path: `/v1/ingest/${encodeURIComponent(options.view)}`,
      bytes: options.batch,
      headers: {
        'content-type': CHANGE_BATCH_CONTENT_TYPE,
        'idempotency-key': options.idempotencyKey,
        ...(options.retried === true ? { 'antipode-retry': 'true' } : {}),
        ...producerHeaders,
        ...(options.acknowledge === undefined ? {} : { 'antipode-acknowledge': String(options.acknowledge) }),
      },
      timeoutMs: options.timeoutMs ?? INGEST_TIMEOUT_MS,
      signal: options.signal,
      changes: true,
    });
    return answer as IngestResult;
  }

  /**
   * Reads features of entity rows; `entities` maps each join key to one value a row. Headers: what the read asks of
   * consistency.
   */
  async onlineFeatures(
    features: readonly string[],
    entities: Readonly<Record<string, readonly unknown[]>>,
    headersOfRequest: Readonly<Record<string, string>> = {},
  ): Promise<OnlineFeatures> {
    const { body, headers } = await this.#call({
      method: 'POST',
      path: '/get-online-features',
      json: { features, entities, full_feature_names: false },
      headers: headersOfRequest,
      timeoutMs: Object.keys(headersOfRequest).length === 0 ? TIMEOUT_MS : READ_TIMEOUT_MS,
    });
    const answer = readJson(body) as {
      results: OnlineFeatures['results'];
      metadata: { feature_names: readonly string[] };
    };
    return { names: answer.metadata.feature_names, results: answer.results, headers };
  }

  /** Pushes a data frame, column by column, as Feast's clients do. */
  async push(
    view: string,
    df: Readonly<Record<string, readonly unknown[]>>,
    options: { readonly idempotencyKey?: string; readonly signal?: AbortSignal } = {},
  ): Promise<Headers> {
    const { headers } = await this.#call({
      method: 'POST',
      path: '/push',
      json: { push_source_name: view, df, to: 'online' },
      headers: options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey },
      timeoutMs: INGEST_TIMEOUT_MS,
      signal: options.signal,
      changes: true,
    });
    return headers;
  }

  /** Moves the hub of a namespace to this region. */
  async failover(namespace: string, options: { readonly allowLoss?: boolean } = {}): Promise<FailoverResult> {
    const answer = await this.#json({
      method: 'POST',
      path: '/v1/failover',
      json: { namespace, allowLoss: options.allowLoss ?? false },
      timeoutMs: FAILOVER_TIMEOUT_MS,
      changes: true,
    });
    return answer as FailoverResult;
  }

  /** Replays or discards a tail that this region holds. */
  async decideTail(stream: string, order: 'replay' | 'discard'): Promise<TailStatus> {
    const answer = await this.#json({
      method: 'POST',
      path: `/v1/tails/${order}`,
      json: { stream },
      timeoutMs: INGEST_TIMEOUT_MS,
      changes: true,
    });
    return (answer as { tail: TailStatus }).tail;
  }

  /** Up to `limit` conflicts, page after page. Integers beyond 2^53 are bigints. */
  async conflicts({ view, key, pair, afterMs, limit }: ConflictFilter): Promise<ListedConflict[]> {
    const found: ListedConflict[] = [];
    let after: string | null = null;
    do {
      const query = new URLSearchParams({ limit: String(Math.min(CONFLICTS_PAGE, limit - found.length)) });
      const conditions = { view, key, pair, after_ms: afterMs?.toString(), after: after ?? undefined };
      for (const [name, value] of Object.entries(conditions)) if (value !== undefined) query.set(name, value);
      const { body } = await this.#call({ path: `/v1/conflicts?${query}` });
      const page = readJson(body) as { conflicts: readonly ListedConflict[]; next: string | null };
      found.push(...page.conflicts);
      after = page.next;
    } while (after !== null && found.length < limit);
    return found;
  }

  async conflictCounts(): Promise<readonly ConflictCount[]> {
    return ((await this.#json({ path: '/v1/conflicts/counts' })) as { views: readonly ConflictCount[] }).views;
  }

  async auditEntries(options: { readonly after: number; readonly limit: number }): Promise<readonly AuditEntry[]> {
    const path = `/v1/audit?after=${options.after}&limit=${options.limit}`;
    return ((await this.#json({ path })) as { entries: readonly AuditEntry[] }).entries;
  }

  async auditVerify(): Promise<AuditVerdict> {
    return (await this.#json({ path: '/v1/audit/verify', timeoutMs: FAILOVER_TIMEOUT_MS })) as AuditVerdict;
  }

  async #json(call: Call): Promise<unknown> {
    return JSON.parse((await this.#call(call)).body.toString('utf8')) as unknown;
  }

  async #call(call: Call): Promise<{ readonly body: Buffer; readonly headers: Headers }> {
    const timeoutMs = call.timeoutMs ?? TIMEOUT_MS;
    const timeout = AbortSignal.timeout(timeoutMs);
    let answer: HttpAnswer;
    try {
      answer = await sendHttp(`${this.url}${call.path}`, {
        method: call.method ?? 'GET',
        headers: {
          ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
          ...(call.json === undefined ? {} : { 'content-type': 'application/json' }),
          ...call.headers,
        },
        body: call.json === undefined ? call.bytes : exactJson(call.json),
        signal: call.signal === undefined ? timeout : AbortSignal.any([timeout, call.signal]),
      });
    } catch (caught) {
      call.signal?.throwIfAborted();
      throw this.#unanswered(caught, call, timeout.aborted ? timeoutMs : undefined);
    }
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw this.#refusal(answer);
  }

  #unanswered(caught: unknown, call: Call, timedOutAfterMs: number | undefined): AntipodeError {
    const where = `${this.region} at ${this.url}`;
    const cause = caught instanceof Error && caught.cause instanceof Error ? caught.cause : caught;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EHOSTUNREACH') {
      return new AntipodeError('PEER_UNAVAILABLE', `${where} cannot be reached (${code})`, {
        cause: caught,
        remedy: 'Check that the region runs (antipode up, antipode status) and its serve address in antipode.yaml.',
      });
    }
    if (code !== undefined && /CERT|SIGNATURE|SELF_SIGNED/.test(code)) {
      return new AntipodeError(
        'CERTIFICATE_INVALID',
        `${where} shows a certificate that is not trusted here (${code})`,
        {
          cause: caught,
          remedy: 'Let Node trust its authority: set NODE_EXTRA_CA_CERTS to the PEM file of the authority.',
        },
      );
    }
    const what =
      timedOutAfterMs === undefined
        ? `ended the connection (${code ?? String(cause)})`
        : `did not answer within ${timedOutAfterMs} ms`;
    if (call.changes === true) return new AntipodeError('OUTCOME_UNKNOWN', `${where} ${what}`, { cause: caught });
    return new AntipodeError(timedOutAfterMs === undefined ? 'PEER_UNAVAILABLE' : 'PEER_TIMEOUT', `${where} ${what}`, {
      cause: caught,
      remedy: 'Check that the region runs: antipode status.',
    });
  }

  #refusal({ status, headers, body }: HttpAnswer): AntipodeError {
    const named = headers.get('antipode-error') ?? '';
    const code: ErrorCode = Object.hasOwn(ERROR_CODES, named) ? (named as ErrorCode) : 'INTERNAL';
    const { message, remedy, where } = refusalText(body.toString('utf8'));
    const tokenRemedy =
      code === 'UNAUTHENTICATED' || code === 'FORBIDDEN'
        ? `Run the command in the project folder of this topology, or set ${TOKEN_VARIABLE} to a token with the right.`
        : undefined;
    return new AntipodeError(code, `${this.region}: ${message === '' ? `HTTP ${status}` : message}`, {
      ...(where === undefined ? {} : { where }),
      ...((remedy ?? tokenRemedy) === undefined ? {} : { remedy: tokenRemedy ?? remedy }),
    });
  }
}

/** Reads the three forms of error bodies: ours, a list of violations, and Feast's JSON within a JSON string. */
function refusalText(body: string): { message: string; remedy?: string; where?: string } {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'string') return { message: (JSON.parse(parsed) as { message: string }).message };
    const { detail, remedy, where } = parsed as { detail?: unknown; remedy?: string; where?: string };
    const message = Array.isArray(detail) ? detail.map(violationText).join('; ') : String(detail ?? '');
    return { message, ...(remedy === undefined ? {} : { remedy }), ...(where === undefined ? {} : { where }) };
  } catch {
    return { message: body.slice(0, 200) };
  }
}

function violationText(violation: { readonly loc?: readonly unknown[]; readonly msg?: string }): string {
  const place = (violation.loc ?? []).filter((part) => part !== 'body').join('.');
  return place === '' ? (violation.msg ?? '') : `${place}: ${violation.msg}`;
}
