import { AntipodeError } from '#core/errors';
import {
  EMPTY_TOKEN,
  encodeToken,
  mergeTokens,
  type SessionToken,
  TOKEN_CHARACTERS_MAX,
} from '#core/model/session-token';
import type { IngestResult, RegionEngine } from '#region/engine-api';
import type { FaceLimits } from '#server/face-options';
import { objectNotRecognized, pushSourceNotFound, ValidationFault, violation } from '#server/feast/faults';
import { type DataFrame, frameToChanges } from '#server/feast/frame-to-changes';
import { columns, optionalBoolean, requireRecord, requireString } from '#server/feast/online-features-request';
import { type RequestHeaders, sessionOf } from '#server/feast/read-demand';
import type { JsonRecord } from '#server/json/read-json';
import { positionsText } from '#server/serving-state';
import type { CompiledView, ViewCatalog } from '#server/views/view-catalog';

/** A view takes pushes under its own name, and under this form of it, which Feast's projects often use. */
const PUSH_SUFFIX = '_push';
/** Row numbers listed in a header; the number of all is given beside them. */
const QUARANTINED_ROWS_LISTED = 100;

/** `POST /push` and `POST /write-to-online-store`: from a parsed body to the region's answer. */
export class FeastWrites {
  readonly #engine: RegionEngine;
  readonly #catalog: ViewCatalog;
  readonly #limits: FaceLimits;

  constructor(options: { readonly engine: RegionEngine; readonly catalog: ViewCatalog; readonly limits: FaceLimits }) {
    this.#engine = options.engine;
    this.#catalog = options.catalog;
    this.#limits = options.limits;
  }

  async push(body: unknown, context: WriteContext): Promise<WriteHeaders> {
    const record = requireRecord(body);
    const name = requireString(record, 'push_source_name');
    const frame = this.#frame(record);
    const to = Object.hasOwn(record, 'to') ? record['to'] : 'online';
    if (to === 'offline' || to === 'online_and_offline') {
      throw violation('value_error', ['to'], "A region keeps features online only; push with to='online'", to);
    }
    if (to !== 'online') {
      throw violation('enum', ['to'], "Input should be 'online', 'offline' or 'online_and_offline'", to);
    }
    const compiled =
      (await this.#catalog.find(name)) ??
      (name.endsWith(PUSH_SUFFIX) ? await this.#catalog.find(name.slice(0, -PUSH_SUFFIX.length)) : undefined);
    if (compiled === undefined) throw pushSourceNotFound(name);
    return this.#write(compiled, frame, context);
  }

  async writeToOnlineStore(body: unknown, context: WriteContext): Promise<WriteHeaders> {
    const record = requireRecord(body);
    const name = requireString(record, 'feature_view_name');
    const frame = this.#frame(record);
    const compiled = await this.#catalog.find(name);
    if (compiled === undefined) throw objectNotRecognized(name);
    return this.#write(compiled, frame, context);
  }

  #frame(record: JsonRecord): DataFrame {
    optionalBoolean(record, 'allow_registry_cache', true);
    optionalBoolean(record, 'transform_on_write', true);
    const frame = new Map(columns(record, 'df'));
    const { entitiesPerRequest } = this.#limits;
    for (const [column, values] of frame) {
      if (values.length > entitiesPerRequest) {
        throw new AntipodeError(
          'REQUEST_TOO_LARGE',
          `${values.length} rows in column ${column.slice(0, 100).toWellFormed()}, at most ${entitiesPerRequest} in one request`,
        );
      }
    }
    return frame;
  }

  async #write(compiled: CompiledView, frame: DataFrame, context: WriteContext): Promise<WriteHeaders> {
    const { view } = compiled;
    const changes = frameToChanges(compiled, frame);
    if (changes.length === 0) return {};
    const { idempotencyKey, session } = context;
    const { name, version, namespace } = view;
    const result = await this.#engine.ingest({ view: name, version, changes, idempotencyKey, observed: session?.hlc });
    if (result.quarantined.length === changes.length) throw allQuarantined(result, view.eventTimeColumn);
    return { ...writeHeaders(result), ...sessionAfterWrite(namespace, result, session) };
  }
}

export type WriteHeaders = Readonly<Record<string, string>>;

/** What became of a write, as response headers. */
export function writeHeaders(result: IngestResult): WriteHeaders {
  const headers: Record<string, string> = { 'antipode-hub': result.hub };
  const positions = positionsText([result.positions]);
  if (positions !== undefined) headers['antipode-positions'] = positions;
  if (result.duplicate) headers['antipode-duplicate'] = 'true';
  if (result.quarantined.length > 0) {
    headers['antipode-quarantined'] = String(result.quarantined.length);
    headers['antipode-quarantined-rows'] = result.quarantined
      .slice(0, QUARANTINED_ROWS_LISTED)
      .map((row) => row.index)
      .join(', ');
  }
  return headers;
}

/** Nothing was applied: an answer of 200 would be taken for the opposite. */
function allQuarantined(result: IngestResult, timeColumn: string): ValidationFault {
  const violations = result.quarantined.slice(0, 10).map((row) => ({
    type: 'value_error',
    loc: ['body', 'df', timeColumn, row.index],
    msg: row.message,
    input: null,
  }));
  return new ValidationFault(violations, { code: 'ROW_EVENT_TIME_AHEAD' });
}

/** What a write carries beside its rows. */
export interface WriteContext {
  readonly idempotencyKey: string | undefined;
  readonly session: SessionToken | undefined;
}

export function writeContextOf(headers: RequestHeaders): WriteContext {
  const session = sessionOf(headers);
  const idempotencyKey = idempotencyKeyOf(headers['idempotency-key']);
  return { idempotencyKey, session: session === 'new' ? undefined : session };
}

/** The token with which the client's next reads show this write. Left out when it would be too long for a header. */
export function sessionAfterWrite(
  namespace: string,
  result: IngestResult,
  session: SessionToken = EMPTY_TOKEN,
): WriteHeaders {
  const made = { hlc: result.hlc, namespaces: { [namespace]: { epoch: 0, streams: result.positions } } };
  const text = encodeToken(mergeTokens(session, made));
  return text.length > TOKEN_CHARACTERS_MAX ? {} : { 'antipode-session': text };
}

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/;

/** The `Idempotency-Key` header, if there is one: 1 to 128 printable ASCII characters. */
export function idempotencyKeyOf(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && IDEMPOTENCY_KEY.test(header)) return header;
  throw new AntipodeError(
    'REQUEST_MALFORMED',
    'the Idempotency-Key header is not 1 to 128 printable ASCII characters without spaces',
  );
}
