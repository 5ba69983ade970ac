import { parseEventTime } from '#core/codec/value-time';
import { AntipodeError } from '#core/errors';
import type { Feature, FeatureValue, ScalarValue } from '#core/model/feature-view';
import type { IngestChange } from '#region/engine-api';
import { brief, ValidationFault, type Violation, violation } from '#server/feast/faults';
import type { CompiledView } from '#server/views/view-catalog';

/** Faults reported of one request; the rest is like them. */
const VIOLATIONS_MAX = 10;
/** What Feast's remote client calls the event time, whatever the view calls it. */
const FEAST_EVENT_TIME = 'event_timestamp';

/** The columns of a data frame, by name. */
export type DataFrame = ReadonlyMap<string, readonly unknown[]>;

/**
 * Turns a data frame into upserts of a view. Needs a column for every join key, the event time (as the view calls it, or
 * `event_timestamp`) and every feature; under feature granularity for some feature at least, and those without a column
 * keep what they have. Other columns, such as Feast's `created`, are left aside. One row that does not fit refuses the whole
 * frame, naming row and column: a write is applied as a whole or not at all.
 */
export function frameToChanges(compiled: CompiledView, frame: DataFrame): IngestChange[] {
  const { view, codec } = compiled;
  const present = view.features.keys().filter((place) => frame.has(view.features[place]?.name ?? ''));
  const places = view.granularity === 'feature' ? [...present] : undefined;
  const partial = places !== undefined && places.length > 0 && places.length < view.features.length;
  const features = partial ? places.map((place) => view.features[place] as Feature) : view.features;
  const timeColumn = timeColumnOf(compiled, frame);
  requireColumns(compiled, frame, [...view.joinKeys, ...features], timeColumn);
  return eachRow(frame, frame.get(timeColumn)?.length ?? 0, (row, cell) => {
    const where = `row ${row}`;
    const key = cell.key(compiled, where);
    const values = features.map((feature) =>
      cell.value(feature.name, (raw) => codec.acceptValue(feature, raw, where)),
    ) as FeatureValue[];
    const eventTimeUs = cell.value(timeColumn, (raw) => parseEventTime(raw, where));
    return () => ({
      operation: 'upsert',
      eventTimeUs: eventTimeUs as number,
      key: codec.encodeKey(key),
      row: partial ? codec.encodeFeatures(places, values) : codec.encodeRow(values),
      ...(partial ? { features: places } : {}),
    });
  });
}

/**
 * Turns a data frame into deletes: a column for every join key, and one for the event time, which is `nowUs` where it is
 * left out; required when that is undefined.
 */
export function frameToDeletes(compiled: CompiledView, frame: DataFrame, nowUs: number | undefined): IngestChange[] {
  const { view, codec } = compiled;
  const timeColumn = timeColumnOf(compiled, frame);
  const timed = nowUs === undefined || frame.has(timeColumn);
  requireColumns(compiled, frame, view.joinKeys, timed ? timeColumn : undefined);
  const rows = frame.get(timed ? timeColumn : (view.joinKeys[0]?.name ?? ''))?.length ?? 0;
  return eachRow(frame, rows, (row, cell) => {
    const where = `row ${row}`;
    const key = cell.key(compiled, where);
    const eventTimeUs = timed ? cell.value(timeColumn, (raw) => parseEventTime(raw, where)) : nowUs;
    return () => ({
      operation: 'delete',
      eventTimeUs: eventTimeUs as number,
      key: codec.encodeKey(key),
      row: Buffer.alloc(0),
    });
  });
}

/** Cells of one row, as they are accepted; what does not fit is noted. */
interface RowCells {
  value<Value>(column: string, accept: (raw: unknown) => Value): Value | undefined;
  key(compiled: CompiledView, where: string): ScalarValue[];
}

/** Reads row after row; `encode`, which `read` returns, is only called for a row whose cells all fit. */
function eachRow(
  frame: DataFrame,
  rows: number,
  read: (row: number, cells: RowCells) => () => IngestChange,
): IngestChange[] {
  requireEqualLengths(frame, rows);
  const faults: Violation[] = [];
  const changes: IngestChange[] = [];
  for (let row = 0; row < rows && faults.length < VIOLATIONS_MAX; row++) {
    const faultsBefore = faults.length;
    const value: RowCells['value'] = (column, accept) => {
      const raw = frame.get(column)?.[row];
      try {
        return accept(raw);
      } catch (caught) {
        faults.push(rowViolation(caught, ['body', 'df', column, row], raw));
        return undefined;
      }
    };
    const key: RowCells['key'] = ({ view, codec }, where) =>
      view.joinKeys.map(
        (joinKey) => value(joinKey.name, (raw) => codec.acceptKeyValue(joinKey, raw, where)) as ScalarValue,
      );
    const encode = read(row, { value, key });
    if (faults.length > faultsBefore) continue;
    try {
      changes.push(encode());
    } catch (caught) {
      faults.push(rowViolation(caught, ['body', 'df', row], null));
    }
  }
  if (faults.length > 0) throw new ValidationFault(faults.slice(0, VIOLATIONS_MAX), { code: 'ROW_INVALID' });
  return changes;
}

function timeColumnOf({ view }: CompiledView, frame: DataFrame): string {
  return frame.has(view.eventTimeColumn) ? view.eventTimeColumn : FEAST_EVENT_TIME;
}

function requireColumns(
  { view }: CompiledView,
  frame: DataFrame,
  columns: readonly { readonly name: string }[],
  timeColumn: string | undefined,
): void {
  const missing = columns.map(({ name }) => name).filter((name) => !frame.has(name));
  if (timeColumn !== undefined && !frame.has(timeColumn)) missing.push(view.eventTimeColumn);
  if (missing.length === 0) return;
  throw new ValidationFault(
    missing.slice(0, VIOLATIONS_MAX).map((name) => ({
      type: 'missing',
      loc: ['body', 'df', name],
      msg: `Field required: feature view ${view.name} has the column ${name}`,
      input: null,
    })),
  );
}

function requireEqualLengths(frame: DataFrame, rows: number): void {
  for (const [column, values] of frame) {
    if (values.length !== rows) {
      throw violation(
        'value_error',
        ['df', column],
        `The column has ${values.length} values, the event time has ${rows}`,
        null,
      );
    }
  }
}

function rowViolation(caught: unknown, loc: readonly (string | number)[], input: unknown): Violation {
  if (!(caught instanceof AntipodeError) || caught.code !== 'ROW_INVALID') throw caught;
  return { type: 'value_error', loc, msg: caught.message, input: brief(input) };
}
