import type { Frame } from '#core/codec/frame';
import type { StreamKey } from '#core/model/stream';
import type { Clock } from '#ports/clock';
import { HLC_AHEAD_MS_MAX } from '#region/ingest/hlc-service';
import type { EventList } from '#region/observe/events';

/** The longest the timer sleeps, ms: the wall clock may be set meanwhile. */
const LOOK_MS_MAX = 1000;
/** A shorter wait is not told to people, ms; status shows it while it lasts. */
const TOLD_MS_MIN = 100;
const TOLD_AGAIN_MS = 60_000;

/** Wall time from which a frame of another region may be applied, ms: its readings are within the bound then (P8). */
export function dueMs(frame: Frame): number {
  const originalMs = frame.replay?.original.hlc.wallMs ?? 0;
  return Math.max(frame.hlc.wallMs, originalMs) - HLC_AHEAD_MS_MAX;
}

/**
 * Streams whose next frame is stamped too far ahead of this region's wall clock. They wait where they are durable already,
 * in the log; checkpoint, watermark and session positions stay below. One timer for all of them.
 */
export class Parking {
  readonly #clock: Clock;
  readonly #events: EventList;
  readonly #release: () => void;
  readonly #untilMs = new Map<StreamKey, number>();
  readonly #toldMs = new Map<StreamKey, number>();
  readonly #stopping = new AbortController();
  #sleeping = false;

  constructor(options: { clock: Clock; events: EventList; release: () => void }) {
    this.#clock = options.clock;
    this.#events = options.events;
    this.#release = options.release;
  }

  /** Until when, by the wall clock, the stream waits; undefined when it does not. */
  untilMs(stream: StreamKey): number | undefined {
    return this.#untilMs.get(stream);
  }

  /** Whether the stream still waits; one whose time has come is released by this. */
  holds(stream: StreamKey): boolean {
    const untilMs = this.#untilMs.get(stream);
    if (untilMs === undefined) return false;
    if (this.#clock.wallMs() < untilMs) {
      this.#sleep();
      return true;
    }
    this.#untilMs.delete(stream);
    return false;
  }

  /** Whether the frame is stamped too far ahead to be applied now; its stream is parked then. */
  mustWait(frame: Frame): boolean {
    const untilMs = dueMs(frame);
    const aheadMs = untilMs - this.#clock.wallMs();
    if (aheadMs <= 0) return false;
    this.#untilMs.set(frame.stream, untilMs);
    if (aheadMs > TOLD_MS_MIN) this.#tell(frame, untilMs, aheadMs);
    this.#sleep();
    return true;
  }

  /** Forgets everything: the store was emptied. */
  clear(): void {
    this.#untilMs.clear();
  }

  stop(): void {
    this.#stopping.abort();
    this.#untilMs.clear();
  }

  /** Once a minute and stream: an origin with a wrong clock would fill the list of events otherwise. */
  #tell({ stream, from }: Frame, untilMs: number, aheadMs: number): void {
    const now = this.#clock.monotonicMs();
    if (now - (this.#toldMs.get(stream) ?? Number.NEGATIVE_INFINITY) < TOLD_AGAIN_MS) return;
    this.#toldMs.set(stream, now);
    const message = `${stream} beyond ${from} is stamped too far ahead of this region's clock: applied in ${Math.ceil(aheadMs)} ms`;
    this.#events.add('stream-parked', 'warning', message, { stream, untilMs });
  }

  #sleep(): void {
    if (this.#sleeping || this.#stopping.signal.aborted) return;
    this.#sleeping = true;
    const earliestMs = Math.min(...this.#untilMs.values()) - this.#clock.wallMs();
    const woken = (): void => {
      this.#sleeping = false;
      if (!this.#stopping.signal.aborted && this.#untilMs.size > 0) this.#release();
    };
    this.#clock.sleep(Math.max(1, Math.min(earliestMs, LOOK_MS_MAX)), this.#stopping.signal).then(woken, woken);
  }
}
