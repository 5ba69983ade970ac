import { decodeChanges } from '#core/codec/changes';
import { decodeFrame, type Frame } from '#core/codec/frame';
import { toAntipodeError } from '#core/errors';
import type { StreamStanding } from '#core/failover/lease';
import { Lru } from '#core/lru';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import type { LoggedFrame } from '#ports/change-log';
import type { AppliedVector, ChangePlace, PlacedChange } from '#region/apply/conflict-relation';
import type { ReplayedPart, ReplayIndex } from '#region/apply/replay-index';

/** Frames of which the vector, and for replays the places, are remembered. */
const FRAMES_REMEMBERED = 1024;

/** What this region holds of a namespace's streams. */
export interface HeldStreams {
  standing(stream: StreamKey): StreamStanding;
  read(stream: StreamKey, afterSeq: number, maxBytes: number): LoggedFrame[];
}

interface KnownFrame {
  readonly applied: AppliedVector;
  /** Seq of each change by its change id's seq, in a frame that replays; empty otherwise. */
  readonly placeOf: ReadonlyMap<number, number>;
}

/**
 * What the logs of this region tell of a change that is stored: what its writer had applied, and where it was replayed.
 * Asked only when changes of two streams meet in one key; the frames of such changes are close to each other, so few are
 * decoded twice.
 */
export class ChangeHistory {
  readonly #namespaces: ReadonlyMap<string, HeldStreams>;
  readonly #replays: ReplayIndex;
  readonly #frames = new Lru<KnownFrame>(FRAMES_REMEMBERED);

  constructor(options: { namespaces: ReadonlyMap<string, HeldStreams>; replays: ReplayIndex }) {
    this.#namespaces = options.namespaces;
    this.#replays = options.replays;
  }

  /** A change by its id. Without a vector when no log here holds its frame. */
  locate(id: ChangePlace): PlacedChange {
    const log = this.#namespaces.get(parseStreamKey(id.stream)?.namespace ?? '');
    if (log === undefined) return { id, replayedAt: [], applied: undefined };
    const standing = log.standing(id.stream);
    if (standing.kind === 'open' || (standing.kind === 'sealed' && id.seq <= standing.seal))
      return { id, replayedAt: [], applied: this.#frameAt(log, id)?.applied };
    let applied: AppliedVector | undefined;
    const replayedAt: ChangePlace[] = [];
    for (const part of this.#replays.parts(id)) {
      const frame = this.#frameAt(log, { stream: part.stream, seq: part.from + 1 }, part);
      const seq = frame?.placeOf.get(id.seq);
      if (frame === undefined || seq === undefined) continue;
      applied = frame.applied;
      replayedAt.push({ stream: part.stream, seq });
    }
    return { id, replayedAt, applied: applied ?? this.#frameAt(log, id)?.applied };
  }

  #frameAt(log: HeldStreams, { stream, seq }: ChangePlace, replay?: ReplayedPart): KnownFrame | undefined {
    try {
      const [logged] = log.read(stream, seq - 1, 1);
      if (logged === undefined || logged.from >= seq) return undefined;
      const name = `${stream}#${logged.to}`;
      const known = this.#frames.get(name);
      if (known !== undefined) return known;
      const { frame } = decodeFrame(logged.bytes);
      if (replay !== undefined && frame.replay === null) return undefined;
      const read = knownFrame(frame);
      this.#frames.set(name, read);
      return read;
    } catch (caught) {
      // Whoever applies or sends these bytes reports them; here they only mean that nothing is known.
      if (toAntipodeError(caught).code !== 'FRAME_CORRUPT') throw caught;
      return undefined;
    }
  }
}

export function vectorOf(applied: Frame['applied']): AppliedVector {
  return new Map(applied.map(({ stream, seq }) => [stream, seq]));
}

function knownFrame(frame: Frame): KnownFrame {
  if (frame.replay === null) return { applied: vectorOf(frame.applied), placeOf: new Map() };
  const { original } = frame.replay;
  const placeOf = new Map<number, number>();
  decodeChanges(frame.payload, frame.to - frame.from).forEach(({ offset }, index) => {
    placeOf.set(original.from + offset + 1, frame.from + index + 1);
  });
  return { applied: vectorOf(original.applied), placeOf };
}
