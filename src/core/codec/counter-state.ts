import { INT64_MAX, INT64_MIN } from '#core/codec/value-limits';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { FeatureValue } from '#core/model/feature-view';

/**
 * The payload of a counter's cell: one component for each producer, in the bytewise order of their names (P9.3). A change
 * carries a state of one component as its row.
 *
 *   component   u32 length of the rest · u8 length of the name · name · sequence 8 · Avro row of the producer's totals
 */
interface Component {
  /** From its length on. */
  readonly start: number;
  readonly name: number;
  readonly sequence: number;
  readonly row: number;
  readonly end: number;
}

const LENGTH_BYTES = 4;
const SEQUENCE_BYTES = 8;

/** Producers whose totals one entity key can hold: the row is read and rewritten as a whole with every write. */
export const PRODUCERS_MAX = 256;

const PRODUCER_NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** A producer of counter writes: its totals only count once, under the greatest sequence it ever sent. */
export interface Producer {
  /** 1 to 64 of A-Z a-z 0-9 . _ - */
  readonly name: string;
  /** 0 to 2^53 - 1; grows with every write of the producer. */
  readonly sequence: number;
}

/** What is wrong with a producer, as words that follow "the producer"; undefined when nothing is. */
export function producerFault(producer: Producer): string | undefined {
  if (typeof producer.name !== 'string' || !PRODUCER_NAME.test(producer.name))
    return 'name is not 1 to 64 characters of A-Z a-z 0-9 . _ -';
  if (!Number.isSafeInteger(producer.sequence) || producer.sequence < 0)
    return 'sequence is not a whole number from 0 to 2^53 - 1';
  return undefined;
}

/** The row of a counter change: a state of one component. */
export function encodeComponent(producer: Producer, row: Uint8Array): Buffer {
  const name = Buffer.from(producer.name, 'latin1');
  const target = Buffer.allocUnsafe(LENGTH_BYTES + 1 + name.length + SEQUENCE_BYTES + row.length);
  let at = target.writeUInt32BE(target.length - LENGTH_BYTES, 0);
  at = target.writeUInt8(name.length, at);
  at += name.copy(target, at);
  at = target.writeBigUInt64BE(BigInt(producer.sequence), at);
  target.set(row, at);
  return target;
}

function components(bytes: Buffer, start: number, end: number): Component[] | undefined {
  const found: Component[] = [];
  let at = start;
  while (at < end) {
    const name = at + LENGTH_BYTES + 1;
    if (name > end) return undefined;
    const componentEnd = at + LENGTH_BYTES + bytes.readUInt32BE(at);
    const sequence = name + (bytes[name - 1] as number);
    const row = sequence + SEQUENCE_BYTES;
    if (row > componentEnd || componentEnd > end) return undefined;
    const component = { start: at, name, sequence, row, end: componentEnd };
    const before = found[found.length - 1];
    if (before !== undefined && compareNames(bytes, before, bytes, component) >= 0) return undefined;
    found.push(component);
    at = componentEnd;
  }
  return found;
}

function compareNames(a: Buffer, x: Component, b: Buffer, y: Component): number {
  return a.compare(b, y.name, y.sequence, x.name, x.sequence);
}

/** Of one producer's components the greater sequence stays, of equal ones the greater bytes. */
function compareVersions(a: Buffer, x: Component, b: Buffer, y: Component): number {
  return a.compare(b, y.sequence, y.end, x.sequence, x.end);
}

/** Number of producers in a state; undefined when the bytes are none. */
export function producerCount(bytes: Buffer, start: number, end: number): number | undefined {
  return components(bytes, start, end)?.length;
}

/** Whether a state holds a component of this producer. */
export function hasProducer(bytes: Buffer, start: number, end: number, name: string): boolean {
  return (components(bytes, start, end) ?? []).some(
    (component) => bytes.toString('latin1', component.name, component.sequence) === name,
  );
}

/** A part of the bytes of one of two merged values. */
export interface Slice {
  readonly from: Buffer;
  readonly start: number;
  readonly end: number;
}

/**
 * The components of two states together, in order, as ranges of the values they lie in. A state that is none counts as
 * below every other; undefined when both are.
 */
export function mergeStates(a: Slice, b: Slice): Slice[] | undefined {
  const left = components(a.from, a.start, a.end);
  const right = components(b.from, b.start, b.end);
  if (left === undefined || right === undefined) {
    const whole = left !== undefined ? a : right !== undefined ? b : undefined;
    return whole === undefined ? undefined : [whole];
  }
  const merged: Slice[] = [];
  const take = (from: Buffer, { start, end }: Component): void => {
    merged.push({ from, start, end });
  };
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    const x = left[i];
    const y = right[j];
    const names = x === undefined ? 1 : y === undefined ? -1 : compareNames(a.from, x, b.from, y);
    if (x !== undefined && y !== undefined && names === 0) {
      if (compareVersions(a.from, x, b.from, y) >= 0) take(a.from, x);
      else take(b.from, y);
    } else if (names < 0) take(a.from, x as Component);
    else take(b.from, y as Component);
    if (names <= 0) i++;
    if (names >= 0) j++;
  }
  return merged;
}

/**
 * The served values: for each feature the sum over producers, in the order of their names. int64 stops at its limits,
 * float64 at the greatest finite number; null where every producer's total is null. ROW_INVALID when the bytes are no state.
 */
export function foldState(codec: ViewCodec, bytes: Buffer, start: number, end: number): FeatureValue[] {
  const found = components(bytes, start, end);
  if (found === undefined) throw new AntipodeError('ROW_INVALID', `view ${codec.view.name}: the bytes are no counter`);
  const sums: (number | bigint | null)[] = codec.view.features.map(() => null);
  for (const { row, end: rowEnd } of found) {
    const totals = codec.decodeRow(bytes, row, rowEnd);
    for (let i = 0; i < sums.length; i++) sums[i] = add(sums[i] ?? null, totals[i] as number | bigint | null);
  }
  return sums.map((sum) => (typeof sum === 'bigint' ? clampInt64(sum) : typeof sum === 'number' ? clamp(sum) : null));
}

function add(sum: number | bigint | null, total: number | bigint | null): number | bigint | null {
  if (total === null) return sum;
  if (typeof total === 'bigint') return (typeof sum === 'bigint' ? sum : 0n) + total;
  return clamp((typeof sum === 'number' ? sum : 0) + total);
}

function clampInt64(value: bigint): bigint {
  return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : value;
}

function clamp(value: number): number {
  if (value === Number.POSITIVE_INFINITY) return Number.MAX_VALUE;
  return value === Number.NEGATIVE_INFINITY ? -Number.MAX_VALUE : value;
}
