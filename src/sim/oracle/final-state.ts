import type { OnlineStore } from '#ports/online-store';
import { verifyAudit } from '#region/audit/audit-log';
import type { NamespaceKnobs } from '#sim/knobs';
import type { RunningRegion } from '#sim/machine/region-machine';
import { lostChanges, repeatedChanges } from '#sim/oracle/acknowledged';
import type { FrameArchive } from '#sim/oracle/frame-archive';
import type { PlainLease } from '#sim/oracle/lease-view';
import { referenceRows } from '#sim/oracle/reference-merge';
import { tailFrames, validFrames } from '#sim/oracle/valid-frames';
import type { Oracle } from '#sim/oracle/violations';
import type { WriteRecord } from '#sim/workload/write-record';

export interface Shortcoming {
  readonly oracle: Oracle;
  readonly text: string;
}

const PREFIX_BYTES = 8;

/** Rows of one store that belong to some view versions, as text. */
function rowsOf(store: OnlineStore, versions: readonly string[]): Map<string, string> {
  const rows = new Map<string, string>();
  for (const version of versions) {
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

/**
 * What is wrong with one namespace when all faults have ended; empty when nothing is. Asked again and again after the
 * heal: what does not get right within the bound is a violation.
 */
export function shortcomings(options: {
  readonly namespace: NamespaceKnobs;
  readonly versions: readonly string[];
  readonly lease: PlainLease | undefined;
  readonly regions: readonly (readonly [string, RunningRegion])[];
  readonly writes: readonly WriteRecord[];
  readonly archive: FrameArchive;
}): Shortcoming[] {
  const { namespace, lease, regions, archive, writes } = options;
  if (lease === undefined) return [{ oracle: 'I14', text: `${namespace.name} has no lease` }];
  const logs = regions.map(([region, { changeLog }]) => ({ region, log: changeLog }));
  const { frames, ends, faults } = validFrames(lease, logs, archive);
  const found: Shortcoming[] = faults.map((text) => ({ oracle: 'I5' as const, text }));
  for (const [region, { store, changeLog }] of regions) {
    for (const [stream, end] of ends) {
      if (changeLog.head(stream).seq < end)
        found.push({ oracle: 'I14', text: `${region} holds ${stream} up to ${changeLog.head(stream).seq} of ${end}` });
      else if (store.checkpoint(stream) !== end)
        found.push({ oracle: 'I14', text: `${region} applied ${stream} up to ${store.checkpoint(stream)} of ${end}` });
    }
  }
  if (found.length > 0) return found;
  const tails = namespace.tail === 'keep' ? tailFrames(lease, logs, archive) : [];
  found.push(...lostChanges({ namespace: namespace.name, writes, valid: frames, tails }));
  found.push(
    ...repeatedChanges(
      frames,
      writes.filter((write) => write.namespace === namespace.name),
    ),
  );
  const reference = referenceRows(frames.flatMap(({ changes }) => changes));
  let first: Map<string, string> | undefined;
  for (const [region, { store }] of regions) {
    const rows = rowsOf(store, options.versions);
    const between = first === undefined ? undefined : difference(first, rows);
    if (between !== undefined) found.push({ oracle: 'I3', text: `${region} and ${regions[0]?.[0]}: ${between}` });
    const fromReference = difference(reference, rows);
    if (fromReference !== undefined) found.push({ oracle: 'I4', text: `${region}: ${fromReference}` });
    first ??= rows;
  }
  return found;
}

/** The audit log of every region verifies. */
export function brokenAudits(regions: readonly (readonly [string, RunningRegion])[]): Shortcoming[] {
  return regions.flatMap(([region, { journal }]) => {
    const verdict = verifyAudit(journal, undefined);
    return verdict.ok ? [] : [{ oracle: 'I12' as const, text: `${region}: ${verdict.reason}` }];
  });
}
