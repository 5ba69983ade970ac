import type { Assignment } from './active-rows.ts';

const PAGE = 500;

/** A conflict as anybody can name it: the key's bytes, hexadecimal, and the two regions in name order. */
export type ConflictName = string;

export function conflictName(keyHex: string, a: string, b: string): ConflictName {
  return `${keyHex} ${[a, b].sort().join(' ')}`;
}

/** The pairs that certainly are concurrent, from what was written and when, without asking anybody. */
export function expectedConflicts({ shared }: Assignment): Set<ConflictName> {
  return new Set(shared.map(([a, b]) => conflictName(a.row.key.toString('hex'), a.region, b.region)));
}

interface ListedSide {
  readonly change: string;
  readonly origin: string;
}

interface Listed {
  readonly kind: string;
  readonly keyBytes: string;
  readonly stored: ListedSide;
  readonly incoming: ListedSide;
}

/** What the ledgers of all regions list together, each conflict once by its two change ids. */
export async function listedConflicts(options: {
  readonly urls: readonly string[];
  readonly token: string;
  readonly view: string;
}): Promise<Map<string, ConflictName>> {
  const union = new Map<string, ConflictName>();
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
      for (const { keyBytes, stored, incoming } of page.conflicts) {
        const id = [stored.change, incoming.change].sort().join(' ');
        union.set(id, conflictName(keyBytes, stored.origin, incoming.origin));
      }
      after = page.next;
    } while (after !== null);
  }
  return union;
}
