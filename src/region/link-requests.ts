import { AntipodeError } from '#core/errors';
import type { Hlc } from '#core/time/hlc';
import type { IngestResult } from '#region/engine-api';
import type { NamespaceAuthority } from '#region/failover/namespace-authority';
import type { Tails } from '#region/failover/tails';
import { decodeForwarded, type Ingest } from '#region/ingest/ingest';
import type { NamespaceWriter } from '#region/ingest/namespace-writer';
import type { RequestHandlers } from '#region/replicate/rpc';
import { unpackFrames } from '#region/replicate/wire';
import type { RowReads } from '#region/serve/row-reads';

/** What this region answers its peers beside its streams: promises, writes, reads and tails that they hand on. */
export function linkRequests(options: {
  /** Throws STREAM_NOT_FOUND. */
  readonly namespaceOf: (name: string) => {
    readonly authority: NamespaceAuthority;
    readonly tails: Tails;
    readonly writer: NamespaceWriter;
  };
  /** Id of this region's log. */
  readonly log: string;
  readonly ingest: Ingest;
  readonly rowReads: RowReads;
  /** Why this region lacks something of a namespace that its logs cannot give it. */
  readonly incomplete: (namespace: string) => string | undefined;
}): RequestHandlers {
  const { namespaceOf, ingest, rowReads } = options;

  return {
    promise: async ({ namespace, epoch, revision, candidate }) => {
      // P12.2: what it acknowledged once, it may have lost; its word says nothing of what others acknowledged.
      const reason = options.incomplete(namespace);
      if (reason !== undefined) throw new AntipodeError('REBUILDING', reason);
      const heads = await namespaceOf(namespace).authority.promise(epoch, revision, candidate);
      return { answer: { heads, log: options.log } };
    },
    drain: async ({ namespace, epoch, candidate }) => ({
      answer: await namespaceOf(namespace).authority.drain(epoch, candidate),
    }),
    knowsKey: async ({ namespace, view, key }) => {
      const { authority, writer } = namespaceOf(namespace);
      // Before it accepts, it may not have applied all that it wrote.
      if (authority.appendable() === undefined)
        throw new AntipodeError('NOT_HOLDER', `this region does not accept writes of ${namespace} yet`);
      return { answer: { known: writer.knows(view, key) } };
    },
    ingest: async ({ view, version, idempotencyKey, retried, observed, producer, acknowledge }, blob) => ({
      answer: mutable(
        await ingest.submit(
          {
            view,
            version,
            idempotencyKey: idempotencyKey ?? undefined,
            retried,
            observed: observed ?? undefined,
            producer: producer ?? undefined,
            acknowledge: acknowledge ?? undefined,
            changes: decodeForwarded(blob),
          },
          { forwarded: true },
        ),
      ),
    }),
    rows: async ({ seen, maxStalenessMs, ...read }, keys) => {
      const request = { ...read, seen: seen ?? undefined, maxStalenessMs: maxStalenessMs ?? undefined };
      const { result, blob } = await rowReads.readForwarded(request, keys);
      const { epoch, freshnessMs } = result;
      return { answer: { epoch, freshnessMs, seen: { ...result.seen, streams: { ...result.seen.streams } } }, blob };
    },
    replay: async ({ namespace, stream, after }, blob) => ({
      answer: { replayedTo: await namespaceOf(namespace).tails.take(stream, unpackFrames(blob), after) },
    }),
  };
}

function mutable(result: IngestResult): {
  accepted: number;
  quarantined: { index: number; code: string; message: string }[];
  duplicate: boolean;
  hub: string;
  positions: Record<string, number>;
  durableIn: string[];
  epoch: number;
  hlc: Hlc;
} {
  return {
    ...result,
    quarantined: [...result.quarantined],
    positions: { ...result.positions },
    durableIn: [...result.durableIn],
  };
}
