import { canonicalJson } from '#core/canonical-json';
import { toAntipodeError } from '#core/errors';
import { sha256Hex } from '#core/hash';
import type { Clock } from '#ports/clock';
import type { Host } from '#ports/host';
import type { Journal } from '#ports/journal';
import type { AuditEntry, AuditVerdict } from '#region/engine-api';

const PREFIX = 'audit/';
/** Notes that wait for space on the disk; older ones are given up. */
const NOTES_MAX = 1000;
const GENESIS = '0'.repeat(64);

/** Position of the log's end as another node recorded it: what makes a shortened log detectable. */
export interface AuditAnchor {
  readonly index: number;
  readonly hash: string;
}

function keyOf(index: number): string {
  return PREFIX + String(index).padStart(12, '0');
}

function hashOf(entry: Omit<AuditEntry, 'hash'>): string {
  const { index, atMs, actor, action, details, previous } = entry;
  return sha256Hex(canonicalJson({ index, atMs, actor, action, details, previous }));
}

/**
 * The audit log of a region: every administrative act, failover, cut link and replay, each entry holding the hash of the
 * one before (S7). An altered, removed or reordered entry breaks the chain; a shortened log is found by the anchor that the
 * region leaves in the control store.
 */
export class AuditLog {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #host: Host;
  readonly #notes: { actor: string; action: string; details: AuditEntry['details'] }[] = [];
  #noting: Promise<void> | undefined;
  #next: number;
  #head: string;
  #durable: AuditAnchor;

  constructor(options: { journal: Journal; clock: Clock; host: Host }) {
    this.#journal = options.journal;
    this.#clock = options.clock;
    this.#host = options.host;
    const last = options.journal.list(PREFIX, { reverse: true, limit: 1 })[0];
    // The key says where the log ends, whatever became of the last entry: nothing is ever written over evidence.
    this.#next = last === undefined ? 0 : Number(last[0].slice(PREFIX.length)) + 1;
    this.#head = (last === undefined ? undefined : decodeEntry(last[1])?.hash) ?? GENESIS;
    this.#durable = { index: this.#next, hash: this.#head };
  }

  /** End of what is durable: number of entries and hash of the last. A crash takes nothing of it back, so it may be kept elsewhere. */
  get anchor(): AuditAnchor {
    return this.#durable;
  }

  /** Whether this log holds the entry that the anchor names as its end. */
  goesThrough(anchor: AuditAnchor): boolean {
    if (anchor.index === 0) return anchor.hash === GENESIS;
    const bytes = this.#journal.get(keyOf(anchor.index - 1));
    return bytes !== undefined && decodeEntry(bytes)?.hash === anchor.hash;
  }

  /** Durable once resolved. The order of calls is the order of entries. */
  async append(actor: string, action: string, details: AuditEntry['details']): Promise<void> {
    const unsigned = {
      index: this.#next,
      atMs: Math.round(this.#clock.wallMs()),
      actor,
      action,
      details,
      previous: this.#head,
    };
    const entry: AuditEntry = { ...unsigned, hash: hashOf(unsigned) };
    // Throws on a full disk before anything was taken: the chain then goes on from where it was.
    const written = this.#journal.write([
      { kind: 'put', key: keyOf(entry.index), value: Buffer.from(JSON.stringify(entry), 'utf8') },
    ]);
    this.#next += 1;
    this.#head = entry.hash;
    await written;
    if (entry.index >= this.#durable.index) this.#durable = { index: entry.index + 1, hash: entry.hash };
  }

  /**
   * Appends what has happened already and cannot be refused any more: a cut link, a lost lease. On a full disk it is kept,
   * up to NOTES_MAX, and appended before the next note.
   */
  note(actor: string, action: string, details: AuditEntry['details']): void {
    this.#notes.push({ actor, action, details });
    if (this.#notes.length > NOTES_MAX) this.#notes.shift();
    this.#noting ??= this.#appendNotes().finally(() => {
      this.#noting = undefined;
    });
  }

  /** Resolves when every note so far is appended, or waits for space. */
  async settled(): Promise<void> {
    await this.#noting;
  }

  async #appendNotes(): Promise<void> {
    for (let note = this.#notes[0]; note !== undefined; note = this.#notes[0]) {
      try {
        await this.append(note.actor, note.action, note.details);
      } catch (caught) {
        if (toAntipodeError(caught).code === 'DISK_FULL') return;
        this.#host.fatal(caught);
      }
      this.#notes.shift();
    }
  }

  entries(options: { readonly after: number; readonly limit: number }): AuditEntry[] {
    const after = options.after < 0 ? {} : { after: keyOf(options.after) };
    const entries: AuditEntry[] = [];
    for (const [, value] of this.#journal.list(PREFIX, { ...after, limit: Math.min(options.limit, 10_000) })) {
      const entry = decodeEntry(value);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }
}

function decodeEntry(bytes: Uint8Array): AuditEntry | undefined {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as AuditEntry;
  } catch {
    return undefined;
  }
}

/**
 * Walks a whole audit log and checks every link of the chain, and the anchor when there is one. Needs no running region;
 * inside one, `yieldTurn` lets other work run between pages.
 */
export async function verifyAudit(
  journal: Journal,
  anchor: (AuditAnchor & { readonly replaced?: readonly AuditAnchor[] }) | undefined,
  yieldTurn: () => Promise<void> = async () => undefined,
): Promise<AuditVerdict> {
  const replaced = anchor?.replaced?.length ?? 0;
  let previous = GENESIS;
  let index = 0;
  let hashAtAnchor: string | undefined = anchor?.index === 0 ? GENESIS : undefined;
  let after: string | undefined;
  for (;;) {
    const page = journal.list(PREFIX, { limit: 1000, ...(after === undefined ? {} : { after }) });
    for (const [key, value] of page) {
      const entry = decodeEntry(value);
      const bad = (reason: string): AuditVerdict => ({
        ok: false,
        entries: index,
        firstBadIndex: index,
        reason,
        replaced,
      });
      if (entry === undefined) return bad('the entry is not readable');
      if (key !== keyOf(index) || entry.index !== index) return bad(`entry ${index} is missing or out of order`);
      if (entry.previous !== previous) return bad('the entry does not follow from the one before');
      if (hashOf(entry) !== entry.hash) return bad('the entry was altered');
      previous = entry.hash;
      index += 1;
      if (index === anchor?.index) hashAtAnchor = previous;
      after = key;
    }
    if (page.length < 1000) break;
    await yieldTurn();
  }
  if (anchor !== undefined && index < anchor.index) {
    return {
      ok: false,
      entries: index,
      firstBadIndex: index,
      reason: `the log has ${index} entries, the control store saw ${anchor.index}`,
      replaced,
    };
  }
  if (anchor !== undefined && hashAtAnchor !== anchor.hash) {
    return {
      ok: false,
      entries: index,
      firstBadIndex: anchor.index,
      reason: 'the log is not the one the control store saw',
      replaced,
    };
  }
  return { ok: true, entries: index, head: previous, anchoredAt: anchor?.index ?? null, replaced };
}
