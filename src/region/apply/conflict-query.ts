import { AntipodeError } from '#core/errors';
import type { FeatureView } from '#core/model/feature-view';
import { decodeStamp } from '#core/model/stamp';
import type { ConflictCell } from '#region/apply/conflict-entry';
import type { ConflictLedger, NumberedConflict } from '#region/apply/conflict-ledger';
import type { ViewRegistry } from '#region/apply/view-registry';
import type { Conflict, ConflictPage, ConflictQuery, ConflictSide } from '#region/engine-api';

/** Conflicts in one answer. */
export const CONFLICTS_PAGE_MAX = 500;
/** Entries looked at for one answer: a filter that fits few of them takes several calls. */
const LOOKED_AT_MAX = 2000;
const STEP = 250;

/**
 * Looks through the ledger: views in name order, the newest of each view first. Goes over a bounded part of it; `next`
 * says where to go on. REQUEST_MALFORMED when the cursor is none of this ledger's, VIEW_NOT_FOUND.
 */
export function queryConflicts(ledger: ConflictLedger, registry: ViewRegistry, query: ConflictQuery): ConflictPage {
  const limit = Math.min(query.limit, CONFLICTS_PAGE_MAX);
  const conflicts: Conflict[] = [];
  const versions = new Map<string, FeatureView>();
  let lookedAt = 0;
  const cursor = query.after === undefined ? undefined : parseCursor(query.after);
  for (const view of viewsOf(ledger, registry, query)) {
    if (cursor !== undefined && view < cursor.view) continue;
    let before = cursor?.view === view ? cursor.number : undefined;
    for (;;) {
      const page = ledger.entries(view, before, STEP);
      for (const found of page) {
        before = found.number;
        lookedAt++;
        const conflict = conflictOf(view, found);
        if (!fits(conflict, query)) continue;
        conflicts.push(conflict);
        const version = registry.version(conflict.version)?.view;
        if (version !== undefined) versions.set(conflict.version, version);
        if (conflicts.length >= limit) return pageOf(`${view}/${found.number}`);
      }
      if (page.length === 0) break;
      if (lookedAt >= LOOKED_AT_MAX) return pageOf(`${view}/${before}`);
    }
  }
  return pageOf(null);

  function pageOf(next: string | null): ConflictPage {
    return { conflicts, next, versions: [...versions.values()] };
  }
}

function viewsOf(ledger: ConflictLedger, registry: ViewRegistry, { view }: ConflictQuery): string[] {
  const views = ledger.views();
  if (view === undefined) return views;
  if (!views.includes(view) && registry.current(view) === undefined)
    throw new AntipodeError('VIEW_NOT_FOUND', `there is no feature view ${view} here`, { where: view });
  return views.filter((name) => name === view);
}

function parseCursor(text: string): { readonly view: string; readonly number: number } {
  const match = /^([a-z][a-z0-9_]{0,62})\/(\d{1,15})$/.exec(text);
  if (match === null)
    throw new AntipodeError('REQUEST_MALFORMED', `${JSON.stringify(text.slice(0, 80))} is no place in the ledger`, {
      remedy: 'Pass the `next` of the answer before.',
    });
  return { view: match[1] as string, number: Number(match[2]) };
}

function conflictOf(view: string, { number, entry }: NumberedConflict): Conflict {
  const stored = sideOf(entry.stored);
  const incoming = sideOf(entry.incoming);
  return {
    cursor: `${view}/${number}`,
    view,
    version: entry.version,
    key: entry.key.toString('hex'),
    kind: entry.kind,
    winner: entry.winner,
    rule: entry.rule,
    features: entry.features.length === 0 ? null : entry.features,
    atMs: Math.max(stored.wallMs, incoming.wallMs),
    stored,
    incoming,
  };
}

function sideOf(cell: ConflictCell): ConflictSide {
  const { eventTimeUs, hlc, origin } = decodeStamp(cell.stamp);
  return {
    stream: cell.stream,
    seq: cell.seq,
    origin,
    eventTimeUs,
    wallMs: hlc.wallMs,
    counter: hlc.counter,
    deleted: cell.deleted,
    value: cell.value.length === 0 ? null : cell.value.toString('base64'),
    valueBytes: cell.valueBytes,
  };
}

function fits(conflict: Conflict, { key, origins, afterMs }: ConflictQuery): boolean {
  if (key !== undefined && conflict.key !== key) return false;
  if (afterMs !== undefined && conflict.atMs < afterMs) return false;
  if (origins === undefined) return true;
  const [a, b] = [conflict.stored.origin, conflict.incoming.origin];
  return (origins[0] === a && origins[1] === b) || (origins[0] === b && origins[1] === a);
}
