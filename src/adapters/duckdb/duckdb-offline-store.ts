import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import {
  type DuckDBConnection,
  type DuckDBDataChunk,
  DuckDBDateValue,
  DuckDBInstance,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  StatementType,
} from '@duckdb/node-api';
import { ChunkEncoder } from '#adapters/duckdb/chunk-encoder';
import { timestampFromText } from '#core/codec/value-time';
import { didYouMean } from '#core/config/issue';
import { AntipodeError } from '#core/errors';
import type { FeatureView, FileSource } from '#core/model/feature-view';
import type { OfflineBatch, OfflineComputation, OfflineRun, OfflineStore } from '#ports/offline-store';

const BATCH_ROWS = 500;
const DAY_US = 86_400_000_000;
/** The only parameter SQL may use. */
const TODAY = 'today';

export interface DuckDbOptions {
  /** Relative paths of sources start here. */
  readonly projectFolder: string;
  /** Memory DuckDB may use before it spills to a temporary folder; default 1GB. */
  readonly memoryLimit?: string;
  /** Threads DuckDB may use; default 2. */
  readonly threads?: number;
}

/** Computes views with DuckDB, in this process and on threads of its own. */
export class DuckDbOfflineStore implements OfflineStore {
  readonly #instance: DuckDBInstance;
  readonly #projectFolder: string;
  readonly #temporaryFolder: string;

  private constructor(instance: DuckDBInstance, projectFolder: string, temporaryFolder: string) {
    this.#instance = instance;
    this.#projectFolder = projectFolder;
    this.#temporaryFolder = temporaryFolder;
  }

  static async open(options: DuckDbOptions): Promise<DuckDbOfflineStore> {
    const temporaryFolder = await mkdtemp(join(tmpdir(), 'antipode-duckdb-'));
    const instance = await DuckDBInstance.create(':memory:', {
      memory_limit: options.memoryLimit ?? '1GB',
      threads: String(options.threads ?? 2),
      temp_directory: temporaryFolder,
      // Nothing is fetched from the internet behind the user's back.
      autoinstall_known_extensions: 'false',
    });
    return new DuckDbOfflineStore(instance, options.projectFolder, temporaryFolder);
  }

  async compute(run: OfflineRun): Promise<OfflineComputation> {
    const { view } = run.codec;
    const { sql } = view;
    if (sql === null) {
      throw new AntipodeError('SOURCE_FAILED', `the view ${view.name} has no source: it is pushed only`, {
        where: view.name,
      });
    }
    run.signal?.throwIfAborted();
    const connection = await this.#instance.connect();
    const interrupt = () => connection.interrupt();
    run.signal?.addEventListener('abort', interrupt);
    const release = () => {
      run.signal?.removeEventListener('abort', interrupt);
      connection.closeSync();
    };
    try {
      // Text, dates and times are converted in the session's zone: the machine's own must not decide.
      await connection.run("SET TimeZone = 'UTC'");
      await this.#createSources(connection, view, run.sourcePaths ?? {});
      const script = new Script(connection, view.name, sql, todayOf(run));
      // Columns are checked before anything is computed, which may take long.
      const encoder = new ChunkEncoder(run.codec, await script.columns());
      const { result, rowsExpected } = await script.start();
      return { rowsExpected, batches: batchesOf(result, encoder, run, release) };
    } catch (caught) {
      release();
      run.signal?.throwIfAborted();
      throw sourceFailed(view, caught);
    }
  }

  async close(): Promise<void> {
    this.#instance.closeSync();
    await rm(this.#temporaryFolder, { recursive: true, force: true });
  }

  async #createSources(
    connection: DuckDBConnection,
    view: FeatureView,
    paths: Readonly<Record<string, string>>,
  ): Promise<void> {
    const names = view.sources.map((source) => source.name);
    for (const name of Object.keys(paths)) {
      if (names.includes(name)) continue;
      throw new AntipodeError(
        'SOURCE_FAILED',
        `the view ${view.name} has no source "${name}"${didYouMean(name, names)}`,
        {
          where: view.name,
          remedy: `Sources: ${names.join(', ')}.`,
        },
      );
    }
    for (const source of view.sources) {
      const path = this.#absolute(Object.hasOwn(paths, source.name) ? (paths[source.name] as string) : source.path);
      await connection.run(
        `CREATE TEMP VIEW "${source.name}" AS SELECT * FROM ${READERS[source.format]}('${path.replaceAll("'", "''")}')`,
      );
    }
  }

  #absolute(path: string): string {
    return isAbsolute(path) || /^[a-z][a-z0-9+.-]+:\/\//.test(path) ? path : join(this.#projectFolder, path);
  }
}

const READERS: Record<FileSource['format'], string> = {
  parquet: 'read_parquet',
  csv: 'read_csv',
  json: 'read_json',
};

function todayOf(run: OfflineRun): DuckDBDateValue {
  const text = run.today ?? new Date().toISOString().slice(0, 10);
  const us = /^\d{4}-\d{2}-\d{2}$/.test(text) ? timestampFromText(text) : undefined;
  if (us !== undefined) return new DuckDBDateValue(us / DAY_US);
  throw new AntipodeError('SOURCE_FAILED', `today is not a day: ${JSON.stringify(text.slice(0, 40))}`, {
    remedy: 'Give the day as YYYY-MM-DD.',
  });
}

/** Holds a sorted result. The space keeps it apart from every name a source can have. */
const RESULT = '"antipode result"';

/** The SQL of a view on one connection, with its parameter. */
class Script {
  readonly #connection: DuckDBConnection;
  readonly #view: string;
  readonly #sql: string;
  readonly #today: DuckDBDateValue;

  constructor(connection: DuckDBConnection, view: string, sql: string, today: DuckDBDateValue) {
    this.#connection = connection;
    this.#view = view;
    this.#sql = sql;
    this.#today = today;
  }

  /** Names and types of the columns, known without computing a row. Checks that the SQL is one SELECT. */
  async columns(): Promise<DuckDBResult> {
    await this.#checkStatement();
    const described = await (await this.#prepare(`DESCRIBE ${this.#sql}`)).run();
    const columns = (await described.getRows()).map(([name, type]) => {
      const quoted = `"${String(name).replaceAll('"', '""')}"`;
      // The type of a bare NULL, which has no name to cast to.
      return String(type) === '"NULL"' ? `NULL AS ${quoted}` : `CAST(NULL AS ${String(type)}) AS ${quoted}`;
    });
    return this.#connection.stream(`SELECT ${columns.join(', ')}`);
  }

  /**
   * Starts the computation. What is sorted at the end has to be complete before its first row is known: it goes into a
   * temporary table, which spills to disk, gives the exact number of rows, and brings late errors before the first batch.
   */
  async start(): Promise<{ readonly result: DuckDBResult; readonly rowsExpected: number | null }> {
    const plan = await this.#plan();
    if (!isSorted(plan))
      return { result: await (await this.#prepare(this.#sql)).stream(), rowsExpected: scannedRows(plan) };
    await (await this.#prepare(`CREATE TEMP TABLE ${RESULT} AS ${this.#sql}`)).run();
    const counted = await this.#connection.run(`SELECT count(*) FROM ${RESULT}`);
    const rows = await counted.getRows();
    return { result: await this.#connection.stream(`SELECT * FROM ${RESULT}`), rowsExpected: Number(rows[0]?.[0]) };
  }

  async #checkStatement(): Promise<void> {
    const statements = await this.#connection.extractStatements(this.#sql).catch((cause: unknown) => {
      // All that the binding has to say of SQL that is empty or only a comment.
      if (!(cause instanceof Error) || cause.message !== 'Error in native callback') throw cause;
      throw this.#error('has no statement', cause);
    });
    if (statements.count !== 1) throw this.#error(`has ${statements.count} statements`);
    const statement = await statements.prepare(0);
    if (statement.statementType !== StatementType.SELECT) throw this.#error('is not a SELECT');
    statement.destroySync();
  }

  async #prepare(sql: string): Promise<DuckDBPreparedStatement> {
    const statement = await this.#connection.prepare(sql);
    for (let index = 1; index <= statement.parameterCount; index++) {
      const name = statement.parameterName(index);
      if (name !== TODAY) throw this.#error(`uses an unknown parameter $${name}`);
      statement.bindDate(index, this.#today);
    }
    return statement;
  }

  async #plan(): Promise<PlanNode | undefined> {
    const explained = await (await this.#prepare(`EXPLAIN (FORMAT json) ${this.#sql}`)).run();
    const rows = await explained.getRows();
    const plan: unknown = JSON.parse(String(rows[0]?.[1]));
    return Array.isArray(plan) ? (plan[0] as PlanNode | undefined) : undefined;
  }

  #error(fault: string, cause?: unknown): AntipodeError {
    return new AntipodeError('SOURCE_FAILED', `the SQL of view ${this.#view} ${fault}`, {
      where: this.#view,
      cause,
      remedy: 'Use one SELECT; WITH names intermediate results, and $today is the one parameter.',
    });
  }
}

interface PlanNode {
  readonly name?: string;
  readonly extra_info?: Readonly<Record<string, unknown>>;
  readonly children?: readonly PlanNode[];
}

/** Whether the last thing the plan does, apart from choosing columns, is sorting. */
function isSorted(plan: PlanNode | undefined): boolean {
  let node = plan;
  // A common table expression has its own plan first and the plan of the query last.
  while (node?.name === 'PROJECTION' || node?.name === 'CTE') node = node.children?.at(-1);
  return node?.name === 'ORDER_BY';
}

/** Rows of a plan that only reads and chooses columns. Everything else is guesswork, too wrong to show. */
function scannedRows(plan: PlanNode | undefined): number | null {
  let node = plan;
  while (node?.name === 'PROJECTION') node = node.children?.at(-1);
  if (node?.children?.length !== 0 || node.extra_info?.['Filters'] !== undefined) return null;
  const rows = Number(node.extra_info?.['Estimated Cardinality'] ?? Number.NaN);
  return Number.isSafeInteger(rows) ? rows : null;
}

async function* batchesOf(
  result: DuckDBResult,
  encoder: ChunkEncoder,
  run: OfflineRun,
  release: () => void,
): AsyncGenerator<OfflineBatch, void, undefined> {
  const batchRows = run.batchRows ?? BATCH_ROWS;
  const onBadRow = run.onBadRow ?? (() => {});
  let rowsRead = 0;
  try {
    for (;;) {
      run.signal?.throwIfAborted();
      const chunk: DuckDBDataChunk | null = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) return;
      // Batch by batch rather than the whole chunk: what runs without a pause stays short.
      for (let start = 0; start < chunk.rowCount; start += batchRows) {
        run.signal?.throwIfAborted();
        const end = Math.min(start + batchRows, chunk.rowCount);
        const rows = encoder.encode(chunk, start, end, rowsRead, onBadRow);
        rowsRead += end - start;
        yield { rows, rowsRead };
      }
    }
  } catch (caught) {
    run.signal?.throwIfAborted();
    throw sourceFailed(run.codec.view, caught);
  } finally {
    release();
  }
}

function sourceFailed(view: FeatureView, caught: unknown): AntipodeError {
  if (caught instanceof AntipodeError) return caught;
  const message = caught instanceof Error ? caught.message : String(caught);
  return new AntipodeError('SOURCE_FAILED', `the view ${view.name} could not be computed: ${message}`, {
    where: view.name,
    cause: caught,
  });
}
