import { cellSpans } from '#core/codec/stored-value';
import type { FeatureView } from '#core/model/feature-view';
import { STAMP_FIXED_BYTES } from '#core/model/stamp';
import { compareHlc, type Hlc } from '#core/time/hlc';

/** Place of the clock reading in the byte form of a stamp. */
const HLC_AT = 8;

/** The greatest clock reading among the stamps of a stored row: what a session that has seen it must carry. */
export function greatestReadingOf(view: Pick<FeatureView, 'granularity' | 'features'>, stored: Buffer): Hlc {
  let greatest: Hlc = { wallMs: 0, counter: 0 };
  const spans = view.granularity === 'row' ? [0, stored.length] : (cellSpans(stored, view.features.length) ?? []);
  for (let i = 0; i < spans.length; i += 2) {
    const start = spans[i] as number;
    if ((spans[i + 1] as number) - start < STAMP_FIXED_BYTES) continue;
    const reading = {
      wallMs: stored.readUIntBE(start + HLC_AT, 6),
      counter: stored.readUInt32BE(start + HLC_AT + 6),
    };
    if (compareHlc(reading, greatest) > 0) greatest = reading;
  }
  return greatest;
}
