import type { AuditLog } from '#region/audit/audit-log';
import type { AuditEntry } from '#region/engine-api';
import type { EventList } from '#region/observe/events';
import type { RegionEvent } from '#region/status';

type Details = AuditEntry['details'];

/**
 * Conditions of one namespace that last, such as a silent control store. Each is told once when it begins and once when it
 * ends, as an event and in the audit log, however often it is looked at in between.
 */
export class StandingNotices {
  readonly #region: string;
  readonly #namespace: string;
  readonly #events: EventList;
  readonly #audit: AuditLog;
  readonly #standing = new Set<string>();

  constructor(options: { region: string; namespace: string; events: EventList; audit: AuditLog }) {
    this.#region = options.region;
    this.#namespace = options.namespace;
    this.#events = options.events;
    this.#audit = options.audit;
  }

  begin(event: string, severity: RegionEvent['severity'], message: string, details: Details = {}): void {
    if (this.#standing.has(event)) return;
    this.#standing.add(event);
    this.tell(event, severity, message, details);
  }

  /** Ends a condition that stands, and tells so when there is something to tell. */
  end(event: string, ended?: { readonly event: string; readonly message: string; readonly details?: Details }): void {
    if (this.#standing.delete(event) && ended !== undefined)
      this.tell(ended.event, 'info', ended.message, ended.details);
  }

  /** Something that happened and does not last. */
  tell(event: string, severity: RegionEvent['severity'], message: string, details: Details = {}): void {
    this.#events.add(event, severity, message, { namespace: this.#namespace, ...details });
    this.#audit.note(this.#region, event, { namespace: this.#namespace, ...details });
  }
}
