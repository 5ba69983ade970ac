import type { Producer } from '#core/codec/counter-state';
import { AntipodeError } from '#core/errors';
import type { SessionToken } from '#core/model/session-token';
import type { IngestRequest } from '#region/engine-api';
import { type RequestHeaders, sessionOf } from '#server/feast/read-demand';

/** What a write carries beside its rows, in headers. */
export interface WriteContext {
  readonly idempotencyKey: string | undefined;
  /** An earlier try under the key was not answered. */
  readonly retried: boolean;
  readonly session: SessionToken | undefined;
  /** Whose running totals the rows of a counter are. */
  readonly producer: Producer | undefined;
  /** Regions beside the hub in which the write must be durable before it is acknowledged. */
  readonly acknowledge: number | undefined;
}

export function writeContextOf(headers: RequestHeaders): WriteContext {
  const session = sessionOf(headers);
  const idempotencyKey = idempotencyKeyOf(headers['idempotency-key']);
  return {
    idempotencyKey,
    retried: retriedOf(headers, idempotencyKey),
    session: session === 'new' ? undefined : session,
    producer: producerOf(headers),
    acknowledge: wholeNumberOf(headers, 'antipode-acknowledge'),
  };
}

/** The part of a request to the engine that comes from headers. */
export function requestPart(
  context: WriteContext,
): Pick<IngestRequest, 'idempotencyKey' | 'retried' | 'observed' | 'producer' | 'acknowledge'> {
  const { idempotencyKey, retried, session, producer, acknowledge } = context;
  return { idempotencyKey, retried, observed: session?.hlc, producer, acknowledge };
}

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/;

/** The `Idempotency-Key` header, if there is one: 1 to 128 printable ASCII characters. */
export function idempotencyKeyOf(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && IDEMPOTENCY_KEY.test(header)) return header;
  throw new AntipodeError(
    'REQUEST_MALFORMED',
    'the Idempotency-Key header is not 1 to 128 printable ASCII characters without spaces',
  );
}

/** Without a key nobody can tell what it repeats. */
function retriedOf(headers: RequestHeaders, idempotencyKey: string | undefined): boolean {
  const header = headers['antipode-retry'];
  if (header === undefined || header === 'false') return false;
  if (header === 'true' && idempotencyKey !== undefined) return true;
  throw new AntipodeError(
    'REQUEST_MALFORMED',
    'the header antipode-retry is true or false, and true goes with the Idempotency-Key of the first try',
  );
}

/** Both headers or none. What the name may be is said where the request is checked. */
function producerOf(headers: RequestHeaders): Producer | undefined {
  const name = headers['antipode-producer'];
  const sequence = wholeNumberOf(headers, 'antipode-sequence');
  if (name === undefined && sequence === undefined) return undefined;
  if (typeof name === 'string' && sequence !== undefined) return { name, sequence };
  throw new AntipodeError(
    'PRODUCER_INVALID',
    'the headers antipode-producer and antipode-sequence go together, each once',
  );
}

function wholeNumberOf(headers: RequestHeaders, name: string): number | undefined {
  const header = headers[name];
  if (header === undefined) return undefined;
  const value = typeof header === 'string' && /^\d{1,16}$/.test(header) ? Number(header) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new AntipodeError('REQUEST_MALFORMED', `the header ${name} is no whole number of at most 2^53 - 1`);
}
