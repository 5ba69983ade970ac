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

interface Column {
  readonly name: string;
  readonly values: string;
  readonly statuses: string;
  readonly timestamps: string;
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
  const present = repeated('"PRESENT"', rows);
  const epochs = repeated(EPOCH, rows);
  const columns: Column[] = [];
  for (const [name] of entities) {
    const place = plan.keys.findIndex((key) => key.joinKey.name === name);
    const key = plan.keys[place];
    if (key === undefined) continue;
    const values = (keys[place] ?? []).map(key.write).join(',');
    columns.push({ name, values, statuses: present, timestamps: epochs });
  }
  for (let i = 0; i < plan.outputs.length; i++) {
    const output = plan.outputs[i];
    const answer = output === undefined ? undefined : answers[output.view]?.columns[output.column];
    if (answer !== undefined) columns.push({ name: plan.outputNames[i] ?? '', ...answer });
  }
  return {
    text: answerText(columns),
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

/** One requested feature's part of an answer, separated by commas. */
interface ColumnAnswer {
  values: string;
  statuses: string;
  timestamps: string;
}

interface ViewAnswer {
  readonly columns: readonly ColumnAnswer[];
  readonly corrupt: number;
}

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

function readView(
  view: PlanView,
  keys: readonly (readonly ScalarValue[])[],
  rows: number,
  reader: Pick<OnlineReader, 'row'>,
  nowUs: number,
): ViewAnswer {
  const columns: ColumnAnswer[] = view.columns.map(() => ({ values: '', statuses: '', timestamps: '' }));
  const shared: ColumnAnswer = { values: '', statuses: '', timestamps: '' };
  const perFeature = view.codec.view.granularity === 'feature';
  const key: ScalarValue[] = [];
  const time = new TimeText();
  let corrupt = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < view.keys.length; i++) key[i] = keys[view.keys[i] as number]?.[row] as ScalarValue;
    const stored = readOrInvalid(view, reader, storageKey(view, key, row), time);
    const comma = row === 0 ? '' : ',';
    if (stored === 'invalid') corrupt += 1;
    for (let i = 0; i < columns.length; i++) {
      const column = columns[i] as ColumnAnswer;
      const { featureIndex, write } = view.columns[i] as PlanView['columns'][number];
      const found = typeof stored === 'object' && stored.live;
      column.values += comma + (found ? write(stored.values[featureIndex] ?? null) : 'null');
      if (perFeature) appendState(column, comma, stored, featureIndex, { view, time, nowUs });
    }
    if (!perFeature) appendState(shared, comma, stored, 0, { view, time, nowUs });
  }
  if (perFeature) return { columns, corrupt };
  const { statuses, timestamps } = shared;
  return { columns: columns.map(({ values }) => ({ values, statuses, timestamps })), corrupt };
}

/** Status and event time of one feature of a row; under row granularity, of all of them. */
function appendState(
  target: ColumnAnswer,
  comma: string,
  stored: StoredRow | 'invalid' | undefined,
  place: number,
  { view, time, nowUs }: { readonly view: PlanView; readonly time: TimeText; readonly nowUs: number },
): void {
  const us = typeof stored !== 'object' || !stored.live ? null : eventTimeOf(stored, place);
  if (us === null) {
    target.statuses += comma + (stored === 'invalid' ? '"INVALID"' : '"NOT_FOUND"');
    target.timestamps += comma + EPOCH;
    return;
  }
  target.statuses += comma + (nowUs - us > view.maxAgeUs ? '"OUTSIDE_MAX_AGE"' : '"PRESENT"');
  target.timestamps += comma + time.of(us);
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
function readOrInvalid(
  view: PlanView,
  reader: Pick<OnlineReader, 'row'>,
  key: Buffer,
  time: TimeText,
): StoredRow | 'invalid' | undefined {
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

function answerText(columns: readonly Column[]): string {
  let text = '{"results":[';
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i] as Column;
    text += `${i === 0 ? '' : ','}{"values":[${column.values}],"statuses":[${column.statuses}],"event_timestamps":[${column.timestamps}]}`;
  }
  return `${text}],"metadata":{"feature_names":[${columns.map((column) => JSON.stringify(column.name)).join(',')}]}}`;
}
