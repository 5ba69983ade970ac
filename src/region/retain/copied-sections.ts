import { type StoreItem, unpackItems } from '#core/codec/store-items';
import type { ViewCodec } from '#core/codec/view-codec';
import type { MergeDecision } from '#core/merge/decision';
import { lastWriterWins } from '#core/merge/last-writer-wins';
import type { OnlineReader, RowWrite } from '#ports/online-store';
import { expiryKey, mergeExpiry } from '#region/apply/expiry-cuts';
import { readingKey } from '#region/apply/projection';
import {
  decodeJsonRecord,
  encodeJsonRecord,
  IDEMPOTENCY_PREFIX,
  type IdempotencyRecord,
  parseUndecodableKey,
  replayedKey,
  UNDECODABLE_PREFIX,
} from '#region/apply/records';
import { definitionKey, type ViewRegistry } from '#region/apply/view-registry';
import { type Coverage, covering } from '#region/failover/tail-coverage';

/** A run of keys of the store that belongs to one namespace. Sections are copied in the order of their names. */
interface Section {
  /** Sorts: definitions come before the rows they explain. */
  readonly name: string;
  readonly kind: 'row' | 'record';
  readonly prefix: Buffer;
  readonly wanted?: (key: string) => boolean;
}

/** What of a store belongs to a namespace: its definitions, the small records of its streams, and its rows. */
export function sectionsOf(namespace: string, views: ViewRegistry): Section[] {
  const versions = views.versionsOf(namespace);
  const record = (order: string, prefix: string, wanted?: (key: string) => boolean): Section => ({
    name: `${order} ${prefix}`,
    kind: 'record',
    prefix: Buffer.from(prefix),
    ...(wanted === undefined ? {} : { wanted }),
  });
  return [
    ...versions.map((version) => record('0', definitionKey(version))),
    record('1', readingKey(namespace)),
    record('2', `${IDEMPOTENCY_PREFIX}${namespace}/`),
    record('3', replayedKey(`${namespace}/`)),
    record('4', UNDECODABLE_PREFIX, (key) => parseUndecodableKey(key).stream.startsWith(`${namespace}/`)),
    ...versions.map(
      (version): Section => ({
        name: `5 ${version}`,
        kind: 'row',
        prefix: views.version(version)?.rowKeyPrefix ?? Buffer.from(version, 'hex'),
      }),
    ),
    // Last: rows that come before are swept under it.
    ...versions.map((version) => record('6', expiryKey(version))),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Where a copy stands: a section, and the last key taken of it, hexadecimal; as text `5 9f3c… 00ab`. */
export interface CopyCursor {
  readonly section: string;
  readonly after: string | null;
}

/** The next items of a namespace in key order, as the store is now, about `maxBytes` of them; `next` is null at the end. */
export function readSections(
  store: Pick<OnlineReader, 'records' | 'scan'>,
  sections: readonly Section[],
  cursor: CopyCursor | null,
  maxBytes: number,
): { readonly items: readonly StoreItem[]; readonly next: CopyCursor | null } {
  const items: StoreItem[] = [];
  let bytes = 0;
  for (const section of sections) {
    if (cursor !== null && section.name < cursor.section) continue;
    const resumed = cursor?.section === section.name ? cursor.after : null;
    let after: Buffer | undefined = resumed === null ? undefined : Buffer.from(resumed, 'hex');
    for (;;) {
      const page = pageOf(store, section, after);
      for (const item of page) {
        after = item.key;
        if (section.wanted !== undefined && !section.wanted(item.key.toString('utf8'))) continue;
        items.push(item);
        bytes += item.key.length + item.value.length;
        if (bytes >= maxBytes) return { items, next: { section: section.name, after: item.key.toString('hex') } };
      }
      if (page.length < PAGE) break;
    }
  }
  return { items, next: null };
}

const PAGE = 128;

function pageOf(
  store: Pick<OnlineReader, 'records' | 'scan'>,
  { kind, prefix }: Section,
  after: Buffer | undefined,
): StoreItem[] {
  if (kind === 'row') return store.scan(prefix, after, PAGE).map(([key, value]) => ({ kind, key, value }));
  return store
    .records(prefix.toString('utf8'), { after: after?.toString('utf8'), limit: PAGE })
    .map(([key, value]) => ({ kind, key: Buffer.from(key), value }));
}

export interface CopiedChunk {
  readonly rows: readonly RowWrite[];
  /** Of each row; undefined where this release does not know the view version. */
  readonly codecs: readonly (ViewCodec | undefined)[];
  readonly merge: (index: number, stored: Buffer, incoming: Buffer) => MergeDecision;
  readonly records: ReadonlyMap<string, Buffer>;
}

/** Makes a batch of a chunk that a peer sent: rows by the merges of their views, records by the rules of their kinds. */
export function mergeChunk(chunk: Buffer, store: Pick<OnlineReader, 'record'>, views: ViewRegistry): CopiedChunk {
  const items = unpackItems(chunk);
  const records = new Map<string, Buffer>();
  for (const item of items) {
    if (item.kind !== 'record') continue;
    const key = item.key.toString('utf8');
    records.set(key, mergeRecord(key, store.record(key), Buffer.from(item.value)));
    if (key.startsWith(definitionKey(''))) views.learn(item.value);
  }
  const rows = items.filter(({ kind }) => kind === 'row');
  const codecs = rows.map(({ key }) => views.byRowKey(key));
  const merges = codecs.map((codec) => (codec === undefined ? lastWriterWins : views.merge(codec)));
  const merge: CopiedChunk['merge'] = (index, stored, incoming) => (merges[index] ?? lastWriterWins)(stored, incoming);
  return { rows, codecs, records, merge };
}

function mergeRecord(key: string, stored: Buffer | undefined, incoming: Buffer): Buffer {
  if (key.startsWith(expiryKey(''))) return mergeExpiry(stored, incoming);
  if (stored === undefined || stored.equals(incoming)) return incoming;
  if (key.startsWith(IDEMPOTENCY_PREFIX)) {
    const ours = decodeJsonRecord<IdempotencyRecord>(stored);
    const theirs = decodeJsonRecord<IdempotencyRecord>(incoming);
    if (ours.digest !== theirs.digest) return ours.atMs >= theirs.atMs ? stored : incoming;
    return theirs.held > ours.held || theirs.complete ? incoming : stored;
  }
  if (key.startsWith(replayedKey('')))
    return encodeJsonRecord(
      decodeJsonRecord<Coverage>(incoming).reduce<Coverage>(
        (all, [from, to]) => covering(all, from, to),
        decodeJsonRecord<Coverage>(stored),
      ),
    );
  if (key.startsWith(readingKey(''))) return laterReading(stored, incoming);
  return incoming;
}

function laterReading(stored: Buffer, incoming: Buffer): Buffer {
  type Reading = { readonly wallMs: number; readonly counter: number };
  const ours = decodeJsonRecord<Reading>(stored);
  const theirs = decodeJsonRecord<Reading>(incoming);
  const later = theirs.wallMs - ours.wallMs || theirs.counter - ours.counter;
  return later > 0 ? incoming : stored;
}
