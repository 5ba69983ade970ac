import { type AntipodeError, toAntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import { gapOf, withinSeal } from '#region/apply/projection';
import type { EventList } from '#region/observe/events';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/** Streams that are not applied any further, and why; the others go on (I13). */
export class HaltedStreams {
  readonly #reasons = new Map<StreamKey, string>();
  /** After which position the damaged frame of a stream stands. */
  readonly #damaged = new Map<StreamKey, number>();
  /** Of the damaged ones, those of which no connected peer had a copy. */
  readonly #without = new Set<StreamKey>();
  readonly #events: EventList;

  constructor(events: EventList) {
    this.#events = events;
  }

  /** Hears of damage from whoever reads these logs. */
  watch(logs: Iterable<NamespaceLog>): void {
    for (const log of logs) log.onDamage = (stream, after, error) => this.noteDamage(stream, after, error);
  }

  has(stream: StreamKey): boolean {
    return this.#reasons.has(stream);
  }

  reason(stream: StreamKey): string | undefined {
    return this.#reasons.get(stream);
  }

  /** A frame cannot be decoded although it is what its origin wrote: only another release helps. */
  halt(stream: StreamKey, from: number, error: AntipodeError): void {
    this.#reasons.set(stream, `${error.code}: ${error.message}`);
    const message = `${stream} cannot be applied beyond ${from}: ${error.message}`;
    this.#events.add('stream-halted', 'error', message, { stream });
  }

  /** The next frames; none when the disk gives back a damaged one: the stream then waits for a good copy. */
  read(log: NamespaceLog, stream: StreamKey, from: number, maxBytes: number): readonly LoggedFrame[] {
    try {
      return log.read(stream, from, maxBytes);
    } catch (caught) {
      const error = toAntipodeError(caught);
      if (error.code !== 'FRAME_CORRUPT') throw caught;
      this.#reasons.set(stream, `${error.code}: ${error.message}`);
      return [];
    }
  }

  /** A frame that was applied already may be damaged, too: it is missed only by those who ask for it. */
  noteDamage(stream: StreamKey, from: number, error: AntipodeError): void {
    const known = this.#damaged.get(stream);
    // Of several the first: what comes before it is applied, and the next is found when it comes next.
    if (known !== undefined && known <= from) return;
    this.#damaged.set(stream, from);
    this.#without.delete(stream);
    this.#events.add('frame-damaged', 'error', `${error.message}: a copy is fetched from a peer`, { stream });
  }

  damaged(): ReadonlyMap<StreamKey, number> {
    return this.#damaged;
  }

  /** All connected peers were asked for a copy of the damaged frame, and none had one. */
  noCopy(stream: StreamKey): void {
    if (this.#damaged.has(stream)) this.#without.add(stream);
  }

  /** Whether the next frame to apply is damaged, and nobody is known to have a copy. */
  hasNoCopy(stream: StreamKey): boolean {
    return this.#without.has(stream);
  }

  /** What comes next of the stream is missing here, and has to come from elsewhere. */
  lacks(log: NamespaceLog, stream: StreamKey, applied: number): boolean {
    if (gapOf(log, stream, applied) !== undefined) return true;
    // Behind the frame at a seal comes nothing that is valid, damaged or not.
    return this.#damaged.get(stream) === applied && withinSeal(log, stream, applied + 1) > applied;
  }

  /** The store was emptied: streams are read again from where they begin, up to what stops them. */
  refilled(): void {
    this.#reasons.clear();
  }

  /** A good copy is in the log, or the changes came some other way. */
  repaired(stream: StreamKey): void {
    this.#without.delete(stream);
    if (this.#damaged.delete(stream)) this.#reasons.delete(stream);
  }
}
