import type { KvSize } from '#adapters/kv/ordered-kv';

export interface LmdbSpace {
  readonly usedPages: number;
  readonly pageBytes: number;
}

/** Deeper trees do not occur: with 20 keys on a page, six levels hold 64 million leaf pages. */
const TREE_LEVELS_MAX = 6;
/** LMDB writes back the whole list of free pages it has loaded (at most 75,000 entries), and the roots of the tables. */
const BOOKKEEPING_PAGES = 512;
/** Each page that a transaction replaces becomes an entry of 16 bytes at most in the list of free pages. */
const FREED_PAGES_PER_PAGE = 256;

/**
 * Upper bound of the new pages of one transaction. It replaces the pages on the way to each key, but each page of the
 * tree once at most; and it adds pages for new bytes: half full after a split, and rounded up for values that get pages
 * of their own, which begin at half a page.
 */
export function pagesOfTransaction(size: KvSize, space: LmdbSpace): number {
  const replaced = Math.min(size.operations * TREE_LEVELS_MAX, space.usedPages);
  const added = 3 * Math.ceil(size.bytes / space.pageBytes) + TREE_LEVELS_MAX;
  return replaced + added + Math.ceil(replaced / FREED_PAGES_PER_PAGE) + BOOKKEEPING_PAGES;
}

/** Emptying tables frees all their pages and writes only the list of them. */
export function pagesOfWipe(usedPages: number): number {
  return Math.ceil(usedPages / FREED_PAGES_PER_PAGE) + BOOKKEEPING_PAGES;
}
