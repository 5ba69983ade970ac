import type { StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import type { Journal } from '#ports/journal';

const DECISION_PREFIX = 'tail-decision/';
const QUARANTINE_PREFIX = 'tail-quarantine/';
/** Frames copied in one write of the journal, bytes. */
const PIECE_BYTES = 1024 * 1024;
const SEQ_DIGITS = 16;

/** What a person decided about one tail, whatever the policy of its namespace. */
export type TailOrder = 'replay' | 'discard';

export interface TailDecision {
  readonly order: TailOrder;
  readonly actor: string;
  readonly atMs: number;
  /** The tail as it was then. */
  readonly from: number;
  readonly to: number;
}

/** Decisions about single tails, and the frames of those that were discarded: both durable in the journal. */
export class TailDecisions {
  readonly #journal: Journal;
  readonly #known = new Map<StreamKey, TailDecision | undefined>();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  of(stream: StreamKey): TailDecision | undefined {
    if (!this.#known.has(stream)) {
      const bytes = this.#journal.get(DECISION_PREFIX + stream);
      const decision = bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString('utf8'));
      this.#known.set(stream, decision as TailDecision | undefined);
    }
    return this.#known.get(stream);
  }

  /** Durable once resolved. */
  async decide(stream: StreamKey, decision: TailDecision): Promise<void> {
    const value = Buffer.from(JSON.stringify(decision), 'utf8');
    await this.#journal.write([{ kind: 'put', key: DECISION_PREFIX + stream, value }]);
    this.#known.set(stream, decision);
  }

  /** Up to which seq the frames of a discarded tail are copied; `from` when none is. */
  copiedTo(stream: StreamKey, from: number): number {
    const keys = this.#journal.list(quarantinePrefix(stream)).map(([key]) => Number(key.slice(-SEQ_DIGITS)));
    return Math.max(from, ...keys);
  }

  /** Copies frames of a discarded tail, as `read` gives them after a seq, so that they outlast the log they stand in. */
  async copy(
    stream: StreamKey,
    range: { readonly from: number; readonly to: number },
    read: (afterSeq: number, maxBytes: number) => readonly LoggedFrame[],
  ): Promise<void> {
    for (let position = this.copiedTo(stream, range.from); position < range.to; ) {
      const frames = read(position, PIECE_BYTES).filter(({ to }) => to <= range.to);
      const last = frames.at(-1);
      if (last === undefined) return;
      await this.#journal.write(
        frames.map(({ to, bytes }) => ({
          kind: 'put' as const,
          key: quarantinePrefix(stream) + String(to).padStart(SEQ_DIGITS, '0'),
          value: Buffer.from(bytes),
        })),
      );
      position = last.to;
    }
  }
}

function quarantinePrefix(stream: StreamKey): string {
  return `${QUARANTINE_PREFIX}${stream}/`;
}
