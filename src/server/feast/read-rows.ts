import { readStored, type StoredRow } from '#core/codec/stored-value';
import { formatTimestamp } from '#core/codec/value-time';
import { AntipodeError } from '#core/errors';
import type { ScalarValue } from '#core/model/feature-view';
import type { OnlineReader } from '#ports/online-store';
import { invalidRequest, violation } from '#server/feast/faults';
import type { PlanKey, PlanView, ReadPlan } from '#server/feast/read-plan';

/** What Feast answers where there is no event time: join keys, and rows that do not exist. */
const EPOCH = '"1970-01-01T00:00:00Z"';

export interface ReadOutcome {
  /** The whole answer, JSON. */
  readonly text: string;
  /** Rows looked up: entity rows times views. */
  readonly rows: number;
  /** Rows whose bytes do not decode: answered as INVALID, never as a guess. */
  readonly corrupt: number;
}

export interface ReadRequest {
  readonly plan: ReadPlan;
  readonly entities: readonly (readonly [name: string, values: readonly unknown[]])[];
  readonly reader: Pick<OnlineReader, 'row'>;
  readonly nowUs: number;
}

/**
 * Answers a read: one lookup an entity row and view, each row decoded once, and the answer put together as text. Under row
 * granularity all features of a view share statuses and event times, because those belong to the row.
 *
 * Columns are joined once each from their many small texts, the answer grows by `+=` from its few large ones: the engine
 * then keeps it as the list of its pieces and writes them out once, into the response. Looking into it would do so before.
 */
export function readRows(options: ReadRequest): ReadOutcome {
  const { plan, entities, reader, nowUs } = options;
  const rows = entityRows(plan, entities);
  const keys = plan.keys.map((key) => acceptColumn(key, entities));
  const answers = plan.views.map((view) => readView(view, keys, rows, reader, nowUs));
  const present = stateText(repeated('"PRESENT"', rows), repeated(EPOCH, rows));
  let text = '{"results":[';
  let names = '';
  let separator = '';
  for (const [name] of entities) {
    const place = placeOf(plan, name);
    const key = plan.keys[place];
    if (key === undefined) continue;
    text += `${separator}{"values":[${keyTexts(key, keys[place] ?? [])}${present}`;
    names += separator + key.nameText;
    separator = ',';
  }
  for (const { view, column } of plan.outputs) {
    const { values, states } = answers[view] as ViewAnswer;
    text += `${separator}{"values":[${values[column] ?? ''}${states[column] ?? states[0] ?? ''}`;
    separator = ',';
  }
  if (names !== '' && plan.outputs.length > 0) names += ',';
  text += `],"metadata":{"feature_names":[${names}${plan.outputNamesText}]}}`;
  let corrupt = 0;
  for (const answer of answers) corrupt += answer.corrupt;
  return { text, rows: rows * plan.views.length, corrupt };
}

function placeOf(plan: ReadPlan, name: string): number {
  return plan.keys.findIndex((key) => key.joinKey.name === name);
}

function keyTexts(key: PlanKey, values: readonly ScalarValue[]): string {
  let text = '';
  for (let row = 0; row < values.length; row++) text += (row === 0 ? '' : ',') + key.write(values[row] as ScalarValue);
  return text;
}

/** Storage keys by view, then by entity row. */
export function storageKeys(plan: ReadPlan, entities: ReadRequest['entities']): Buffer[][] {
  const rows = entityRows(plan, entities);
  const keys = plan.keys.map((key) => acceptColumn(key, entities));
  return plan.views.map((view) =>
    Array.from({ length: rows }, (_, row) => {
      const key = view.keys.map((place) => keys[place]?.[row] as ScalarValue);
      return storageKey(view, key, row);
    }),
  );
}

/** Number of entity rows. All columns must have it, and no join key may be missing. */
export function entityRows(plan: ReadPlan, entities: ReadRequest['entities']): number {
  for (const { joinKey } of plan.keys)
    if (columnOf(entities, joinKey.name) === undefined) throw keyMissing(plan, entities);
  const rows = entities[0]?.[1].length ?? 0;
  for (const [, values] of entities) {
    if (values.length !== rows) throw invalidRequest('All entity rows must have the same columns.');
  }
  return rows;
}

function keyMissing(plan: ReadPlan, entities: ReadRequest['entities']): Error {
  const names = new Set(entities.map(([name]) => name));
  const missing = new Set(plan.keys.map((key) => key.joinKey.name).filter((name) => !names.has(name)));
  const list = (values: Iterable<string>) =>
    `[${[...values]
      .slice(0, 20)
      .map((value) => `'${value.slice(0, 100).toWellFormed()}'`)
      .join(', ')}]`;
  return invalidRequest(`Missing join key values for keys: ${list(missing)}. Provided join_key_values: ${list(names)}`);
}

function columnOf(entities: ReadRequest['entities'], name: string): readonly unknown[] | undefined {
  for (const [column, values] of entities) if (column === name) return values;
  return undefined;
}

function acceptColumn(key: PlanKey, entities: ReadRequest['entities']): ScalarValue[] {
  const { name } = key.joinKey;
  const raw = columnOf(entities, name) ?? [];
  const accepted: ScalarValue[] = [];
  for (let row = 0; row < raw.length; row++) {
    try {
      accepted.push(key.codec.acceptKeyValue(key.joinKey, raw[row], name));
    } catch (caught) {
      throw entityViolation(caught, ['entities', name, row], raw[row]);
    }
  }
  return accepted;
}

function entityViolation(caught: unknown, loc: readonly (string | number)[], input: unknown): unknown {
  if (!(caught instanceof AntipodeError) || caught.code !== 'ROW_INVALID') return caught;
  return violation('value_error', loc, caught.message, input);
}

interface ViewAnswer {
  /** Of each column its values, separated by commas. */
  readonly values: readonly string[];
  /** Of each column what follows its values; under row granularity one text for all. */
  readonly states: readonly string[];
  readonly corrupt: number;
}

/** What was found of an entity row in a view. */
type Found = StoredRow | 'invalid' | undefined;

/** Event times as text; the text of the last one is kept, because rows of one run often share it. */
class TimeText {
  #us = Number.NaN;
  #text = EPOCH;

  of(us: number): string {
    if (us === this.#us) return this.#text;
    this.#text = `"${formatTimestamp(us)}"`;
    this.#us = us;
    return this.#text;
  }
}

/** Looks all rows up and writes each to the columns asked for. */
function readView(
  view: PlanView,
  keys: readonly (readonly ScalarValue[])[],
  rows: number,
  reader: Pick<OnlineReader, 'row'>,
  nowUs: number,
): ViewAnswer {
  const { columns } = view;
  const stateColumns = view.codec.view.granularity === 'feature' ? columns.length : 1;
  const values = grid(columns.length);
  const statuses = grid(stateColumns);
  const times = grid(stateColumns);
  const key: ScalarValue[] = [];
  const time = new TimeText();
  let corrupt = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < view.keys.length; i++) key[i] = keys[view.keys[i] as number]?.[row] as ScalarValue;
    const found = readOrInvalid(view, reader, storageKey(view, key, row), time);
    if (found === 'invalid') corrupt += 1;
    const live = typeof found === 'object' && found.live ? found : undefined;
    const absent = found === 'invalid' ? '"INVALID"' : '"NOT_FOUND"';
    for (let i = 0; i < columns.length; i++) {
      const { featureIndex, write } = columns[i] as PlanView['columns'][number];
      values[i]?.push(live === undefined ? 'null' : write(live.values[featureIndex] ?? null));
    }
    for (let i = 0; i < stateColumns; i++) {
      const us = live === undefined ? null : eventTimeOf(live, columns[i]?.featureIndex ?? 0);
      const fresh = us === null || nowUs - us <= view.maxAgeUs;
      statuses[i]?.push(us === null ? absent : fresh ? '"PRESENT"' : '"OUTSIDE_MAX_AGE"');
      times[i]?.push(us === null ? EPOCH : time.of(us));
    }
  }
  const states = statuses.map((status, i) => stateText(status.join(','), (times[i] ?? []).join(',')));
  return { values: values.map((texts) => texts.join(',')), states, corrupt };
}

function grid(columns: number): string[][] {
  const texts: string[][] = [];
  for (let i = 0; i < columns; i++) texts.push([]);
  return texts;
}

/** Null for a feature that was never written, or deleted. */
function eventTimeOf(stored: StoredRow, place: number): number | null {
  return stored.eventTimesUs === null ? stored.eventTimeUs : (stored.eventTimesUs[place] ?? null);
}

function storageKey(view: PlanView, key: readonly ScalarValue[], row: number): Buffer {
  try {
    return view.codec.encodeRowKey(key);
  } catch (caught) {
    throw entityViolation(caught, ['entities', row], null);
  }
}

/**
 * Decodes a row; bytes that are not what was written, do not decode, or carry an impossible time are answered as INVALID and
 * never guessed at (I15).
 */
function readOrInvalid(view: PlanView, reader: Pick<OnlineReader, 'row'>, key: Buffer, time: TimeText): Found {
  try {
    const bytes = reader.row(key);
    if (bytes === undefined) return undefined;
    const stored = readStored(view.codec, bytes, true);
    if (!stored.live) return stored;
    if (stored.eventTimesUs === null) time.of(stored.eventTimeUs);
    else for (const us of stored.eventTimesUs) if (us !== null) time.of(us);
    return stored;
  } catch {
    return 'invalid';
  }
}

function repeated(item: string, times: number): string {
  return times === 0 ? '' : `${`${item},`.repeat(times - 1)}${item}`;
}

/** What follows the values of a column. */
function stateText(statuses: string, timestamps: string): string {
  return `],"statuses":[${statuses}],"event_timestamps":[${timestamps}]}`;
}
