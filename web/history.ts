import type { RegionStatus } from './snapshot.ts';

/** What the plots show. */
export const WINDOW_MS = 5 * 60_000;
/**
 * Snapshots closer than this to the last sample are shown but not plotted: a region that sends faster does not make the
 * page slower, and rates over less than this would be jagged, because serving processes report once a second.
 */
export const SPACING_MS_MIN = 900;
/** A longer silence breaks the lines of the plots. */
export const GAP_MS = 5_000;
/** Distinct colours; streams beyond share them. */
export const COLOURS = 8;
/** With more streams in the window the plots show the worst of each origin instead. */
export const STREAM_LINES_MAX = 8;

export interface StreamSample {
  readonly origin: string;
  readonly freshnessMs: number | null;
  readonly lagP99Ms: number | null;
}

export interface LinkSample {
  readonly bytesPerSecond: number;
  readonly changesPerSecond: number;
}

/** What one snapshot adds to the plots. Rates are means since the previous sample; null when there is none to compare with. */
export interface Sample {
  readonly atMs: number;
  /** No line is drawn from the previous sample to this one. */
  readonly afterGap: boolean;
  /** Open streams by their key. */
  readonly streams: Readonly<Record<string, StreamSample>>;
  readonly links: Readonly<Record<string, LinkSample>>;
  readonly acceptedPerSecond: number;
  readonly appliedPerSecond: number | null;
  readonly requestsPerSecond: number;
  readonly readRowsPerSecond: number | null;
  readonly readErrorsPerSecond: number | null;
}

/** The last WINDOW_MS of one region. Times are the region's clock, so plots and events agree although the browser's may differ. */
export interface History {
  readonly latest: RegionStatus | null;
  /** What the last sample was made of: rates are differences from it. */
  readonly sampled: RegionStatus | null;
  readonly samples: readonly Sample[];
  /** Colour of each stream or origin in the window, kept while it is shown so that a line never changes its colour. */
  readonly colours: Readonly<Record<string, number>>;
}

export const EMPTY_HISTORY: History = { latest: null, sampled: null, samples: [], colours: {} };

/**
 * Adds a snapshot. A region may replay recent snapshots when the page connects, and its clock may be set back: samples
 * not older than the new one are dropped, so time only grows. Another region, behind the same address, starts anew.
 */
export function addSnapshot(history: History, status: RegionStatus): History {
  const same = history.latest?.region === status.region;
  const past = same
    ? history.samples.filter((sample) => sample.atMs < status.nowMs && sample.atMs >= status.nowMs - WINDOW_MS)
    : [];
  const last = past.at(-1);
  const crowded = last !== undefined && status.nowMs - last.atMs < SPACING_MS_MIN;
  // Also when the region sends one status twice: it must not undo the sample that was made of it.
  const repeated = same && history.sampled?.nowMs === status.nowMs;
  if (crowded || repeated) {
    const samples = repeated ? history.samples : past;
    const sampled = history.sampled !== null && history.sampled.nowMs <= status.nowMs ? history.sampled : null;
    return { ...history, latest: status, samples, sampled };
  }
  const previous = same && history.sampled !== null && history.sampled.nowMs < status.nowMs ? history.sampled : null;
  const samples = [...past, takeSample({ status, previous, last })];
  return { latest: status, sampled: status, samples, colours: assignColours(history.colours, samples) };
}

function takeSample(input: {
  readonly status: RegionStatus;
  readonly previous: RegionStatus | null;
  readonly last: Sample | undefined;
}): Sample {
  const { status } = input;
  const afterGap = input.last !== undefined && status.nowMs - input.last.atMs > GAP_MS;
  // Counters begin again with the process, and a mean over a long silence would be drawn as if it were now.
  const comparable = input.previous !== null && input.previous.startedAtMs === status.startedAtMs && !afterGap;
  const previous = comparable ? input.previous : null;
  const rate = (now: number, before: number | undefined): number | null =>
    previous === null || before === undefined
      ? null
      : (Math.max(0, now - before) * 1000) / (status.nowMs - previous.nowMs);

  const streams: Record<string, StreamSample> = {};
  const appliedBefore = new Map(previous?.streams.map((stream) => [stream.stream, stream.applied]));
  let applied: number | null = previous === null ? null : 0;
  for (const stream of status.streams) {
    if (stream.open)
      streams[stream.stream] = { origin: stream.origin, freshnessMs: stream.freshnessMs, lagP99Ms: stream.lag.p99Ms };
    if (applied !== null) applied += rate(stream.applied, appliedBefore.get(stream.stream)) ?? 0;
  }
  const linksBefore = new Map(previous?.links.map((link) => [link.peer, link]));
  const links: Record<string, LinkSample> = {};
  for (const link of status.links) {
    const before = linksBefore.get(link.peer);
    links[link.peer] = {
      bytesPerSecond: rate(link.bytesReceived, before?.bytesReceived) ?? 0,
      changesPerSecond: rate(link.changesReceived, before?.changesReceived) ?? 0,
    };
  }
  return {
    atMs: status.nowMs,
    afterGap,
    streams,
    links,
    acceptedPerSecond: status.ingest.changesPerSecond,
    appliedPerSecond: applied,
    requestsPerSecond: status.reads.requestsPerSecond,
    readRowsPerSecond: rate(status.reads.rows, previous?.reads.rows),
    readErrorsPerSecond: rate(status.reads.errors, previous?.reads.errors),
  };
}

function assignColours(
  current: Readonly<Record<string, number>>,
  samples: readonly Sample[],
): Readonly<Record<string, number>> {
  const shown = new Set<string>();
  for (const sample of samples) {
    for (const [key, stream] of Object.entries(sample.streams)) shown.add(key).add(stream.origin);
  }
  const kept = Object.entries(current).filter(([key]) => shown.has(key));
  const colours: Record<string, number> = Object.fromEntries(kept);
  // Streams (with slashes) and origins are never drawn in one plot, so each kind has the whole palette.
  for (const key of shown) {
    if (key in colours) continue;
    const taken = Object.entries(colours)
      .filter(([other]) => other.includes('/') === key.includes('/'))
      .map(([, colour]) => colour);
    colours[key] = freeColour(taken);
  }
  return colours;
}

function freeColour(taken: readonly number[]): number {
  for (let colour = 0; colour < COLOURS; colour += 1) {
    if (!taken.includes(colour)) return colour;
  }
  return taken.length % COLOURS;
}

/** Lines of the plots of streams: each stream of the window, or the worst of each origin when there are too many. */
export interface StreamLine {
  /** Stream key or origin. */
  readonly key: string;
  readonly colour: number;
  readonly origin: string;
  readonly byOrigin: boolean;
}

export function streamLines(history: History): readonly StreamLine[] {
  const origins = new Map<string, string>();
  for (const sample of history.samples) {
    for (const [key, stream] of Object.entries(sample.streams)) origins.set(key, stream.origin);
  }
  const line = (key: string, origin: string, byOrigin: boolean): StreamLine => ({
    key,
    origin,
    byOrigin,
    colour: history.colours[key] ?? 0,
  });
  if (origins.size <= STREAM_LINES_MAX) return [...origins].map(([key, origin]) => line(key, origin, false));
  return [...new Set(origins.values())].slice(0, STREAM_LINES_MAX).map((origin) => line(origin, origin, true));
}

/** Value of a line in one sample: its stream's, or the greatest of its origin's. */
export function lineValue(sample: Sample, line: StreamLine, measure: 'freshnessMs' | 'lagP99Ms'): number | null {
  if (!line.byOrigin) return sample.streams[line.key]?.[measure] ?? null;
  return greatest(Object.values(sample.streams).map((stream) => (stream.origin === line.key ? stream[measure] : null)));
}

/** Columns for a plot: seconds, then one column for each reader; a row of nulls stands where a line must break. */
export function plotColumns(
  samples: readonly Sample[],
  readers: readonly ((sample: Sample) => number | null)[],
): [number[], ...(number | null)[][]] {
  const times: number[] = [];
  const columns: (number | null)[][] = readers.map(() => []);
  for (const sample of samples) {
    if (sample.afterGap) {
      times.push((sample.atMs - 1) / 1000);
      for (const column of columns) column.push(null);
    }
    times.push(sample.atMs / 1000);
    readers.forEach((read, index) => {
      columns[index]?.push(read(sample));
    });
  }
  return [times, ...columns];
}

/** The greatest value that is known; null when none is. */
export function greatest(values: Iterable<number | null | undefined>): number | null {
  let result: number | null = null;
  for (const value of values) {
    if (value !== null && value !== undefined && Number.isFinite(value) && (result === null || value > result))
      result = value;
  }
  return result;
}

/** Mean of the known values of the last `spanMs`, for numbers that would flicker too much to be read. */
export function recentMean(
  samples: readonly Sample[],
  spanMs: number,
  read: (sample: Sample) => number | null | undefined,
): number | null {
  const end = samples.at(-1)?.atMs ?? 0;
  const values = samples
    .filter((sample) => sample.atMs > end - spanMs)
    .map(read)
    .filter((value) => value !== null && value !== undefined);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}
