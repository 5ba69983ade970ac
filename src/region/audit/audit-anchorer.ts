import type { Clock } from '#ports/clock';
import type { ControlStore } from '#ports/control-store';
import type { AuditAnchor, AuditLog } from '#region/audit/audit-log';
import type { EventList } from '#region/observe/events';

/** How often the end of the audit log is recorded outside this region, ms. */
const ANCHOR_INTERVAL_MS = 15_000;

/** What the control store keeps of a region's audit log. */
export interface AnchorRecord extends AuditAnchor {
  /** Ends of logs that this region's log does not go through, oldest first: of replaced disks, or of rewritten logs. Never forgotten. */
  readonly replaced: readonly AuditAnchor[];
}

export function decodeAnchorRecord(bytes: Uint8Array): AnchorRecord {
  return { replaced: [], ...(JSON.parse(Buffer.from(bytes).toString('utf8')) as AuditAnchor) };
}

/**
 * Leaves the end of a region's audit log in the control store, so that a shortened or rewritten log is found (S7). A log
 * that does not go through the anchor at a start says so in its next entry and is anchored from then on; the anchor that it
 * broke stays in the record, so a replaced disk is visible for ever.
 */
export class AuditAnchorer {
  readonly #key: string;
  readonly #region: string;
  readonly #audit: AuditLog;
  readonly #control: ControlStore;
  readonly #events: EventList;
  #anchored: AuditAnchor | undefined;
  /** The log was compared with the control store in this life. */
  #compared = false;
  /** The anchor that was found broken, until the control store has it among the replaced ones. */
  #broken: AuditAnchor | undefined;
  #stopTimer: () => void = () => undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: { region: string; audit: AuditLog; control: ControlStore; events: EventList }) {
    this.#key = `audit/${options.region}`;
    this.#region = options.region;
    this.#audit = options.audit;
    this.#control = options.control;
    this.#events = options.events;
  }

  /**
   * Compares the log with the control store. Waits for that only when the log is empty: on a replaced disk the replacement is
   * the first entry, if the control store answers at all.
   */
  async start(clock: Clock): Promise<void> {
    this.#stopTimer = clock.every(ANCHOR_INTERVAL_MS, () => this.#enqueue());
    this.#enqueue();
    if (this.#audit.anchor.index === 0) await this.#writing;
  }

  /** Records the last end and stops. */
  async stop(): Promise<void> {
    this.#stopTimer();
    this.#enqueue();
    await this.#writing;
  }

  /** The anchor in the control store; undefined when there is none or it cannot be read now. */
  async read(): Promise<AnchorRecord | undefined> {
    try {
      const { revision, value } = await this.#control.get(this.#key);
      return revision === 0 ? undefined : decodeAnchorRecord(value);
    } catch {
      return undefined;
    }
  }

  /** Failures wait for the next round: the control store does not answer, or the disk is full. */
  #enqueue(): void {
    this.#writing = this.#writing.then(() => this.#write()).catch(() => undefined);
  }

  /** Never moves the anchor back, nor to another log without a word: one that got shorter must not get a fitting anchor. */
  async #write(): Promise<void> {
    if (this.#compared && this.#anchored !== undefined && this.#audit.anchor.index <= this.#anchored.index) return;
    const { revision, value } = await this.#control.get(this.#key);
    const stored = revision === 0 ? undefined : decodeAnchorRecord(value);
    if (!this.#compared && stored !== undefined && !this.#audit.goesThrough(stored)) await this.#sayReplaced(stored);
    this.#compared = true;
    const broken = this.#broken;
    const { anchor } = this.#audit;
    if (anchor.index === 0) return;
    const breaks = broken !== undefined && stored?.hash === broken.hash;
    if (stored !== undefined && !breaks && (stored.index >= anchor.index || !this.#audit.goesThrough(stored))) return;
    const replaced = [...(stored?.replaced ?? []), ...(breaks ? [broken] : [])];
    const record: AnchorRecord = { ...anchor, replaced };
    const outcome = await this.#control.compareAndSet(this.#key, revision, Buffer.from(JSON.stringify(record), 'utf8'));
    if (outcome.kind !== 'ok') return;
    this.#anchored = anchor;
    this.#broken = undefined;
  }

  async #sayReplaced({ index, hash }: AuditAnchor): Promise<void> {
    await this.#audit.append(this.#region, 'audit-log-replaced', { index, hash });
    this.#broken = { index, hash };
    this.#events.add(
      'audit-log-replaced',
      'error',
      `the audit log is not the one that the control store saw at entry ${index}: its disk was replaced, or it was rewritten`,
      { index, hash },
    );
  }
}
