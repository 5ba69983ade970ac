import type { Assigned, Assignment } from './active-rows.ts';

const PAGE = 500;

/** A conflict as anybody can name it: the key's bytes, hexadecimal, and the two regions in name order. */
export type ConflictName = string;

/** A write of a shared row as anybody can name it: the key's bytes, hexadecimal, and the region. Each makes one. */
export type WriteName = string;

export function conflictName(keyHex: string, a: string, b: string): ConflictName {
  return `${keyHex} ${[a, b].sort().join(' ')}`;
}

function writeName(keyHex: string, region: string): WriteName {
  return `${keyHex} ${region}`;
}

/**
 * The conflicts of rows that so many regions wrote at once, from what was written and when, without asking anybody. Of two
 * writes the pair is one for certain. Of three any pair may be one: which of them meet depends on the order of arrival.
 */
export function conflictsOf(
  { shared }: Assignment,
  regions: { readonly from: number; readonly to: number },
): Set<ConflictName> {
  const names = new Set<ConflictName>();
  for (const writes of shared) {
    if (writes.length < regions.from || writes.length > regions.to) continue;
    for (const [i, a] of writes.entries())
      for (const b of writes.slice(i + 1)) names.add(conflictName(a.row.key.toString('hex'), a.region, b.region));
  }
  return names;
}

/** The writes of shared rows that are not what is stored in the end. `winnerOf`: region whose write is, by the key's bytes. */
export function lostWrites({ shared }: Assignment, winnerOf: (key: Buffer) => string | undefined): Set<WriteName> {
  const lost = new Set<WriteName>();
  for (const writes of shared) {
    const [{ row }] = writes as [Assigned];
    const winner = winnerOf(row.key);
    for (const { region } of writes) if (region !== winner) lost.add(writeName(row.key.toString('hex'), region));
  }
  return lost;
}

interface ListedSide {
  readonly change: string;
  readonly origin: string;
}

interface Listed {
  readonly kind: string;
  readonly winner: 'stored' | 'incoming' | 'merged';
  readonly keyBytes: string;
  readonly stored: ListedSide;
  readonly incoming: ListedSide;
}

/** What the ledgers of all regions list together. */
export interface ListedConflicts {
  /** By the two change ids, so each once. */
  readonly conflicts: ReadonlyMap<string, ConflictName>;
  /** Writes that lost in some conflict. */
  readonly losers: ReadonlySet<WriteName>;
}

export async function listedConflicts(options: {
  readonly urls: readonly string[];
  readonly token: string;
  readonly view: string;
}): Promise<ListedConflicts> {
  const conflicts = new Map<string, ConflictName>();
  const losers = new Set<WriteName>();
  for (const url of options.urls) {
    let after: string | null = null;
    do {
      const query = new URLSearchParams({
        view: options.view,
        limit: String(PAGE),
        ...(after === null ? {} : { after }),
      });
      const response = await fetch(`${url}/v1/conflicts?${query}`, {
        headers: { authorization: `Bearer ${options.token}` },
      });
      if (!response.ok) throw new Error(`${url}/v1/conflicts answers ${response.status}: ${await response.text()}`);
      const page = (await response.json()) as { conflicts: readonly Listed[]; next: string | null };
      for (const { winner, keyBytes, stored, incoming } of page.conflicts) {
        const id = [stored.change, incoming.change].sort().join(' ');
        conflicts.set(id, conflictName(keyBytes, stored.origin, incoming.origin));
        if (winner !== 'incoming') losers.add(writeName(keyBytes, incoming.origin));
        if (winner !== 'stored') losers.add(writeName(keyBytes, stored.origin));
      }
      after = page.next;
    } while (after !== null);
  }
  return { conflicts, losers };
}
