import { decodeFrame } from '#core/codec/frame';
import { compareHlc, type Hlc } from '#core/time/hlc';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/**
 * The greatest clock reading among the valid changes of a namespace: where a new holder's clock must start above (P6.6),
 * whatever its own wall clock says. Readings of one stream only grow, so its last valid frame tells.
 */
export function greatestReading(log: NamespaceLog): Hlc {
  let greatest: Hlc = { wallMs: 0, counter: 0 };
  for (const stream of log.streams()) {
    const standing = log.standing(stream);
    const head = log.head(stream).seq;
    const last = standing.kind === 'sealed' ? Math.min(standing.seal, head) : head;
    const bytes = last === 0 ? undefined : log.read(stream, last - 1, 1)[0]?.bytes;
    if (bytes === undefined) continue;
    const { hlc, from, to } = decodeFrame(bytes).frame;
    const reading = { wallMs: hlc.wallMs, counter: hlc.counter + (to - from) - 1 };
    if (compareHlc(reading, greatest) > 0) greatest = reading;
  }
  return greatest;
}
