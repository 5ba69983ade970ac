import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import type { IngestChange } from '#region/engine-api';
import type { NamespaceWriter } from '#region/ingest/namespace-writer';
import type { NamespaceLog } from '#region/replicate/namespace-log';
import type { Peers } from '#region/replicate/peers';

/** How long another member may take to say whether it knows a key, ms. */
const WORD_MS_MAX = 2000;

/**
 * Refuses a delete that is sent again where another member may have accepted it before (P10): a delete takes the event time
 * of the row it meets, so made a second time it would also delete what was written since the first. Only the other members
 * know, and each has to say so. Upserts pass, for merge makes one of two of them; so does whatever this region knows already.
 * OUTCOME_UNKNOWN when a member knows the key or does not answer.
 */
export async function assertNotTriedElsewhere(options: {
  readonly log: Pick<NamespaceLog, 'live' | 'namespace'>;
  readonly writer: Pick<NamespaceWriter, 'lacks'>;
  readonly peers: Pick<Peers, 'names' | 'request'>;
  readonly codec: ViewCodec;
  readonly changes: readonly IngestChange[];
  readonly key: string;
}): Promise<void> {
  const { log, writer, peers, codec, changes, key } = options;
  // Where one region accepts, it decides: what its predecessor may hold beyond the seal comes back as a tail, known by its key.
  if (log.live === undefined || !changes.some(({ operation }) => operation === 'delete')) return;
  if (!writer.lacks(codec, changes, key)) return;
  const question = { namespace: log.namespace, view: codec.view.name, key };
  const words = await Promise.all(
    peers.names.map(async (peer) => {
      try {
        const { answer } = await peers.request(peer, 'knowsKey', question, { timeoutMs: WORD_MS_MAX });
        return answer.known ? `${peer} has accepted it, and it is on its way here` : undefined;
      } catch (caught) {
        return `${peer} may have accepted it (${toAntipodeError(caught).code})`;
      }
    }),
  );
  const open = words.filter((word) => word !== undefined);
  // What was on its way may have come while the others were asked.
  if (open.length === 0 || !writer.lacks(codec, changes, key)) return;
  throw new AntipodeError('OUTCOME_UNKNOWN', `a delete was tried before: ${open.join('; ')}`, {
    where: `view ${codec.view.name}`,
    remedy:
      'Retry in the region that was asked first, or here with the same key when the named regions are connected again. Only if the row is to go whatever was written since: delete it under a new key.',
  });
}
