import { isLive, payloadStart } from '#core/codec/cell';
import { hasProducer, PRODUCERS_MAX, type Producer, producerCount } from '#core/codec/counter-state';
import { hasGeneration } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { OnlineReader } from '#ports/online-store';
import type { IngestChange } from '#region/engine-api';
import type { FramePart, PartIdentity } from '#region/ingest/frame-builder';
import { PriorValues } from '#region/ingest/prior-values';

type Rows = Pick<OnlineReader, 'row'>;

/** What one request contributes to a partition, as the client sent it. */
export interface ClientPart extends FramePart {
  readonly changes: readonly IngestChange[];
  readonly producer: Producer | undefined;
}

/** What is left to append of a request's part when the first `held` changes are held already. */
export function clientPart(
  changes: readonly IngestChange[],
  identity: PartIdentity | null,
  held: number,
  producer: Producer | undefined,
): ClientPart {
  return {
    changes: held === 0 ? changes : changes.slice(held),
    idempotency: identity === null ? null : { ...identity, first: held },
    producer,
  };
}

/** Gives the changes of one view version in one commit what they take from the values before them. */
export function placeParts(codec: ViewCodec, store: Rows, parts: readonly ClientPart[]): FramePart[] {
  const hasDeletes = parts.some(({ changes }) => changes.some(({ operation }) => operation === 'delete'));
  const prior = new PriorValues({ codec, store, hasDeletes });
  return parts.map(({ changes, idempotency, producer }) => ({
    changes: changes.map((change) => prior.place(change, producer)),
    idempotency,
  }));
}

/** REBUILDING when what changes go by is not in the store yet; COUNTER_FULL when a counter has no room for the producer. */
export function refuseUnplaceable(options: {
  codec: ViewCodec;
  store: Rows;
  rebuilding: boolean;
  changes: readonly IngestChange[];
  producer: Producer | undefined;
}): void {
  const { codec, store, rebuilding, changes, producer } = options;
  const { name, resolver } = codec.view;
  const goesByStored = hasGeneration(resolver) || changes.some(({ operation }) => operation === 'delete');
  if (rebuilding && goesByStored)
    throw new AntipodeError('REBUILDING', `${name} is not complete here yet, so it takes no such write`);
  if (producer === undefined) return;
  for (const { operation, key } of changes) {
    const stored = operation === 'delete' ? undefined : store.row(codec.rowKey(key));
    if (stored === undefined || !isLive(stored)) continue;
    const start = payloadStart(stored, 0, true);
    if ((producerCount(stored, start, stored.length) ?? 0) < PRODUCERS_MAX) continue;
    if (hasProducer(stored, start, stored.length, producer.name)) continue;
    const message = `a counter holds ${PRODUCERS_MAX} producers, ${producer.name} is one more`;
    throw new AntipodeError('COUNTER_FULL', message, { where: `view ${name}` });
  }
}
