import { z } from 'zod';

const UNIT_MS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const DURATION = /^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h|d|w)$/;

/** Milliseconds of `500ms`, `90m`, `1.5h`, `7d`, `2w`; undefined when the text is no duration of whole milliseconds. */
export function durationMs(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  const ms = Number(match[1]) * (UNIT_MS[match[2] as string] as number);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest text that gives back the milliseconds: 604800000 is `1w`. */
export function formatDuration(ms: number): string {
  for (const unit of ['w', 'd', 'h', 'm', 's']) {
    const size = UNIT_MS[unit] as number;
    if (ms !== 0 && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** A duration such as `90m`, or a number of seconds; in milliseconds after parsing. */
export function durationSchema(bounds: { readonly minMs: number; readonly maxMs: number }) {
  const expected = `expected a duration from ${formatDuration(bounds.minMs)} to ${formatDuration(bounds.maxMs)}, such as 90m or 7d, or a number of seconds`;
  return z
    .union([z.string().regex(DURATION, expected), z.number(expected).nonnegative(expected)], { error: expected })
    .transform((value, context) => {
      const ms = typeof value === 'number' ? Math.round(value * 1000) : durationMs(value);
      if (ms !== undefined && ms >= bounds.minMs && ms <= bounds.maxMs) return ms;
      context.addIssue({ code: 'custom', message: expected, input: value });
      return z.NEVER;
    });
}

const UNIT_BYTES: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const SIZE = /^(\d{1,12})(B|KiB|MiB|GiB)$/;

/** A size such as `4MiB`, or a number of bytes; in bytes after parsing. */
export function sizeSchema(bounds: { readonly minBytes: number; readonly maxBytes: number }) {
  const expected = `expected a size from ${formatSize(bounds.minBytes)} to ${formatSize(bounds.maxBytes)}, such as 512KiB or 4MiB, or a number of bytes`;
  return z
    .union([z.string().regex(SIZE, expected), z.int(expected)], { error: expected })
    .transform((value, context) => {
      const match = typeof value === 'string' ? SIZE.exec(value) : null;
      const bytes = match === null ? Number(value) : Number(match[1]) * (UNIT_BYTES[match[2] as string] as number);
      if (bytes >= bounds.minBytes && bytes <= bounds.maxBytes) return bytes;
      context.addIssue({ code: 'custom', message: expected, input: value });
      return z.NEVER;
    });
}

function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const size = UNIT_BYTES[unit] as number;
    if (bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}
