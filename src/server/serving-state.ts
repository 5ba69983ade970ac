import { AntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { OnlineReader } from '#ports/online-store';
import {
  decodeJsonRecord,
  type NamespaceServingState,
  SERVING_STATE_KEY,
  type ServingState,
} from '#region/apply/records';
import type { HeaderList } from '#server/response-headers';

/** Longest value of one response header; clients of several languages refuse a response with more than 16 KiB of them. */
const HEADER_CHARACTERS_MAX = 8 * 1024;

/** Lists of namespaces whose headers are kept. */
const PLACES_MAX = 256;

/** Headers of one list of namespaces under one state. */
interface Place {
  /** Where: region and hubs. */
  readonly place: HeaderList;
  /** Of the least fresh namespace; null when that is not known. */
  readonly anchorMs: number | null;
  /** What: epochs and positions. */
  readonly versions: HeaderList;
}

/**
 * Where the region stands, as the engine writes it into the online store a few times a second: the only thing a serving
 * process needs of the engine while it answers reads.
 */
export class ServingStateCache {
  readonly #reader: OnlineReader;
  readonly #clock: Clock;
  readonly #region: string;
  #bytes: Buffer | undefined;
  #state: ServingState | undefined;
  /** What the state comes down to for lists of namespaces, by the list itself: a read plan keeps its own. */
  readonly #places = new Map<readonly string[], Place>();

  constructor(options: { readonly reader: OnlineReader; readonly clock: Clock; readonly region: string }) {
    this.#reader = options.reader;
    this.#clock = options.clock;
    this.#region = options.region;
  }

  /**
   * The state as it is now. Call it in the synchronous run that reads the rows, before them: both are then of one moment of
   * the store. One from before says nothing of rows that are read while the store is built again, whether they are missing
   * or old. Throws REBUILDING when rows cannot be trusted now.
   */
  serving(): ServingState {
    const bytes = this.#reader.record(SERVING_STATE_KEY);
    // It changes a few times a second; between two changes there is nothing to decode.
    if (bytes === undefined || (bytes !== this.#bytes && this.#bytes?.equals(bytes) !== true)) {
      this.#places.clear();
      this.#state = bytes === undefined ? undefined : decodeJsonRecord<ServingState>(bytes);
      this.#bytes = bytes;
    }
    if (this.#state?.state !== 'serving') {
      throw new AntipodeError('REBUILDING', `region ${this.#region} cannot serve features now`);
    }
    return this.#state;
  }

  /** Headers of an answer made of these namespaces as they are here; `freshness` is that of the least fresh one. */
  headers(namespaces: readonly string[]): HeaderList {
    const { place, anchorMs, versions } = this.#place(namespaces);
    if (anchorMs === null) return [...place, ...versions];
    const freshnessMs = Math.max(0, Math.round(this.#clock.wallMs() - anchorMs));
    return [...place, 'antipode-freshness-ms', String(freshnessMs), ...versions];
  }

  /** What is true of this region wherever the rows of an answer come from: its name, and the hubs that it knows. */
  placeHeaders(namespaces: readonly string[]): HeaderList {
    return this.#place(namespaces).place;
  }

  #place(namespaces: readonly string[]): Place {
    const known = this.#places.get(namespaces);
    if (known !== undefined) return known;
    if (this.#places.size >= PLACES_MAX) this.#places.clear();
    const place = this.#placeOf(namespaces);
    this.#places.set(namespaces, place);
    return place;
  }

  #placeOf(namespaces: readonly string[]): Place {
    const known = this.#known(namespaces);
    const hubs = known.flatMap(({ name, hub }) => (hub === null ? [] : [[name, hub] as const]));
    const anchors = known.map((namespace) => namespace.freshnessAnchorMs);
    const positions = positionsText(known.map((namespace) => namespace.positions));
    return {
      place: [
        'antipode-region',
        this.#region,
        ...(hubs.length === 0 ? [] : ['antipode-hub', perNamespace(hubs, namespaces.length)]),
      ],
      anchorMs: anchors.length > 0 && anchors.every((anchor) => anchor !== null) ? Math.min(...anchors) : null,
      versions: [
        ...(known.length === 0 ? [] : ['antipode-epoch', epochsText(known, namespaces.length)]),
        ...(positions === undefined ? [] : ['antipode-positions', positions]),
      ],
    };
  }

  #known(namespaces: readonly string[]): (NamespaceServingState & { readonly name: string })[] {
    const state = this.#state;
    if (state === undefined) return [];
    return namespaces.flatMap((name) => {
      const namespace = Object.hasOwn(state.namespaces, name) ? state.namespaces[name] : undefined;
      return namespace === undefined ? [] : [{ name, ...namespace }];
    });
  }
}

/** The epochs in which rows were read, for an answer made of `namespaces` namespaces. */
export function epochsText(
  epochs: readonly { readonly name: string; readonly epoch: number }[],
  namespaces: number,
): string {
  return perNamespace(
    epochs.map(({ name, epoch }) => [name, String(epoch)] as const),
    namespaces,
  );
}

/** `us-east` when one namespace was read, `flights=us-east, users=eu-west` when several were. */
function perNamespace(values: readonly (readonly [string, string])[], namespaces: number): string {
  return namespaces === 1 ? (values[0]?.[1] ?? '') : values.map(([name, value]) => `${name}=${value}`).join(', ');
}

/**
 * `flights/0/us-east/9f3c2b1a00c4d2e8=1201, …`. Undefined when there is none, or when the text were too long for a header:
 * a part of the positions would promise more than it holds.
 */
export function positionsText(maps: readonly Readonly<Record<string, number>>[]): string | undefined {
  const text = maps
    .flatMap((positions) => Object.entries(positions))
    .map(([stream, seq]) => `${stream}=${seq}`)
    .join(', ');
  return text === '' || text.length > HEADER_CHARACTERS_MAX ? undefined : text;
}
