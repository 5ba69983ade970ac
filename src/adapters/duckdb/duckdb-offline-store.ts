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
      const today = todayOf(run);
      const rowsExpected = await estimate(connection, view, sql, today);
      const statement = await prepare(connection, view, sql, today);
      const result = await statement.stream();
      const encoder = new ChunkEncoder(run.codec, result);
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

async function prepare(
  connection: DuckDBConnection,
  view: FeatureView,
  sql: string,
  today: DuckDBDateValue,
): Promise<DuckDBPreparedStatement> {
  const statements = await connection.extractStatements(sql).catch((cause: unknown) => {
    // All that the binding has to say of SQL that is empty or only a comment.
    if (!(cause instanceof Error) || cause.message !== 'Error in native callback') throw cause;
    throw new AntipodeError('SOURCE_FAILED', `the SQL of view ${view.name} has no statement`, {
      where: view.name,
      cause,
    });
  });
  if (statements.count !== 1) {
    throw new AntipodeError('SOURCE_FAILED', `the SQL of view ${view.name} has ${statements.count} statements`, {
      where: view.name,
      remedy: 'Use one SELECT; WITH names intermediate results.',
    });
  }
  const statement = await statements.prepare(0);
  if (statement.statementType !== StatementType.SELECT) {
    throw new AntipodeError('SOURCE_FAILED', `the SQL of view ${view.name} is not a SELECT`, { where: view.name });
  }
  for (let index = 1; index <= statement.parameterCount; index++) {
    const name = statement.parameterName(index);
    if (name !== TODAY) {
      throw new AntipodeError('SOURCE_FAILED', `the SQL of view ${view.name} uses an unknown parameter $${name}`, {
        where: view.name,
        remedy: 'The one parameter is $today.',
      });
    }
    statement.bindDate(index, today);
  }
  return statement;
}

/** The planner's idea of the number of rows. Cheap: nothing is computed. */
async function estimate(
  connection: DuckDBConnection,
  view: FeatureView,
  sql: string,
  today: DuckDBDateValue,
): Promise<number | null> {
  const statement = await prepare(connection, view, sql, today);
  statement.destroySync();
  const explain = await connection.prepare(`EXPLAIN (FORMAT json) ${sql}`);
  for (let index = 1; index <= explain.parameterCount; index++) explain.bindDate(index, today);
  const rows = await (await explain.run()).getRows();
  const plan: unknown = JSON.parse(String(rows[0]?.[1]));
  return Array.isArray(plan) ? cardinality(plan[0]) : null;
}

/** Operators that neither add nor remove rows carry no estimate, or 0: their last input has it. */
function cardinality(node: unknown): number | null {
  let current = node as PlanNode | undefined;
  for (let depth = 0; depth < 32 && current !== undefined; depth++) {
    const rows = Number(current.extra_info?.['Estimated Cardinality'] ?? Number.NaN);
    if (Number.isSafeInteger(rows) && rows > 0) return rows;
    current = current.children?.at(-1);
  }
  return null;
}

interface PlanNode {
  readonly extra_info?: Readonly<Record<string, unknown>>;
  readonly children?: readonly PlanNode[];
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
