/** Numbers as a person reads them: always with a unit, always in the same width for the same magnitude. Times are UTC. */

const counts = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

export const NOT_KNOWN = '–';

export function formatCount(value: number): string {
  return counts.format(value);
}

/** 1234 -> `1.2k`, for places that cannot hold more. */
export function formatCompact(value: number): string {
  return compact.format(value).replace('K', 'k');
}

/** `1 change`, `2 changes`. */
export function formatQuantity(value: number, noun: string): string {
  return `${formatCount(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** Milliseconds: `<1 ms`, `84 ms`, `1.2 s`, `42 s`, `3 min 4 s`, `2 h 3 min`, `3 d 4 h`. Negative values count as zero: clocks of two regions may differ. */
export function formatDuration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return NOT_KNOWN;
  if (ms <= 0) return '0 ms';
  if (ms < 1) return '<1 ms';
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  if (seconds < 86_400) return pair(Math.floor(seconds / 3600), 'h', Math.floor((seconds % 3600) / 60), 'min');
  return pair(Math.floor(seconds / 86_400), 'd', Math.floor((seconds % 86_400) / 3600), 'h');
}

/** A time on an axis, without decimals that are zero: `1 ms`, `1 s`, `100 s`. */
export function formatAxisDuration(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 1_000_000) return `${ms / 1000} s`;
  return `${formatCompact(ms / 1000)} s`;
}

/** `812 rows/s`, `4.2 rows/s`. */
export function formatRate(perSecond: number | null | undefined, unit: string): string {
  if (perSecond === null || perSecond === undefined || !Number.isFinite(perSecond)) return NOT_KNOWN;
  const text = perSecond > 0 && perSecond < 9.95 ? perSecond.toFixed(1) : formatCount(Math.round(perSecond));
  return `${text} ${unit}/s`;
}

/** Decimal bytes: `812 B`, `1.2 kB`, `34 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** `16:04:31` in UTC. */
export function formatClock(ms: number): string {
  return isoTime(ms).slice(11, 19);
}

/** `2026-11-23 16:04:31 UTC`. */
export function formatInstant(ms: number): string {
  return `${isoTime(ms).slice(0, 19).replace('T', ' ')} UTC`;
}

/** For the datetime attribute. */
export function isoTime(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : '????-??-?? ??:??:??';
}

/** `a`, `a and b`, `a, b and c`. */
export function joinWords(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`;
}

/** `flights/0 from us-east` for a stream; the incarnation is told apart, shortened by `shortIncarnation`. */
export function streamLabel(stream: {
  readonly namespace: string;
  readonly partition: number;
  readonly origin: string;
}): string {
  return `${stream.namespace}/${stream.partition} from ${stream.origin}`;
}

export function shortIncarnation(incarnation: string): string {
  return incarnation.slice(0, 6);
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
