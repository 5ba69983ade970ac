import { GENERATION_MAX, isLive, payloadStart } from '#core/codec/cell';
import type { Change } from '#core/codec/changes';
import { encodeComponent, hasProducer, PRODUCERS_MAX, type Producer, producerCount } from '#core/codec/counter-state';
import { hasGeneration, storedExtent } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { OnlineReader } from '#ports/online-store';
import type { IngestChange } from '#region/engine-api';

interface Prior {
  readonly eventTimeUs: number;
  readonly generation: number;
}

const NOTHING: Prior = { eventTimeUs: Number.MIN_SAFE_INTEGER, generation: 0 };

/**
 * What the origin has of a key when it takes a change of it: its store, and the changes of the same request before. A
 * delete gets the later of its event time and the one found, and the next generation; an upsert gets the generation
 * found (P9.1). Make one for each request, and use it in one synchronous step.
 */
export class PriorValues {
  readonly #codec: ViewCodec;
  readonly #store: Pick<OnlineReader, 'row'>;
  readonly #producer: Producer | undefined;
  readonly #withGeneration: boolean;
  /** Only where a later change of the request may have to know of an earlier one. */
  readonly #inRequest: Map<string, Prior> | undefined;

  constructor(options: {
    codec: ViewCodec;
    store: Pick<OnlineReader, 'row'>;
    producer: Producer | undefined;
    changes: readonly IngestChange[];
  }) {
    this.#codec = options.codec;
    this.#store = options.store;
    this.#producer = options.producer;
    this.#withGeneration = hasGeneration(options.codec.view.resolver);
    this.#inRequest = options.changes.some(({ operation }) => operation === 'delete') ? new Map() : undefined;
  }

  /** COUNTER_FULL when the change would add a producer to a counter that has no room for one. */
  place(change: IngestChange): Omit<Change, 'offset'> {
    const isDelete = change.operation === 'delete';
    const { resolver } = this.#codec.view;
    if (!isDelete && !this.#withGeneration) {
      this.#remember(change, change.eventTimeUs, 0);
      return change;
    }
    const prior = this.#priorOf(change.key);
    const eventTimeUs = isDelete ? Math.max(change.eventTimeUs, prior.eventTimeUs) : change.eventTimeUs;
    const generation = this.#withGeneration ? Math.min(prior.generation + (isDelete ? 1 : 0), GENERATION_MAX) : 0;
    this.#remember(change, Math.max(eventTimeUs, prior.eventTimeUs), generation);
    const row =
      resolver.kind === 'counter' && !isDelete && this.#producer !== undefined
        ? encodeComponent(this.#producer, change.row)
        : change.row;
    return { ...change, eventTimeUs, generation, row };
  }

  #remember({ key }: IngestChange, eventTimeUs: number, generation: number): void {
    if (this.#inRequest === undefined) return;
    const name = key.toString('latin1');
    const known = this.#inRequest.get(name) ?? NOTHING;
    this.#inRequest.set(name, {
      eventTimeUs: Math.max(known.eventTimeUs, eventTimeUs),
      generation: Math.max(known.generation, generation),
    });
  }

  #priorOf(key: Buffer): Prior {
    const known = this.#inRequest?.get(key.toString('latin1')) ?? NOTHING;
    const stored = this.#store.row(this.#codec.rowKey(key));
    if (stored === undefined) return known;
    if (this.#codec.view.resolver.kind === 'counter') this.#refuseFullCounter(stored);
    const extent = storedExtent(this.#codec, stored);
    return {
      eventTimeUs: Math.max(known.eventTimeUs, extent.eventTimeUs),
      generation: Math.max(known.generation, extent.generation),
    };
  }

  #refuseFullCounter(stored: Buffer): void {
    const producer = this.#producer;
    if (producer === undefined || !isLive(stored)) return;
    const start = payloadStart(stored, 0, true);
    if ((producerCount(stored, start, stored.length) ?? 0) < PRODUCERS_MAX) return;
    if (hasProducer(stored, start, stored.length, producer.name)) return;
    throw new AntipodeError(
      'COUNTER_FULL',
      `a counter holds ${PRODUCERS_MAX} producers, ${producer.name} is one more`,
      {
        where: `view ${this.#codec.view.name}`,
      },
    );
  }
}
