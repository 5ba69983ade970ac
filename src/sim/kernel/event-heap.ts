/** Whose event it is: a process that may be dead (its events are dropped) or paused (they are held back). */
export interface EventOwner {
  readonly name: string;
  readonly alive: boolean;
  readonly paused: boolean;
  hold(event: SimEvent): void;
}

export interface SimEvent {
  atMs: number;
  order: number;
  /** Undefined: the world outside all processes. */
  readonly owner: EventOwner | undefined;
  /** From a small set; goes into the trace. */
  readonly label: string;
  /** A number that tells events of one label apart in the trace. */
  readonly detail: number;
  /** Undefined once cancelled. */
  run: (() => void) | undefined;
}

/** Events by time; those of one time in the order in which they were scheduled. */
export class EventHeap {
  readonly #items: SimEvent[] = [];

  get size(): number {
    return this.#items.length;
  }

  peek(): SimEvent | undefined {
    return this.#items[0];
  }

  push(event: SimEvent): void {
    const items = this.#items;
    let at = items.length;
    items.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent] as SimEvent;
      if (!before(event, above)) break;
      items[at] = above;
      at = parent;
    }
    items[at] = event;
  }

  pop(): SimEvent | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= items.length) break;
      const right = left + 1;
      const child = right < items.length && before(items[right] as SimEvent, items[left] as SimEvent) ? right : left;
      if (!before(items[child] as SimEvent, last)) break;
      items[at] = items[child] as SimEvent;
      at = child;
    }
    items[at] = last;
    return first;
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
