import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import {
  EMPTY_TOKEN,
  encodeToken,
  mergeTokens,
  type SessionToken,
  TOKEN_CHARACTERS_MAX,
} from '#core/model/session-token';
import type { Clock } from '#ports/clock';
import type { IngestChange, IngestResult, RegionEngine } from '#region/engine-api';
import type { FaceLimits } from '#server/face-options';
import { objectNotRecognized, pushSourceNotFound, ValidationFault, violation } from '#server/feast/faults';
import { type DataFrame, frameToChanges, frameToDeletes } from '#server/feast/frame-to-changes';
import { columns, optionalBoolean, requireRecord, requireString } from '#server/feast/online-features-request';
import { requestPart, type WriteContext } from '#server/feast/write-context';
import type { JsonRecord } from '#server/json/read-json';
import { positionsText } from '#server/serving-state';
import type { CompiledView, ViewCatalog } from '#server/views/view-catalog';

/** A view takes pushes under its own name, and under this form of it, which Feast's projects often use. */
const PUSH_SUFFIX = '_push';
/** Row numbers listed in a header; the number of all is given beside them. */
const QUARANTINED_ROWS_LISTED = 100;

/** `POST /push`, `POST /write-to-online-store` and `POST /delete-from-online-store`: from a parsed body to the region's answer. */
export class FeastWrites {
  readonly #engine: RegionEngine;
  readonly #catalog: ViewCatalog;
  readonly #limits: FaceLimits;
  readonly #clock: Clock;

  constructor(options: {
    readonly engine: RegionEngine;
    readonly catalog: ViewCatalog;
    readonly limits: FaceLimits;
    readonly clock: Clock;
  }) {
    this.#engine = options.engine;
    this.#catalog = options.catalog;
    this.#limits = options.limits;
    this.#clock = options.clock;
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

  /**
   * Deletes the rows of entities. A delete outranks what it is newer than, so a retry must name the same time again: under
   * an idempotency key the frame has to hold the event time, which is now otherwise.
   */
  async deleteFromOnlineStore(body: unknown, context: WriteContext): Promise<WriteHeaders> {
    const record = requireRecord(body);
    const name = requireString(record, 'feature_view_name');
    const frame = this.#frame(record);
    const compiled = await this.#catalog.find(name);
    if (compiled === undefined) throw objectNotRecognized(name);
    const nowUs = context.idempotencyKey === undefined ? Math.floor(this.#clock.wallMs()) * 1000 : undefined;
    const changes = frameToDeletes(compiled, frame, nowUs);
    return changes.length === 0 ? {} : this.#ingest(compiled.view, changes, context);
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
    return this.#ingest(view, changes, context);
  }

  async #ingest(view: FeatureView, changes: readonly IngestChange[], context: WriteContext): Promise<WriteHeaders> {
    const { name, version, namespace } = view;
    const result = await this.#engine.ingest({ view: name, version, changes, ...requestPart(context) });
    if (result.quarantined.length === changes.length) throw allQuarantined(result, view.eventTimeColumn);
    return { ...writeHeaders(result), ...sessionAfterWrite(namespace, result, context.session) };
  }
}

export type WriteHeaders = Readonly<Record<string, string>>;

/** What became of a write, as response headers. */
export function writeHeaders(result: IngestResult): WriteHeaders {
  const headers: Record<string, string> = {
    'antipode-hub': result.hub,
    'antipode-durable-in': result.durableIn.join(', '),
  };
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
