import type { Frame } from '#core/codec/frame';
import type { StreamKey } from '#core/model/stream';
import type { OnlineReader } from '#ports/online-store';
import type { ChangePlace } from '#region/apply/conflict-relation';
import { decodeJsonRecord, encodeJsonRecord } from '#region/apply/records';

const PREFIX = 'replay-of/';
/** Replays of one original frame: parts of it, by one hub after another. */
const PARTS_MAX = 64;

/** A frame that carries changes which first appeared in another one. */
export interface ReplayedPart {
  /** Position before the original frame: change ids are this, plus the change's offset, plus 1. */
  readonly originalFrom: number;
  readonly stream: StreamKey;
  /** The replaying frame holds (from, to] of its stream. */
  readonly from: number;
}

/**
 * Where the changes of tails were appended again: small records of the store, written with the rows. Their change ids
 * point into tails that most regions do not hold, and whoever applied them did so in the hub's stream.
 */
export class ReplayIndex {
  readonly #store: OnlineReader;
  /** Records of the batch that is being applied, not in the store yet. */
  #pending = new Map<string, Buffer>();

  constructor(store: OnlineReader) {
    this.#store = store;
  }

  begin(): void {
    this.#pending = new Map();
  }

  /** Notes a replayed frame; its record has to be written in the same transaction as its rows. */
  collect(frame: Frame, offsetMax: number, records: Map<string, Buffer | null>): void {
    if (frame.replay === null) return;
    const { original } = frame.replay;
    const part: ReplayedPart = { originalFrom: original.from, stream: frame.stream, from: frame.from };
    const key = `${prefixOf(original.stream)}${padded(original.from + offsetMax + 1)}/${frame.stream}/${frame.from}`;
    const value = encodeJsonRecord(part);
    this.#pending.set(key, value);
    records.set(key, value);
  }

  /** Frames that may carry the change again, oldest record first. */
  parts({ stream, seq }: ChangePlace): ReplayedPart[] {
    const prefix = prefixOf(stream);
    const after = `${prefix}${padded(seq - 1)}/~`;
    const parts: ReplayedPart[] = [];
    for (const [, value] of this.#store.records(prefix, { after, limit: PARTS_MAX })) {
      const part = decodeJsonRecord<ReplayedPart>(value);
      if (part.originalFrom >= seq) break;
      parts.push(part);
    }
    for (const [key, value] of this.#pending) {
      if (!key.startsWith(prefix) || key <= after) continue;
      const part = decodeJsonRecord<ReplayedPart>(value);
      if (part.originalFrom < seq) parts.push(part);
    }
    return parts;
  }
}

function prefixOf(stream: StreamKey): string {
  return `${PREFIX}${stream}/`;
}

function padded(seq: number): string {
  return String(seq).padStart(16, '0');
}
