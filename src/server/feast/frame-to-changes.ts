import { parseEventTime } from '#core/codec/value-time';
import { AntipodeError } from '#core/errors';
import type { FeatureValue, ScalarValue } from '#core/model/feature-view';
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
 * Turns a data frame into upserts of a view. Needs a column for every join key, every feature and the event time (as the
 * view calls it, or `event_timestamp`); columns beyond those, such as Feast's `created`, are left aside. One row that does
 * not fit refuses the whole frame, naming row and column: a write is applied as a whole or not at all.
 */
export function frameToChanges(compiled: CompiledView, frame: DataFrame): IngestChange[] {
  const { view, codec } = compiled;
  const timeColumn = frame.has(view.eventTimeColumn) ? view.eventTimeColumn : FEAST_EVENT_TIME;
  requireColumns(compiled, frame, timeColumn);
  const rows = frame.get(timeColumn)?.length ?? 0;
  requireEqualLengths(frame, rows);
  const faults: Violation[] = [];
  const changes: IngestChange[] = [];
  const cell = <Value>(column: string, row: number, accept: (raw: unknown) => Value): Value | undefined => {
    const raw = frame.get(column)?.[row];
    try {
      return accept(raw);
    } catch (caught) {
      faults.push(rowViolation(caught, ['body', 'df', column, row], raw));
      return undefined;
    }
  };
  for (let row = 0; row < rows && faults.length < VIOLATIONS_MAX; row++) {
    const where = `row ${row}`;
    const faultsBefore = faults.length;
    const key = view.joinKeys.map((joinKey) =>
      cell(joinKey.name, row, (raw) => codec.acceptKeyValue(joinKey, raw, where)),
    );
    const values = view.features.map((feature) =>
      cell(feature.name, row, (raw) => codec.acceptValue(feature, raw, where)),
    );
    const eventTimeUs = cell(timeColumn, row, (raw) => parseEventTime(raw, where));
    if (faults.length > faultsBefore || eventTimeUs === undefined) continue;
    try {
      changes.push({
        operation: 'upsert',
        eventTimeUs,
        key: codec.encodeKey(key as ScalarValue[]),
        row: codec.encodeRow(values as FeatureValue[]),
      });
    } catch (caught) {
      faults.push(rowViolation(caught, ['body', 'df', row], null));
    }
  }
  if (faults.length > 0) throw new ValidationFault(faults.slice(0, VIOLATIONS_MAX), { code: 'ROW_INVALID' });
  return changes;
}

function requireColumns(compiled: CompiledView, frame: DataFrame, timeColumn: string): void {
  const { view } = compiled;
  const missing = [...view.joinKeys, ...view.features].map(({ name }) => name).filter((name) => !frame.has(name));
  if (!frame.has(timeColumn)) missing.push(view.eventTimeColumn);
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
