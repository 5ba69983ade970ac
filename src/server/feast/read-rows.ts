import { ROW_DELETED, ROW_LIVE } from '#core/codec/stored-row';
import { formatTimestamp } from '#core/codec/value-time';
import { AntipodeError } from '#core/errors';
import type { ScalarValue } from '#core/model/feature-view';
import { readEventTimeUs, stampLength } from '#core/model/stamp';
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
  /** Rows that are not in the store at all; deleted ones are not counted. */
  readonly absent: number;
  /** Rows whose bytes do not decode: answered as INVALID, never as a guess. */
  readonly corrupt: number;
}

interface Column {
  readonly name: string;
  readonly values: string;
  readonly statuses: string;
  readonly timestamps: string;
}

/**
 * Answers a read: one lookup an entity row and view, each row decoded once, and the answer put together as text. All
 * features of a view share one column of statuses and one of event times, because those belong to the row.
 */
export function readRows(options: {
  readonly plan: ReadPlan;
  readonly entities: readonly (readonly [name: string, values: readonly unknown[]])[];
  readonly reader: OnlineReader;
  readonly nowUs: number;
}): ReadOutcome {
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
    const answer = output === undefined ? undefined : answers[output.view];
    if (output === undefined || answer === undefined) continue;
    columns.push({
      name: plan.outputNames[i] ?? '',
      values: answer.columns[output.column] ?? '',
      statuses: answer.statuses,
      timestamps: answer.timestamps,
    });
  }
  return {
    text: answerText(columns),
    rows: rows * plan.views.length,
    absent: answers.reduce((sum, answer) => sum + answer.absent, 0),
    corrupt: answers.reduce((sum, answer) => sum + answer.corrupt, 0),
  };
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
  /** Values of each requested feature, separated by commas. */
  readonly columns: readonly string[];
  readonly statuses: string;
  readonly timestamps: string;
  readonly absent: number;
  readonly corrupt: number;
}

function readView(
  view: PlanView,
  keys: readonly (readonly ScalarValue[])[],
  rows: number,
  reader: OnlineReader,
  nowUs: number,
): ViewAnswer {
  const columns: string[] = view.columns.map(() => '');
  const key: ScalarValue[] = [];
  const event = { us: Number.NaN, text: EPOCH };
  let statuses = '';
  let timestamps = '';
  let absent = 0;
  let corrupt = 0;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < view.keys.length; i++) key[i] = keys[view.keys[i] as number]?.[row] as ScalarValue;
    const stored = reader.row(storageKey(view, key, row));
    const comma = row === 0 ? '' : ',';
    let status = '"NOT_FOUND"';
    if (stored === undefined) absent += 1;
    else if (stored[stampLength(stored)] !== ROW_DELETED) {
      status = appendRow(view, stored, columns, comma, event, nowUs);
      if (status === '"INVALID"') corrupt += 1;
    }
    const found = status === '"PRESENT"' || status === '"OUTSIDE_MAX_AGE"';
    if (!found) for (let i = 0; i < columns.length; i++) columns[i] += `${comma}null`;
    statuses += comma + status;
    timestamps += comma + (found ? event.text : EPOCH);
  }
  return { columns, statuses, timestamps, absent, corrupt };
}

function storageKey(view: PlanView, key: readonly ScalarValue[], row: number): Buffer {
  try {
    return view.codec.rowKey(view.codec.encodeKey(key));
  } catch (caught) {
    throw entityViolation(caught, ['entities', row], null);
  }
}

/** Appends the row's values and leaves its time in `event`; when the bytes do not decode, appends nothing and says INVALID. */
function appendRow(
  view: PlanView,
  stored: Buffer,
  columns: string[],
  comma: string,
  event: { us: number; text: string },
  nowUs: number,
): string {
  let values: ReturnType<PlanView['codec']['decodeRow']>;
  let us: number;
  try {
    us = readEventTimeUs(stored);
    const flag = stampLength(stored);
    if (stored[flag] !== ROW_LIVE) return '"INVALID"';
    values = view.codec.decodeRow(stored, flag + 1, stored.length);
    if (us !== event.us) {
      event.text = `"${formatTimestamp(us)}"`;
      event.us = us;
    }
  } catch {
    event.us = Number.NaN;
    return '"INVALID"';
  }
  for (let i = 0; i < columns.length; i++) {
    const column = view.columns[i] as PlanView['columns'][number];
    columns[i] += comma + column.write(values[column.featureIndex] ?? null);
  }
  return nowUs - us > view.maxAgeUs ? '"OUTSIDE_MAX_AGE"' : '"PRESENT"';
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
