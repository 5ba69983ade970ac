import type { Clock } from '#ports/clock';
import type { ControlStore } from '#ports/control-store';
import type { AuditAnchor, AuditLog } from '#region/audit/audit-log';

/** How often the end of the audit log is recorded outside this region, ms. */
const ANCHOR_INTERVAL_MS = 15_000;

/** Leaves the end of a region's audit log in the control store, so that a shortened or rewritten log is found (S7). */
export class AuditAnchorer {
  readonly #key: string;
  readonly #audit: AuditLog;
  readonly #control: ControlStore;
  #anchored: AuditAnchor | undefined;
  #stopTimer: () => void = () => undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: { region: string; audit: AuditLog; control: ControlStore }) {
    this.#key = `audit/${options.region}`;
    this.#audit = options.audit;
    this.#control = options.control;
  }

  start(clock: Clock): void {
    this.#stopTimer = clock.every(ANCHOR_INTERVAL_MS, () => {
      this.#writing = this.#writing.then(() => this.#write());
    });
  }

  /** Records the last end and stops. */
  async stop(): Promise<void> {
    this.#stopTimer();
    await this.#writing;
    await this.#write();
  }

  /** The anchor in the control store; undefined when there is none or it cannot be read now. */
  async read(): Promise<AuditAnchor | undefined> {
    try {
      const { revision, value } = await this.#control.get(this.#key);
      return revision === 0 ? undefined : (JSON.parse(Buffer.from(value).toString('utf8')) as AuditAnchor);
    } catch {
      return undefined;
    }
  }

  /** Never moves the anchor back or to another log: one that got shorter must not get a fitting anchor. Failures wait for the next round. */
  async #write(): Promise<void> {
    const { anchor } = this.#audit;
    if (this.#anchored !== undefined && anchor.index <= this.#anchored.index) return;
    try {
      const current = await this.#control.get(this.#key);
      const stored =
        current.revision === 0 ? undefined : (JSON.parse(Buffer.from(current.value).toString('utf8')) as AuditAnchor);
      // A log written anew may outgrow the anchor, but it does not go through it.
      if (stored !== undefined && (stored.index >= anchor.index || !this.#audit.goesThrough(stored))) return;
      const outcome = await this.#control.compareAndSet(
        this.#key,
        current.revision,
        Buffer.from(JSON.stringify(anchor), 'utf8'),
      );
      if (outcome.kind === 'ok') this.#anchored = anchor;
    } catch {
      // The control store does not answer; the next round anchors a later end.
    }
  }
}
