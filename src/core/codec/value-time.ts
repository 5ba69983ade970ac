import { AntipodeError } from '#core/errors';

/**
 * Text and number forms of points in time. In memory a time is a safe integer of microseconds since the epoch, UTC,
 * which spans the years 1684 to 2255.
 */
const TIMESTAMP =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?: ?([Zz]|[+-]\d{2}(?::?\d{2})?))?)?$/;

const TIMESTAMP_REMEDY =
  'Send RFC 3339 text such as 2026-08-02T10:00:00Z (without a zone it means UTC), or epoch seconds as a number; years 1684 to 2255.';

/** Microseconds of RFC 3339 text, tolerant as Feast is; undefined when it is not a time. Digits beyond microseconds are cut off. */
export function timestampFromText(text: string): number | undefined {
  const match = TIMESTAMP.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = [1, 2, 3, 4, 5, 6].map((group) => Number(match[group] ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const days = Date.UTC(year, month - 1, day);
  // Date.UTC rolls 30 February over into March: only a date that survives the round trip exists.
  if (new Date(days).toISOString().slice(0, 10) !== text.slice(0, 10)) return undefined;
  const offsetMinutes = zoneOffsetMinutes(match[8]);
  if (offsetMinutes === undefined) return undefined;
  const wholeMs = days + ((hour * 60 + minute - offsetMinutes) * 60 + second) * 1000;
  const fractionUs = Number((match[7] ?? '').padEnd(6, '0').slice(0, 6));
  return checked(wholeMs * 1000 + fractionUs);
}

function zoneOffsetMinutes(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z' || zone === 'z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(3).replace(':', ''));
  if (hours > 23 || minutes > 59) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

function checked(us: number): number | undefined {
  return Number.isSafeInteger(us) ? us + 0 : undefined;
}

/** Microseconds of any accepted form: RFC 3339 text, or epoch seconds as Feast's UNIX_TIMESTAMP; undefined when it is none. */
export function timestampFrom(raw: unknown): number | undefined {
  if (typeof raw === 'string') return timestampFromText(raw);
  if (typeof raw === 'bigint') return checked(Number(raw) * 1_000_000);
  if (typeof raw === 'number') return checked(Math.round(raw * 1_000_000));
  return undefined;
}

/** Event time of a row in microseconds. Throws ROW_INVALID; `where` names the row, such as `row 3`. */
export function parseEventTime(raw: unknown, where = 'event time'): number {
  const us = timestampFrom(raw);
  if (us !== undefined) return us;
  throw new AntipodeError('ROW_INVALID', `the event time is not a point in time: ${describeRaw(raw)}`, {
    where,
    remedy: TIMESTAMP_REMEDY,
  });
}

const US_PER_DAY = 86_400_000_000;
/** `00` to `59`. */
const TWO_DIGITS: readonly string[] = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));

/** Rows that are read together often are of one day, and the day is the costly part of a time's text. */
let lastDay = Number.NaN;
let lastDayText = '';

/**
 * RFC 3339 in UTC with 0, 3 or 6 fractional digits, as few as the value needs: 1754128800000000 is `2025-08-02T10:00:00Z`.
 * Throws a RangeError for what is no point in time.
 */
export function formatTimestamp(us: number): string {
  const day = Math.floor(us / US_PER_DAY);
  if (day !== lastDay) {
    const iso = new Date(day * (US_PER_DAY / 1000)).toISOString();
    lastDayText = iso.slice(0, iso.indexOf('T') + 1);
    lastDay = day;
  }
  const usOfDay = us - day * US_PER_DAY;
  const second = Math.floor(usOfDay / 1_000_000);
  const minute = Math.floor(second / 60);
  const hour = Math.floor(minute / 60);
  const text = `${lastDayText}${TWO_DIGITS[hour]}:${TWO_DIGITS[minute - hour * 60]}:${TWO_DIGITS[second - minute * 60]}`;
  const fraction = usOfDay - second * 1_000_000;
  if (fraction === 0) return `${text}Z`;
  if (fraction % 1000 === 0) return `${text}.${String(fraction / 1000).padStart(3, '0')}Z`;
  return `${text}.${String(fraction).padStart(6, '0')}Z`;
}

/** A short, safe rendering of a refused input for an error message. */
export function describeRaw(raw: unknown): string {
  if (raw === null || raw === undefined) return String(raw);
  if (typeof raw === 'string') {
    const text = JSON.stringify(raw.length > 60 ? `${raw.slice(0, 60)}…` : raw);
    return `string ${text}`;
  }
  // Printing a bigint takes quadratic time in its length, and its length is the sender's choice.
  if (typeof raw === 'bigint')
    return BigInt.asIntN(128, raw) === raw ? String(raw) : 'an integer of more than 128 bits';
  if (typeof raw === 'boolean') return String(raw);
  if (typeof raw === 'number') return Object.is(raw, -0) ? '-0' : String(raw);
  if (Array.isArray(raw)) return `a list of ${raw.length}`;
  if (raw instanceof Uint8Array) return `${raw.length} bytes`;
  return `a value of type ${typeof raw}`;
}
