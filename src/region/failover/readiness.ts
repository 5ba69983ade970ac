import { AntipodeError } from '#core/errors';
import type { Lease } from '#core/failover/lease';
import type { Applier } from '#region/apply/applier';
import type { NamespaceLog } from '#region/replicate/namespace-log';

/**
 * What keeps a region from holding or showing everything that is valid. `applying` passes by itself, and `parked` when the wall clock has come near the stamps; a `hole` when a peer
 * still has the frames; a `halted` stream only when what it cannot decode is repaired.
 */
export interface Shortfall {
  readonly kind: 'rebuilding' | 'backfilling' | 'halted' | 'hole' | 'parked' | 'applying';
  readonly reason: string;
}

type State = {
  readonly log: Pick<NamespaceLog, 'namespace' | 'streams' | 'standing' | 'head'>;
  readonly applier: Pick<Applier, 'rebuilding' | 'incomplete' | 'checkpoint' | 'haltedReason' | 'parkedUntilMs'>;
};

/**
 * The worst that stands between this region and everything valid of a namespace; undefined when reads here show all of
 * it. A sealed stream is complete at its seal and nowhere below: a hub that accepts with a hole makes the hole the truth.
 */
export function shortfallOf({ log, applier }: State): Shortfall | undefined {
  if (applier.rebuilding) return { kind: 'rebuilding', reason: 'its online store is being built again' };
  const incomplete = applier.incomplete(log.namespace);
  if (incomplete !== undefined) return { kind: 'backfilling', reason: incomplete };
  let worst: Shortfall | undefined;
  for (const stream of log.streams()) {
    const standing = log.standing(stream);
    if (standing.kind === 'unknown') continue;
    const head = log.head(stream).seq;
    const upTo = standing.kind === 'sealed' ? standing.seal : head;
    const applied = applier.checkpoint(stream);
    if (applied >= upTo) continue;
    const halted = applier.haltedReason(stream);
    if (halted !== undefined)
      return { kind: 'halted', reason: `${stream} cannot be applied beyond ${applied}: ${halted}` };
    if (head < upTo) worst = { kind: 'hole', reason: `it holds ${stream} up to ${head}, the seal is ${upTo}` };
    else if (applier.parkedUntilMs(stream) !== undefined)
      worst ??= { kind: 'parked', reason: `${stream} beyond ${applied} is stamped ahead of this region's clock` };
    else worst ??= { kind: 'applying', reason: `${stream} is applied up to ${applied} of ${upTo}` };
  }
  return worst;
}

/**
 * Why this region may not be promoted; undefined when it may. A person's order outweighs missing sealed history, which is
 * fetched then, or given up where that person allows the loss, and nothing else.
 */
export function notEligible(state: State, kind: 'planned' | 'automatic'): string | undefined {
  const shortfall = shortfallOf(state);
  if (shortfall === undefined || shortfall.kind === 'applying' || shortfall.kind === 'parked') return undefined;
  return kind === 'planned' && shortfall.kind === 'hole' ? undefined : shortfall.reason;
}

/** Why a region may not be hub whatever else holds: another number of partitions gives keys to other streams (P1.1). */
export function partitionsDiffer(
  config: { readonly namespace: string; readonly partitions: number },
  lease: Lease | undefined,
): AntipodeError | undefined {
  const { namespace, partitions } = config;
  const created = lease?.record.partitions ?? partitions;
  if (created === partitions) return undefined;
  return new AntipodeError(
    'CONFIG_INVALID',
    `namespace ${namespace} was created with ${created} partitions, the configuration says ${partitions}`,
    { remedy: `Set partitions of ${namespace} back to ${created}: the number is fixed when a namespace is created.` },
  );
}
