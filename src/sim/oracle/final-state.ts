import type { FeatureView } from '#core/model/feature-view';
import type { StreamKey } from '#core/model/stream';
import type { OnlineStore } from '#ports/online-store';
import { verifyAudit } from '#region/audit/audit-log';
import type { NamespaceKnobs } from '#sim/knobs';
import type { RunningRegion } from '#sim/machine/region-machine';
import { lostChanges, repeatedChanges } from '#sim/oracle/acknowledged';
import { cutsOf, isExpired } from '#sim/oracle/expiry';
import type { FrameArchive } from '#sim/oracle/frame-archive';
import { type PlainLease, withoutLease } from '#sim/oracle/lease-view';
import { misplacedChanges } from '#sim/oracle/prior-changes';
import { rareMerges } from '#sim/oracle/rare-merges';
import type { ReferenceMerge } from '#sim/oracle/reference-merge';
import { type NamedLog, tailFrames, type ValidFrames, validFrames } from '#sim/oracle/valid-frames';
import type { Oracle } from '#sim/oracle/violations';
import type { WriteRecord } from '#sim/workload/write-record';

export interface Shortcoming {
  readonly oracle: Oracle;
  readonly text: string;
}

const PREFIX_BYTES = 8;

/** Rows of one store that belong to some view versions, as text. */
function rowsOf(store: OnlineStore, views: readonly FeatureView[]): Map<string, string> {
  const rows = new Map<string, string>();
  for (const { version } of views) {
    const prefix = Buffer.from(version, 'hex').subarray(0, PREFIX_BYTES);
    for (const [key, value] of store.scan(prefix, undefined, Number.MAX_SAFE_INTEGER))
      rows.set(key.toString('hex'), value.toString('hex'));
  }
  return rows;
}

function difference(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string | undefined {
  for (const [key, value] of a) {
    const other = b.get(key);
    if (other === undefined) return `row ${key} is missing`;
    if (other !== value) return `row ${key} is ${other}, not ${value}`;
  }
  for (const key of b.keys()) if (!a.has(key)) return `row ${key} should not be there`;
  return undefined;
}

interface LogVerdict {
  /** What the logs held, and what had been acknowledged, when it was given. */
  readonly of: string;
  readonly findings: readonly Shortcoming[];
  readonly reference: ReadonlyMap<string, string>;
}

/**
 * What is wrong with one namespace when all faults have ended; nothing, in the end. Asked again and again after the heal:
 * what does not get right within the bound is a violation.
 */
export class FinalState {
  readonly #namespace: NamespaceKnobs;
  readonly #views: readonly FeatureView[];
  readonly #merge: ReferenceMerge;
  readonly #writes: readonly WriteRecord[];
  readonly #archive: FrameArchive;
  readonly #unheard: ReadonlySet<string>;
  #frames: ValidFrames['frames'] = [];
  #verdict: LogVerdict | undefined;

  constructor(options: {
    namespace: NamespaceKnobs;
    views: readonly FeatureView[];
    merge: ReferenceMerge;
    writes: readonly WriteRecord[];
    archive: FrameArchive;
    /** Members that went on without having heard every peer: keys that only that one knew are new to them. */
    unheard: ReadonlySet<string>;
  }) {
    this.#unheard = options.unheard;
    this.#namespace = options.namespace;
    this.#views = options.views;
    this.#merge = options.merge;
    this.#writes = options.writes;
    this.#archive = options.archive;
  }

  /** `complete`: every region is there, so that nothing acknowledged may be missing. */
  shortcomings(
    leased: PlainLease | undefined,
    regions: readonly (readonly [string, RunningRegion])[],
    complete: boolean,
  ): Shortcoming[] {
    const logs = regions.map(([region, { changeLog }]) => ({ region, log: changeLog }));
    const { name, replication } = this.#namespace;
    const active = replication === 'active-active';
    const lease = active
      ? withoutLease(
          name,
          logs.flatMap(({ log }) => log.streams()),
        )
      : leased;
    if (lease === undefined) return [{ oracle: 'I14', text: `${name} has no lease` }];
    const valid = validFrames(lease, logs, this.#archive);
    const found = [...valid.faults.map((text) => ({ oracle: 'I5' as const, text })), ...behind(regions, valid.ends)];
    if (found.length > 0) return found;
    const { findings, reference } = this.#judgeLogs(lease, logs, valid);
    found.push(...findings.filter(({ oracle }) => complete || oracle !== 'I1'));
    let first: Map<string, string> | undefined;
    for (const [region, { store }] of regions) {
      const rows = rowsOf(store, this.#views);
      const between = first === undefined ? undefined : difference(first, rows);
      if (between !== undefined) found.push({ oracle: 'I3', text: `${region} and ${regions[0]?.[0]}: ${between}` });
      const fromReference = difference(reference, rows);
      if (fromReference !== undefined) found.push({ oracle: 'I4', text: `${region}: ${fromReference}` });
      first ??= rows;
    }
    return found;
  }

  /** Rare ways in which changes were put in order: see `rareMerges`. */
  rareMerges(): string[] {
    return rareMerges(this.#frames.flatMap(({ changes }) => changes));
  }

  /** What the logs alone tell; given again as long as they hold the same. */
  #judgeLogs(lease: PlainLease, logs: readonly NamedLog[], { frames, ends }: ValidFrames): LogVerdict {
    const writes = this.#writes.filter(({ namespace }) => namespace === this.#namespace.name);
    const acked = writes.filter(({ ackedMs }) => ackedMs !== undefined).length;
    const of = JSON.stringify([lease.epoch, acked, ...ends, ...logs.flatMap(({ log }) => log.bytes())]);
    if (this.#verdict?.of === of) return this.#verdict;
    const tails = this.#namespace.tail === 'keep' ? tailFrames(lease, logs, this.#archive) : [];
    const changes = frames.flatMap((frame) => frame.changes);
    const cuts = cutsOf(frames);
    const findings: Shortcoming[] = [
      ...lostChanges({ writes, valid: frames, tails }),
      ...repeatedChanges(frames, writes, this.#namespace.replication, this.#unheard),
      ...misplacedChanges(changes, this.#views, cuts).map((text) => ({ oracle: 'I7' as const, text })),
      ...this.#merge.wronglyServed(changes).map((text) => ({ oracle: 'I4' as const, text })),
    ];
    this.#frames = frames;
    const lasting = changes.filter((change) => !isExpired(change, cuts));
    this.#verdict = { of, findings, reference: this.#merge.rows(lasting) };
    return this.#verdict;
  }
}

/** Regions that do not hold everything, or have not applied it. */
function behind(
  regions: readonly (readonly [string, RunningRegion])[],
  ends: ReadonlyMap<StreamKey, number>,
): Shortcoming[] {
  const found: Shortcoming[] = [];
  for (const [region, { store, changeLog }] of regions) {
    for (const [stream, end] of ends) {
      const head = changeLog.head(stream).seq;
      const applied = store.checkpoint(stream);
      if (head < end) found.push({ oracle: 'I14', text: `${region} holds ${stream} up to ${head} of ${end}` });
      else if (applied !== end)
        found.push({ oracle: 'I14', text: `${region} applied ${stream} up to ${applied} of ${end}` });
    }
  }
  return found;
}

/** The audit log of every region verifies. */
export async function brokenAudits(regions: readonly (readonly [string, RunningRegion])[]): Promise<Shortcoming[]> {
  const found: Shortcoming[] = [];
  for (const [region, { journal }] of regions) {
    const verdict = await verifyAudit(journal, undefined);
    if (!verdict.ok) found.push({ oracle: 'I12', text: `${region}: ${verdict.reason}` });
  }
  return found;
}
