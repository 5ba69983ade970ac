import { decodeFrame, type Frame } from '#core/codec/frame';
import { toAntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import { compareHlc, type Hlc } from '#core/time/hlc';
import type { LoggedFrame } from '#ports/change-log';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/**
 * How far back from the end of a stream replayed changes are looked for, in changes. They keep the stamps of the hub that
 * made them, so they alone can lie above the readings that follow them; a walk of the whole log would cost the lease.
 */
const LOOK_BACK_CHANGES = 16_384;
const PAGE_BYTES = 512 * 1024;

/**
 * The greatest clock reading among the valid changes of a namespace: where a new holder's clock must start above (P6.6),
 * whatever its own wall clock says. Readings that a holder gave itself only grow along a stream; the original stamps of
 * changes it replayed do not, and are looked for among the last of them.
 */
export function greatestReading(log: NamespaceLog): Hlc {
  let greatest: Hlc = { wallMs: 0, counter: 0 };
  for (const stream of log.streams()) {
    const standing = log.standing(stream);
    const head = log.head(stream).seq;
    const last = standing.kind === 'sealed' ? Math.min(standing.seal, head) : head;
    for (const frame of framesOf(log, stream, last)) {
      for (const base of frame.replay === null ? [frame.hlc] : [frame.hlc, frame.replay.original.hlc]) {
        const reading = { wallMs: base.wallMs, counter: base.counter + (frame.to - frame.from) - 1 };
        if (compareHlc(reading, greatest) > 0) greatest = reading;
      }
    }
  }
  return greatest;
}

/** The last frames of a stream up to `last`, page by page. */
function* framesOf(log: NamespaceLog, stream: StreamKey, last: number): Generator<Frame> {
  let after = Math.max(log.start(stream).seq, last - LOOK_BACK_CHANGES);
  while (after < last) {
    const page = pageAfter(log, stream, after);
    if (page.length === 0) {
      // A damaged frame tells nothing; what was applied of it is counted elsewhere.
      const next = log.endAfter(stream, after);
      if (next === undefined) return;
      after = next;
    }
    for (const { bytes, to } of page) {
      if (to > last) return;
      yield decodeFrame(bytes).frame;
      after = to;
    }
  }
}

function pageAfter(log: NamespaceLog, stream: StreamKey, after: number): readonly LoggedFrame[] {
  try {
    return log.read(stream, after, PAGE_BYTES);
  } catch (caught) {
    if (toAntipodeError(caught).code !== 'FRAME_CORRUPT') throw caught;
    return [];
  }
}
