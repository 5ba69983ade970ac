import type { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { Journal } from '#ports/journal';
import type { IngestRequest, QuarantinedChange } from '#region/engine-api';

const PREFIX = 'quarantine/';
/** Rows held back at the most; beyond it requests with such rows are refused, so that the journal stays bounded. */
export const QUARANTINE_ROWS_MAX = 100_000;

/** Rows held back at ingest, with their reasons, durable in the journal until somebody decides. */
export class Quarantine {
  readonly #journal: Journal;
  #count: number;

  constructor(journal: Journal) {
    this.#journal = journal;
    this.#count = journal.list(PREFIX, { limit: QUARANTINE_ROWS_MAX }).length;
  }

  get count(): number {
    return this.#count;
  }

  /** Durable once resolved. The key is made of the idempotency key, so a retried request holds a row back once. */
  async hold(
    request: IngestRequest,
    idempotencyKey: string,
    codec: ViewCodec,
    rows: readonly QuarantinedChange[],
  ): Promise<void> {
    if (this.#count + rows.length > QUARANTINE_ROWS_MAX) {
      throw new AntipodeError(
        'OVERLOADED',
        `the quarantine holds ${this.#count} rows, its limit is ${QUARANTINE_ROWS_MAX}`,
      );
    }
    const operations = rows.map((row) => {
      const change = request.changes[row.index];
      const value = {
        view: codec.view.name,
        version: codec.view.version,
        code: row.code,
        message: row.message,
        operation: change?.operation,
        eventTimeUs: change?.eventTimeUs,
        key: change?.key.toString('base64'),
        row: change?.row.toString('base64'),
        features: change?.features,
        producer: request.producer,
      };
      return {
        kind: 'put' as const,
        key: `${PREFIX}${codec.view.name}/${idempotencyKey}/${String(row.index).padStart(6, '0')}`,
        value: Buffer.from(JSON.stringify(value), 'utf8'),
      };
    });
    const added = operations.filter((operation) => this.#journal.get(operation.key) === undefined).length;
    await this.#journal.write(operations);
    this.#count += added;
  }
}
