import { decodeMemberRecord, encodeMemberRecord, type MemberRecord, memberKey } from '#core/membership/member-record';
import type { Clock } from '#ports/clock';
import type { ControlStore } from '#ports/control-store';

/** A record as the control store holds it; revision 0 and no record when there is none. */
export interface StoredMember {
  readonly revision: number;
  readonly record: MemberRecord | undefined;
}

/** The record of one member in the control store: read, and changed by compare-and-set with every outcome settled. */
export class MemberWatch {
  readonly #key: string;
  readonly #control: ControlStore;
  readonly #clock: Clock;
  readonly #startedMs: number;
  #lastAnswerMs: number | null = null;
  #stored: StoredMember | undefined;

  constructor(options: { namespace: string; region: string; control: ControlStore; clock: Clock }) {
    this.#key = memberKey(options.namespace, options.region);
    this.#control = options.control;
    this.#clock = options.clock;
    this.#startedMs = options.clock.monotonicMs();
  }

  /** As last read or written; undefined before the first answer. */
  get stored(): StoredMember | undefined {
    return this.#stored;
  }

  answerAgeMs(): number | null {
    return this.#lastAnswerMs === null ? null : this.#clock.monotonicMs() - this.#lastAnswerMs;
  }

  /** How long the control store has given no answer, ms; from the start on when it never did. */
  silentMs(): number {
    return this.#clock.monotonicMs() - (this.#lastAnswerMs ?? this.#startedMs);
  }

  /** Undefined when no answer came. A record that is not readable is PROTOCOL_MISMATCH. */
  async read(): Promise<StoredMember | undefined> {
    const current = await this.#control.get(this.#key).catch(() => undefined);
    if (current === undefined) return undefined;
    this.#lastAnswerMs = this.#clock.monotonicMs();
    const { revision, value } = current;
    this.#stored = { revision, record: revision === 0 ? undefined : decodeMemberRecord(value) };
    return this.#stored;
  }

  /** Whether the record is now the one given; an outcome that stays unknown counts as no. */
  async write(expected: number, record: MemberRecord): Promise<boolean> {
    const value = encodeMemberRecord(record);
    const outcome = await this.#control.compareAndSet(this.#key, expected, value);
    if (outcome.kind === 'ok') {
      this.#lastAnswerMs = this.#clock.monotonicMs();
      this.#stored = { revision: outcome.revision, record };
      return true;
    }
    const now = await this.read();
    return now?.record !== undefined && Buffer.compare(encodeMemberRecord(now.record), value) === 0;
  }
}
