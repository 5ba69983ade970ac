import type { StreamKey } from '#core/model/stream';
import type { ChangeLog, LoggedFrame } from '#ports/change-log';
import type { DecodedFrame } from '#sim/oracle/decoded-frame';
import type { FrameArchive } from '#sim/oracle/frame-archive';
import { limitOf, type PlainLease, streamsOf } from '#sim/oracle/lease-view';

export interface NamedLog {
  readonly region: string;
  readonly log: ChangeLog;
}

export interface ValidFrames {
  readonly frames: readonly DecodedFrame[];
  /** Where each stream ends for good or for now. */
  readonly ends: ReadonlyMap<StreamKey, number>;
  /** What cannot be: a stream that nobody holds up to its seal. */
  readonly faults: readonly string[];
}

/** All frames that count, from whichever region's log holds most of a stream: closed streams up to their seals, open ones whole. */
export function validFrames(lease: PlainLease, logs: readonly NamedLog[], archive: FrameArchive): ValidFrames {
  const frames: DecodedFrame[] = [];
  const ends = new Map<StreamKey, number>();
  const faults: string[] = [];
  for (const stream of streamsOf(lease)) {
    const limit = limitOf(lease, stream);
    const fullest = logs.reduce((a, b) => (b.log.head(stream).seq > a.log.head(stream).seq ? b : a));
    const end = limit === 'open' || limit === undefined ? fullest.log.head(stream).seq : limit;
    ends.set(stream, end);
    // What a log let go of is known from when it was held.
    const start = Math.min(fullest.log.start(stream).seq, end);
    let position = 0;
    for (const frame of archive.between(stream, 0, start)) {
      frames.push(frame);
      position = frame.to;
    }
    if (position !== start)
      faults.push(`${stream} begins at ${start} in the log of ${fullest.region}, ${position} was held`);
    for (const frame of framesOf(fullest.log, stream, start, archive)) {
      const { from, to } = frame;
      if (to > end) break;
      if (from !== position) faults.push(`${stream} in the log of ${fullest.region} jumps from ${position} to ${from}`);
      position = to;
      frames.push(frame);
    }
    if (position !== end)
      faults.push(`${stream} is sealed at ${end}, ${fullest.region} holds most of it: up to ${position}`);
  }
  return { frames, ends, faults };
}

/** Frames in any log that lie beyond the seals. */
export function tailFrames(lease: PlainLease, logs: readonly NamedLog[], archive: FrameArchive): DecodedFrame[] {
  const frames: DecodedFrame[] = [];
  for (const { log } of logs) {
    for (const stream of log.streams()) {
      const limit = limitOf(lease, stream);
      if (limit === undefined || limit === 'open') continue;
      for (const frame of framesOf(log, stream, Math.max(limit, log.start(stream).seq), archive)) frames.push(frame);
    }
  }
  return frames;
}

/**
 * What a log holds after a position. A frame that the disk has changed, and that nobody had to read since, is known from
 * when it was written: the engine finds such damage when it reads, not before.
 */
function* framesOf(
  log: ChangeLog,
  stream: StreamKey,
  after: number,
  archive: FrameArchive,
): Generator<DecodedFrame, void, undefined> {
  for (
    let position = after, end = log.endAfter(stream, after);
    end !== undefined;
    end = log.endAfter(stream, position)
  ) {
    const held = readable(log, stream, position);
    if (held.length > 0) for (const { bytes } of held) yield archive.decode(bytes);
    else yield* archive.between(stream, position, end);
    position = held[held.length - 1]?.to ?? end;
  }
}

function readable(log: ChangeLog, stream: StreamKey, after: number): readonly LoggedFrame[] {
  try {
    return log.read(stream, after, Number.MAX_SAFE_INTEGER);
  } catch {
    return [];
  }
}
