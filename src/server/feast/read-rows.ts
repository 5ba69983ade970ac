import { readStored, type StoredRow } from '#core/codec/stored-value';
import { formatTimestamp } from '#core/codec/value-time';
import { AntipodeError } from '#core/errors';
import type { ScalarValue } from '#core/model/feature-view';
import type { OnlineReader } from '#ports/online-store';
import { invalidRequest, violation } from '#server/feast/faults';
import type { PlanKey, PlanView, ReadPlan } from '#server/feast/read-plan';
import type { ValueWriter } from '#server/json/value-writer';

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

/** One column of an answer: its values, separated by commas, and the text of its statuses and event times. */
interface Column {
  readonly values: string;
  readonly state: string;
}

/**
 * Answers a read: one lookup an entity row and view, each row decoded once, and the answer put together as text. Under row
 * granularity all features of a view share statuses and event times, because those belong to the row.
 */
export function readRows(options: ReadRequest): ReadOutcome {
  const { plan, entities, reader, nowUs } = options;
  const rows = entityRows(plan, entities);
  const keys = plan.keys.map((key) => acceptColumn(key, entities));
  const answers = plan.views.map((view) => readView(view, keys, rows, reader, nowUs));
  const present = stateText(repeated('"PRESENT"', rows), repeated(EPOCH, rows));
  const columns: Column[] = [];
  const names: string[] = [];
  for (const [name] of entities) {
    const place = plan.keys.findIndex((key) => key.joinKey.name === name);
    const key = plan.keys[place];
    if (key === undefined) continue;
    names.push(name);
    columns.push({ values: (keys[place] ?? []).map(key.write).join(','), state: present });
  }
  for (let i = 0; i < plan.outputs.length; i++) {
    const output = plan.outputs[i];
    const answer = output === undefined ? undefined : answers[output.view]?.columns[output.column];
    if (answer === undefined) continue;
    names.push(plan.outputNames[i] ?? '');
    columns.push(answer);
  }
  return {
    text: answerText(columns, names),
    rows: rows * plan.views.length,
    corrupt: answers.reduce((sum, answer) => sum + answer.corrupt, 0),
  };
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
export function entityRows(plan: ReadPlan, entities: readonly (readonly [string, readonly unknown[]])[]): number {
  const names = new Set(entities.map(([name]) => name));
  const missing = new Set(plan.keys.map((key) => key.joinKey.name).filter((name) => !names.has(name)));
  if (missing.size > 0) {
    const list = (values: Iterable<string>) =>
      `[${[...values]
        .slice(0, 20)
        .map((value) => `'${value.slice(0, 100).toWellFormed()}'`)
        .join(', ')}]`;
    throw invalidRequest(
      `Missing join key values for keys: ${list(missing)}. Provided join_key_values: ${list(names)}`,
    );
  }
  const rows = entities[0]?.[1].length ?? 0;
  if (entities.some(([, values]) => values.length !== rows)) {
    throw invalidRequest('All entity rows must have the same columns.');
  }
  return rows;
}

function acceptColumn(key: PlanKey, entities: readonly (readonly [string, readonly unknown[]])[]): ScalarValue[] {
  const { name } = key.joinKey;
  const raw = entities.find(([column]) => column === name)?.[1] ?? [];
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
  readonly columns: readonly Column[];
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

/**
 * Looks all rows up, then writes column by column: texts are joined once each. Growing one text a column by hundreds of
 * small pieces costs twice as much.
 */
function readView(
  view: PlanView,
  keys: readonly (readonly ScalarValue[])[],
  rows: number,
  reader: Pick<OnlineReader, 'row'>,
  nowUs: number,
): ViewAnswer {
  const found: Found[] = [];
  const key: ScalarValue[] = [];
  const time = new TimeText();
  let corrupt = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < view.keys.length; i++) key[i] = keys[view.keys[i] as number]?.[row] as ScalarValue;
    const stored = readOrInvalid(view, reader, storageKey(view, key, row), time);
    if (stored === 'invalid') corrupt += 1;
    found.push(stored);
  }
  const perFeature = view.codec.view.granularity === 'feature';
  const state = (place: number): string => stateOf(found, place, { view, time, nowUs });
  const shared = perFeature ? '' : state(0);
  const columns = view.columns.map(({ featureIndex, write }) => ({
    values: found.map((stored) => valueText(stored, featureIndex, write)).join(','),
    state: perFeature ? state(featureIndex) : shared,
  }));
  return { columns, corrupt };
}

function valueText(stored: Found, place: number, write: ValueWriter): string {
  return typeof stored === 'object' && stored.live ? write(stored.values[place] ?? null) : 'null';
}

/** Statuses and event times of one feature; under row granularity, of all of them. */
function stateOf(
  found: readonly Found[],
  place: number,
  { view, time, nowUs }: { readonly view: PlanView; readonly time: TimeText; readonly nowUs: number },
): string {
  const statuses: string[] = [];
  const timestamps: string[] = [];
  for (const stored of found) {
    const us = typeof stored !== 'object' || !stored.live ? null : eventTimeOf(stored, place);
    if (us === null) {
      statuses.push(stored === 'invalid' ? '"INVALID"' : '"NOT_FOUND"');
      timestamps.push(EPOCH);
    } else {
      statuses.push(nowUs - us > view.maxAgeUs ? '"OUTSIDE_MAX_AGE"' : '"PRESENT"');
      timestamps.push(time.of(us));
    }
  }
  return stateText(statuses.join(','), timestamps.join(','));
}

/** Null for a feature that was never written, or deleted. */
function eventTimeOf(stored: StoredRow, place: number): number | null {
  return stored.eventTimesUs === null ? stored.eventTimeUs : (stored.eventTimesUs[place] ?? null);
}

function storageKey(view: PlanView, key: readonly ScalarValue[], row: number): Buffer {
  try {
    return view.codec.rowKey(view.codec.encodeKey(key));
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
    const stored = readStored(view.codec, bytes);
    if (stored.live) for (const us of stored.eventTimesUs ?? [stored.eventTimeUs]) if (us !== null) time.of(us);
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

function answerText(columns: readonly Column[], names: readonly string[]): string {
  const results = columns.map(({ values, state }) => `{"values":[${values}${state}`).join(',');
  return `{"results":[${results}],"metadata":{"feature_names":[${names.map((name) => JSON.stringify(name)).join(',')}]}}`;
}
