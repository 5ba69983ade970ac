import { randomBytes } from 'node:crypto';
import { DuckDbOfflineStore } from '#adapters/duckdb/duckdb-offline-store';
import type { Project } from '#adapters/project-files/load-project';
import type { Producer } from '#core/codec/counter-state';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, toAntipodeError } from '#core/errors';
import { sha256Hex } from '#core/hash';
import type { FeatureView } from '#core/model/feature-view';
import type { BadRow, OfflineBatch, OfflineRow } from '#ports/offline-store';
import type { IngestResult } from '#region/engine-api';
import { CHANGE_BATCH_BYTES_MAX, encodeChangeBatch } from '#server/change-batch';
import { viewOf } from '../project/view-of.ts';
import type { RegionClient } from '../region-client.ts';
import { BatchSender } from './batch-sender.ts';

export const ROWS_PER_BATCH = 2_000;
export const ROWS_PER_BATCH_MAX = 10_000;
const IN_FLIGHT = 4;
const RETRY_MS_MAX = 120_000;
const PACE_BURST_MS = 500;
/** Rows that the offline store hands over at a time. */
const CHUNK_ROWS_MAX = 2_048;
/** Leaves room for what surrounds keys and rows. */
const BATCH_BYTES_MAX = CHANGE_BATCH_BYTES_MAX / 2;

export interface IngestProgress {
  /** Rows the SQL has yielded. */
  readonly rowsRead: number;
  /** Rows acknowledged by a region, those of repeated batches included. */
  readonly rowsAcknowledged: number;
  /** What the engine expects in all; null when it has no idea. */
  readonly rowsExpected: number | null;
  readonly elapsedMs: number;
  /** Over the whole run. */
  readonly rowsPerSecond: number;
  readonly remainingMs: number | null;
  readonly hub: string | null;
  /** Requests that had to be repeated. */
  readonly retries: number;
}

export interface IngestSummary {
  readonly view: string;
  readonly version: string;
  readonly runId: string;
  /** Rows the SQL yielded. */
  readonly rows: number;
  /** Changes a region accepted, now or in an earlier run of the same id. */
  readonly accepted: number;
  /** Rows that a region put in quarantine. */
  readonly quarantined: number;
  /** Rows that do not fit the view and were not sent. */
  readonly bad: number;
  /** Changes whose batch was known already: nothing changed. */
  readonly duplicates: number;
  readonly retries: number;
  readonly batches: number;
  readonly seconds: number;
  readonly hub: string | null;
  /** False when it was told to stop before the end. */
  readonly complete: boolean;
}

export interface AcknowledgedBatch {
  readonly number: number;
  readonly changes: readonly OfflineRow[];
  readonly result: IngestResult;
  readonly region: string;
}

export interface IngestViewOptions {
  readonly project: Project;
  readonly view: string;
  /** Clients of the regions to send to, the first choice first; with more than one, others are tried when one cannot. */
  readonly clients: readonly RegionClient[];
  /** Value of `$today`, YYYY-MM-DD. */
  readonly today?: string | undefined;
  /** Other paths for sources by name. */
  readonly sourcePaths?: Readonly<Record<string, string>> | undefined;
  readonly rowsPerBatch?: number | undefined;
  /** Batches sent and not yet answered; begun in order, but one that is repeated may be overtaken. */
  readonly inFlight?: number | undefined;
  /** Rows a second to hold back to; unlimited by default. */
  readonly rowsPerSecondMax?: number | undefined;
  /** Repeating a run with the same id and data changes nothing; random by default. */
  readonly runId?: string | undefined;
  /** Whose running totals the rows of a counter are. */
  readonly producer?: Producer | undefined;
  /** Regions beside the hub that shall hold a batch before it counts as acknowledged; more than the namespace demands. */
  readonly acknowledge?: number | undefined;
  /** How long one batch is tried, ms. */
  readonly retryMsMax?: number | undefined;
  /** Ends the run: what is on its way is finished, nothing more is begun. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: IngestProgress) => void) | undefined;
  readonly onBadRow?: ((bad: BadRow) => void) | undefined;
  readonly onQuarantined?: ((message: string) => void) | undefined;
  readonly onRetry?: ((error: AntipodeError, region: string) => void) | undefined;
  readonly onAcknowledged?: ((batch: AcknowledgedBatch) => void) | undefined;
}

/** Runs a view's SQL over its sources in this process and sends the rows to the regions, batch by batch, each under a key of its own. */
export async function ingestView(options: IngestViewOptions): Promise<IngestSummary> {
  const view = viewOf(options.project, options.view);
  const offline = await DuckDbOfflineStore.open({ projectFolder: options.project.folder });
  try {
    return await new IngestRun(view, options).run(offline);
  } finally {
    await offline.close();
  }
}

class IngestRun {
  readonly #view: FeatureView;
  readonly #options: IngestViewOptions;
  readonly #sender: BatchSender;
  readonly #runId: string;
  readonly #startedAtMs = performance.now();
  #rowsExpected: number | null = null;
  #rowsRead = 0;
  #dueMs = performance.now();
  #acknowledged = 0;
  #accepted = 0;
  #quarantined = 0;
  #bad = 0;
  #duplicates = 0;
  #retries = 0;
  #batches = 0;
  #hub: string | null = null;

  constructor(view: FeatureView, options: IngestViewOptions) {
    this.#view = view;
    this.#options = options;
    this.#runId = options.runId ?? randomBytes(8).toString('hex');
    this.#sender = new BatchSender({
      clients: options.clients,
      retryMsMax: options.retryMsMax ?? RETRY_MS_MAX,
      onRetry: (error, region) => {
        this.#retries += 1;
        options.onRetry?.(error, region);
        this.#progress();
      },
    });
  }

  async run(offline: DuckDbOfflineStore): Promise<IngestSummary> {
    const { signal, today, sourcePaths } = this.#options;
    const rowsPerBatch = this.#options.rowsPerBatch ?? ROWS_PER_BATCH;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted === true) onAbort();
    const inFlight: Promise<void>[] = [];
    try {
      const computation = await offline.compute({
        codec: new ViewCodec(this.#view),
        today,
        sourcePaths,
        batchRows: Math.min(rowsPerBatch, CHUNK_ROWS_MAX),
        onBadRow: (bad) => {
          this.#bad += 1;
          this.#options.onBadRow?.(bad);
        },
        signal: stop.signal,
      });
      this.#rowsExpected = computation.rowsExpected;
      for await (const rows of gather(computation.batches, rowsPerBatch, (read) => this.#read(read))) {
        if (inFlight.length >= (this.#options.inFlight ?? IN_FLIGHT)) await inFlight.shift();
        await this.#pace(rows.length);
        const sent = this.#send(rows);
        sent.catch(() => undefined);
        inFlight.push(sent);
      }
      await Promise.all(inFlight);
    } catch (caught) {
      stop.abort(caught);
      // What is on its way is let finish, so that the numbers are right and nothing is left in doubt.
      await Promise.allSettled(inFlight);
      if (signal?.aborted !== true) throw this.#failed(caught);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    return this.#summary(signal?.aborted !== true);
  }

  /** Waits until the rows are due; time lost to a slow region is made up for half a second at the most. */
  async #pace(rows: number): Promise<void> {
    const { rowsPerSecondMax } = this.#options;
    if (rowsPerSecondMax === undefined) return;
    const now = performance.now();
    this.#dueMs = Math.max(this.#dueMs, now - PACE_BURST_MS) + (rows * 1000) / rowsPerSecondMax;
    if (this.#dueMs > now) await new Promise((resolve) => setTimeout(resolve, this.#dueMs - now));
  }

  #read(rows: number): void {
    this.#rowsRead = rows;
    this.#progress();
  }

  /** The key names the content too: the same run id over other data is other batches, never skipped as known. */
  async #send(changes: readonly OfflineRow[]): Promise<void> {
    const number = this.#batches;
    this.#batches += 1;
    const batch = encodeChangeBatch({ version: this.#view.version, changes });
    const idempotencyKey = `${this.#runId}.${number}.${sha256Hex(batch).slice(0, 16)}`;
    const { acknowledge, signal, producer } = this.#options;
    const { result, region } = await this.#sender.send({
      view: this.#view.name,
      batch,
      idempotencyKey,
      producer,
      acknowledge,
      hurry: signal,
    });
    this.#hub = result.hub;
    this.#acknowledged += changes.length;
    this.#quarantined += result.quarantined.length;
    this.#accepted += result.accepted;
    if (result.duplicate) this.#duplicates += result.accepted;
    for (const { message } of result.quarantined) this.#options.onQuarantined?.(message);
    this.#options.onAcknowledged?.({ number, changes, result, region });
    this.#progress();
  }

  #progress(): void {
    const { onProgress } = this.#options;
    if (onProgress === undefined) return;
    const elapsedMs = performance.now() - this.#startedAtMs;
    const rowsPerSecond = elapsedMs === 0 ? 0 : (this.#acknowledged * 1000) / elapsedMs;
    const left = this.#rowsExpected === null ? null : this.#rowsExpected - this.#acknowledged - this.#bad;
    onProgress({
      rowsRead: this.#rowsRead,
      rowsAcknowledged: this.#acknowledged,
      rowsExpected: this.#rowsExpected,
      elapsedMs,
      rowsPerSecond,
      remainingMs: left === null || left < 0 || rowsPerSecond === 0 ? null : (left * 1000) / rowsPerSecond,
      hub: this.#hub,
      retries: this.#retries,
    });
  }

  #summary(complete: boolean): IngestSummary {
    return {
      view: this.#view.name,
      version: this.#view.version,
      runId: this.#runId,
      rows: this.#rowsRead,
      accepted: this.#accepted,
      quarantined: this.#quarantined,
      bad: this.#bad,
      duplicates: this.#duplicates,
      retries: this.#retries,
      batches: this.#batches,
      seconds: Math.round(performance.now() - this.#startedAtMs) / 1000,
      hub: this.#hub,
      complete,
    };
  }

  #failed(caught: unknown): AntipodeError {
    const error = toAntipodeError(caught);
    if (this.#batches === 0) return error;
    return new AntipodeError(error.code, `${error.message} (after ${this.#acknowledged} acknowledged rows)`, {
      where: error.where ?? `view ${this.#view.name}`,
      cause: error,
      remedy: `${error.remedy} Then the same command with --run-id ${this.#runId} goes on, and doubles nothing.`,
    });
  }
}

/** Puts the pieces of the offline store together to batches of about `rowsPerBatch` rows and at most so many bytes. */
async function* gather(
  pieces: AsyncIterable<OfflineBatch>,
  rowsPerBatch: number,
  onRead: (rowsRead: number) => void,
): AsyncGenerator<readonly OfflineRow[]> {
  let held: OfflineRow[] = [];
  let bytes = 0;
  for await (const { rows, rowsRead } of pieces) {
    onRead(rowsRead);
    for (const row of rows) {
      const size = row.key.length + row.row.length;
      if (held.length >= rowsPerBatch || (bytes + size > BATCH_BYTES_MAX && held.length > 0)) {
        yield held;
        held = [];
        bytes = 0;
      }
      held.push(row);
      bytes += size;
    }
  }
  if (held.length > 0) yield held;
}
