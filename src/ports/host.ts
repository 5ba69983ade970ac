/** What a region asks of the process it lives in. */
export interface Host {
  /** Identity of the boot of this machine; a projection written under another boot may have lost writes. */
  bootId(): string;
  /** Free bytes where the region keeps its data. */
  freeBytes(): number;
  /** Ends the process at once, after logging: a failed fsync, a broken assertion. Never returns control to the caller's work. */
  fatal(error: unknown): never;
}

/** Structured log line; `event` is a stable kebab-case name, fields are small and never hold feature values. */
export interface Logger {
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}
