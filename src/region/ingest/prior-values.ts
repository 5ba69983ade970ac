import { GENERATION_MAX } from '#core/codec/cell';
import type { Change } from '#core/codec/changes';
import { encodeComponent, type Producer } from '#core/codec/counter-state';
import { hasGeneration, storedExtent } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import type { OnlineReader } from '#ports/online-store';
import type { IngestChange } from '#region/engine-api';

interface Prior {
  readonly eventTimeUs: number;
  readonly generation: number;
}

type Rows = Pick<OnlineReader, 'row'>;

const NOTHING: Prior = { eventTimeUs: Number.MIN_SAFE_INTEGER, generation: 0 };

/**
 * What the origin has of a key when it stamps a change of it: its store, and the changes before in the same commit. A
 * delete gets the later of its event time and the one found, and the next generation; an upsert gets the generation
 * found (P9.1). Make one for each commit and view version, and use it in the synchronous step that appends: then what it
 * found is what the frame's applied positions say.
 */
export class PriorValues {
  readonly #codec: ViewCodec;
  readonly #store: Rows;
  readonly #withGeneration: boolean;
  /** Only where a later change may have to know of an earlier one. */
  readonly #inCommit: Map<string, Prior> | undefined;

  constructor(options: { codec: ViewCodec; store: Rows; hasDeletes: boolean }) {
    this.#codec = options.codec;
    this.#store = options.store;
    this.#withGeneration = hasGeneration(options.codec.view.resolver);
    this.#inCommit = options.hasDeletes ? new Map() : undefined;
  }

  place(change: IngestChange, producer: Producer | undefined): Omit<Change, 'offset'> {
    const isDelete = change.operation === 'delete';
    if (!isDelete && !this.#withGeneration) {
      this.#remember(change, { eventTimeUs: change.eventTimeUs, generation: 0 });
      return change;
    }
    const prior = this.#priorOf(change.key);
    const eventTimeUs = isDelete ? Math.max(change.eventTimeUs, prior.eventTimeUs) : change.eventTimeUs;
    const raised = prior.generation + (isDelete ? 1 : 0);
    const generation = this.#withGeneration ? Math.min(raised, GENERATION_MAX) : 0;
    this.#remember(change, { eventTimeUs, generation });
    const row = producer === undefined || isDelete ? change.row : encodeComponent(producer, change.row);
    return { ...change, eventTimeUs, generation, row };
  }

  #remember({ key }: IngestChange, { eventTimeUs, generation }: Prior): void {
    if (this.#inCommit === undefined) return;
    const name = key.toString('latin1');
    const known = this.#inCommit.get(name) ?? NOTHING;
    this.#inCommit.set(name, {
      eventTimeUs: Math.max(known.eventTimeUs, eventTimeUs),
      generation: Math.max(known.generation, generation),
    });
  }

  #priorOf(key: Buffer): Prior {
    const known = this.#inCommit?.get(key.toString('latin1')) ?? NOTHING;
    const stored = this.#store.row(this.#codec.rowKey(key));
    if (stored === undefined) return known;
    const extent = storedExtent(this.#codec, stored);
    return {
      eventTimeUs: Math.max(known.eventTimeUs, extent.eventTimeUs),
      generation: Math.max(known.generation, extent.generation),
    };
  }
}
