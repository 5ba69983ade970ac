import { EventHeap, type EventOwner, type SimEvent } from '#sim/kernel/event-heap';
import { Trace } from '#sim/kernel/trace';

const realSetImmediate = setImmediate;

export type RunEnd = 'reached' | 'time' | 'events' | 'stopped';

/**
 * Virtual time. Runs one event after another, and after each lets every promise that it settled run to its end before
 * time moves on; so a history depends on the seed alone, and an idle hour costs nothing.
 */
export class SimKernel {
  readonly trace: Trace;
  /** Called with what an event threw. */
  onThrow: (owner: EventOwner | undefined, error: unknown) => void = (_owner, error) => {
    throw error;
  };
  /** Rare states that parts of the simulator saw, by name. */
  readonly moments = new Map<string, number>();
  readonly #heap = new EventHeap();
  #nowMs = 0;
  #order = 0;
  #events = 0;
  #current: EventOwner | undefined;
  #stopped = false;

  constructor(trace = new Trace()) {
    this.trace = trace;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far. */
  get events(): number {
    return this.#events;
  }

  /** Whose event runs now, or ran last. */
  get current(): EventOwner | undefined {
    return this.#current;
  }

  schedule(delayMs: number, owner: EventOwner | undefined, label: string, run: () => void, detail = 0): SimEvent {
    const event: SimEvent = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      owner,
      label,
      detail,
      run,
    };
    this.#heap.push(event);
    return event;
  }

  cancel(event: SimEvent): void {
    event.run = undefined;
  }

  /** Takes back an event that its owner held: it is due now. */
  release(event: SimEvent): void {
    event.atMs = this.#nowMs;
    event.order = this.#order++;
    this.#heap.push(event);
  }

  /** Something rare was seen: see the registry of such states. */
  moment(name: string): void {
    this.moments.set(name, (this.moments.get(name) ?? 0) + 1);
  }

  note(owner: string, text: string): void {
    this.trace.note(this.#nowMs, owner, text);
  }

  /** Ends the run after the event that runs now. */
  stop(): void {
    this.#stopped = true;
  }

  /** Runs until `reached` answers true between two events, or a limit is met. */
  async run(options: {
    readonly reached?: () => boolean;
    readonly untilMs: number;
    readonly eventsMax: number;
  }): Promise<RunEnd> {
    for (;;) {
      if (this.#stopped) return 'stopped';
      if (options.reached?.() === true) return 'reached';
      const next = this.#heap.peek();
      if (next === undefined || next.atMs > options.untilMs) {
        this.#nowMs = Math.max(this.#nowMs, options.untilMs);
        return 'time';
      }
      if (this.#events >= options.eventsMax) return 'events';
      this.#heap.pop();
      if (this.#step(next)) await new Promise((resolve) => realSetImmediate(resolve));
    }
  }

  #step(event: SimEvent): boolean {
    const { run, owner } = event;
    if (run === undefined || owner?.alive === false) return false;
    this.#nowMs = Math.max(this.#nowMs, event.atMs);
    if (owner?.paused === true) {
      owner.hold(event);
      return false;
    }
    this.#events++;
    this.#current = owner;
    this.trace.event(this.#nowMs, owner?.name ?? 'world', event.label, event.detail);
    event.run = undefined;
    try {
      run();
    } catch (error) {
      this.onThrow(owner, error);
    }
    return true;
  }
}
