import { z } from 'zod';
import { AntipodeError, ERROR_CODES, type ErrorCode } from '#core/errors';
import { LATENCY_BUDGET_MS_MAX, READ_LEVELS } from '#core/model/read-policy';
import { HLC_COUNTER_MAX, HLC_WALL_MS_MAX } from '#core/time/hlc';

/**
 * Messages on a channel: kind(1) id(4) JSON length(4) JSON, then raw bytes. JSON carries control data only; frames
 * travel in the raw part exactly as they were logged.
 */
export const PROTOCOL_VERSION = 1;

/** `request` and its `response`/`failure` share an id. `frame`, `heads` and `credit` belong to a subscription or the whole link. */
export type MessageKind = 'request' | 'response' | 'failure' | 'frame' | 'heads' | 'credit';
const KINDS: readonly MessageKind[] = ['request', 'response', 'failure', 'frame', 'heads', 'credit'];

export interface Message {
  readonly kind: MessageKind;
  readonly id: number;
  readonly body: unknown;
  readonly blob: Buffer;
}

const EMPTY = Buffer.alloc(0);
const HEADER_BYTES = 9;
const JSON_BYTES_MAX = 2 * 1024 * 1024;

export function encodeMessage(kind: MessageKind, id: number, body: unknown, blob: Uint8Array = EMPTY): Buffer {
  const json = body === undefined ? EMPTY : Buffer.from(JSON.stringify(body), 'utf8');
  const message = Buffer.allocUnsafe(HEADER_BYTES + json.length + blob.length);
  message[0] = KINDS.indexOf(kind);
  message.writeUInt32BE(id, 1);
  message.writeUInt32BE(json.length, 5);
  json.copy(message, HEADER_BYTES);
  message.set(blob, HEADER_BYTES + json.length);
  return message;
}

/** Throws PROTOCOL_MISMATCH on anything that is not a message; the channel is then closed. */
export function decodeMessage(bytes: Buffer): Message {
  if (bytes.length < HEADER_BYTES) throw new AntipodeError('PROTOCOL_MISMATCH', 'message shorter than its header');
  const kind = KINDS[bytes[0] as number];
  const jsonLength = bytes.readUInt32BE(5);
  if (kind === undefined || jsonLength > JSON_BYTES_MAX || HEADER_BYTES + jsonLength > bytes.length) {
    throw new AntipodeError('PROTOCOL_MISMATCH', 'message header is impossible');
  }
  let body: unknown;
  if (jsonLength > 0) {
    try {
      body = JSON.parse(bytes.toString('utf8', HEADER_BYTES, HEADER_BYTES + jsonLength));
    } catch (cause) {
      throw new AntipodeError('PROTOCOL_MISMATCH', 'message body is not JSON', { cause });
    }
  }
  return { kind, id: bytes.readUInt32BE(1), body, blob: bytes.subarray(HEADER_BYTES + jsonLength) };
}

/** Parses a message body; a body of another shape means another protocol. */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown, what: string): T {
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new AntipodeError('PROTOCOL_MISMATCH', `${what}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

const FAILURE = z.object({
  code: z.string(),
  message: z.string(),
  where: z.string().optional(),
  remedy: z.string().optional(),
});

export function failureBody(error: AntipodeError): unknown {
  return error.toJSON();
}

/** Rebuilds a peer's error; a code this release does not know becomes INTERNAL with the text kept. */
export function failureFrom(body: unknown): AntipodeError {
  const failure = parseBody(FAILURE, body, 'failure');
  const code: ErrorCode = Object.hasOwn(ERROR_CODES, failure.code) ? (failure.code as ErrorCode) : 'INTERNAL';
  return new AntipodeError(code, failure.message, {
    ...(failure.where === undefined ? {} : { where: failure.where }),
    ...(failure.remedy === undefined ? {} : { remedy: failure.remedy }),
  });
}

const seq = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const positions = z.record(z.string(), seq);
const hlc = z.object({
  wallMs: z.number().int().min(0).max(HLC_WALL_MS_MAX),
  counter: z.number().int().min(0).max(HLC_COUNTER_MAX),
});

const seen = z.object({ epoch: seq, streams: positions });
const copyCursor = z.object({ section: z.string(), after: z.string().nullable() });

/** Requests between nodes: name, shape of the body, shape of the answer. Blobs are named in the comments. */
export const REQUESTS = {
  /** First message on every channel between regions. `log`: id of the log the region has now (P6.4). */
  hello: {
    /** `creditBytes`: how many bytes of frames the asker will take before it gives more credit. */
    body: z.object({
      protocol: z.literal(PROTOCOL_VERSION),
      region: z.string(),
      log: z.string(),
      creditBytes: z.number().int().min(1),
    }),
    answer: z.object({ protocol: z.literal(PROTOCOL_VERSION), region: z.string(), log: z.string() }),
  },
  /** The answer tells the peer's wall clock, ms (P8). */
  ping: { body: z.object({}), answer: z.object({ wallMs: z.number() }) },
  /** Positions and chain hashes: what the peer holds of these streams; `hash` is of the frame that ends at `at`, when one does. */
  inspect: {
    body: z.object({ streams: z.array(z.object({ stream: z.string(), at: seq })).max(1000) }),
    answer: z.object({ streams: z.record(z.string(), z.object({ head: seq, hashAt: z.string().nullable() })) }),
  },
  /**
   * The asker's own streams of a namespace, as far as the peer holds them or has them on their way to its disk, with the
   * chain hash there: what a member of an active-active namespace compares its log with after a start (P1.4).
   */
  recall: {
    body: z.object({ namespace: z.string() }),
    answer: z.object({ streams: z.record(z.string(), z.object({ seq, hash: z.string() })) }),
  },
  /**
   * Starts the flow of a stream's frames after `after`; `hash` is the subscriber's chain hash there. The subscriber chooses
   * the number under which frames come, so that it knows it before the first one.
   */
  subscribe: {
    body: z.object({
      subscription: z.number().int().min(1),
      stream: z.string(),
      after: seq,
      hash: z.string(),
      egressClass: z.string(),
    }),
    answer: z.object({}),
  },
  unsubscribe: { body: z.object({ subscription: z.number().int() }), answer: z.object({}) },
  /** One bounded piece of a stream, up to and including `upTo`. Blob of the answer: frames, each with a 4-byte length. */
  fetch: {
    body: z.object({ stream: z.string(), after: seq, upTo: seq }),
    answer: z.object({ frames: z.number().int() }),
  },
  /** P6.4. The answer's heads are durable. */
  promise: {
    body: z.object({
      namespace: z.string(),
      epoch: z.number().int(),
      revision: z.number().int(),
      candidate: z.string(),
    }),
    /** `log`: id of the log that the heads are of. */
    answer: z.object({ heads: positions, log: z.string() }),
  },
  /**
   * Asks the holder to stop appending so that nothing is lost by a planned change of hub. The answer names the revision
   * under which it stopped: promises and the change of the record go by that one.
   */
  drain: {
    body: z.object({ namespace: z.string(), epoch: z.number().int(), candidate: z.string() }),
    answer: z.object({ revision: seq, heads: positions }),
  },
  /** A write for the hub. Blob: change batch. */
  ingest: {
    body: z.object({
      view: z.string(),
      version: z.string(),
      idempotencyKey: z.string().nullable(),
      retried: z.boolean(),
      /** Clock reading of the client's session: the write is stamped above it. */
      observed: hlc.nullable(),
      producer: z.object({ name: z.string().max(64), sequence: seq }).nullable(),
      acknowledge: z.number().int().min(0).nullable(),
    }),
    answer: z.object({
      accepted: z.number().int(),
      quarantined: z.array(z.object({ index: z.number().int(), code: z.string(), message: z.string() })),
      duplicate: z.boolean(),
      hub: z.string(),
      positions,
      epoch: z.number().int(),
      hlc,
      durableIn: z.array(z.string()),
    }),
  },
  /** Whether a write under an idempotency key was accepted in the asked member. NOT_HOLDER while it cannot tell. */
  knowsKey: {
    body: z.object({ namespace: z.string(), view: z.string(), key: z.string() }),
    answer: z.object({ known: z.boolean() }),
  },
  /** A piece of a tail, of which the sender holds what follows `after`, for the hub to take over. Blob: frames, each with a 4-byte length. */
  replay: {
    body: z.object({ namespace: z.string(), stream: z.string(), after: seq }),
    answer: z.object({ replayedTo: seq }),
  },
  /**
   * A read that the asker cannot answer at its level, for this region to answer from its own store or not at all. Blob:
   * storage keys, each after its length. Blob of the answer: stored rows likewise, length 0 where there is none.
   */
  rows: {
    body: z.object({
      namespace: z.string(),
      level: z.enum(READ_LEVELS),
      seen: seen.nullable(),
      maxStalenessMs: z.number().min(0).nullable(),
      budgetMs: z.number().min(0).max(LATENCY_BUDGET_MS_MAX),
    }),
    answer: z.object({ epoch: seq, seen, freshnessMs: z.number().nullable() }),
  },
  /**
   * Begins a copy of what the asked region's online store holds of a namespace (P12.3). `vector`: what it has applied, with
   * the hash of its log there; `rows`: of its whole store. REBUILDING while it is filled itself, or built again.
   */
  copyBegin: {
    body: z.object({ namespace: z.string() }),
    answer: z.object({
      storeId: z.string(),
      vector: z.record(z.string(), z.object({ seq, hash: z.string() })),
      rows: seq,
    }),
  },
  /**
   * The next piece of the copy, in key order from `cursor` on (null: from the beginning), as the store is now. `next` is
   * null with the last piece; nothing in it lies beyond `reach`. Blob of the answer: items (`core/codec/store-items`).
   * SNAPSHOT_CHANGED when the store is not the one that `copyBegin` was asked about.
   */
  copyChunk: {
    body: z.object({ namespace: z.string(), storeId: z.string(), cursor: copyCursor.nullable() }),
    answer: z.object({ next: copyCursor.nullable(), reach: positions }),
  },
  controlGet: {
    body: z.object({ key: z.string().max(200) }),
    /** Blob of the answer: the value. */
    answer: z.object({ revision: seq, wallMs: z.number() }),
  },
  /** Blob: the new value. Blob of a refusal: the current value. */
  controlCompareAndSet: {
    body: z.object({ key: z.string().max(200), expectedRevision: seq }),
    answer: z.object({ ok: z.boolean(), revision: seq, wallMs: z.number() }),
  },
} as const;

export type RequestName = keyof typeof REQUESTS;
export type RequestBody<N extends RequestName> = z.infer<(typeof REQUESTS)[N]['body']>;
export type RequestAnswer<N extends RequestName> = z.infer<(typeof REQUESTS)[N]['answer']>;

export const REQUEST_MESSAGE = z.object({ name: z.string(), body: z.unknown() });

/**
 * Sent by a link's server several times a second: how far it is, and for its own open streams up to which time that is all.
 * A sender that may not append, or lacks part of the stream, cannot say: null.
 */
export const HEADS_MESSAGE = z.object({
  /** `start`: below it the sender's log holds nothing any more. */
  streams: z.record(z.string(), z.object({ start: seq, head: seq, watermarkMs: z.number().nullable() })),
  /** Lease revisions the sender knows, so that a region learns early that it should look. */
  leases: z.record(z.string(), seq),
});

/** Sent by a link's client: what is durable here (acknowledged to the origin), and how many bytes more it will take. */
export const CREDIT_MESSAGE = z.object({ durable: positions, creditBytes: z.number().int().min(0) });

/** Frames one after another, each after its length: the blob of `fetch` and `replay`. */
export function packFrames(frames: readonly { readonly bytes: Uint8Array }[]): Buffer {
  const target = Buffer.allocUnsafe(frames.reduce((sum, frame) => sum + 4 + frame.bytes.length, 0));
  let at = 0;
  for (const frame of frames) {
    at = target.writeUInt32BE(frame.bytes.length, at);
    target.set(frame.bytes, at);
    at += frame.bytes.length;
  }
  return target;
}

export function unpackFrames(blob: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  let at = 0;
  while (at < blob.length) {
    if (at + 4 > blob.length) throw new AntipodeError('PROTOCOL_MISMATCH', 'frames end in a length');
    const length = blob.readUInt32BE(at);
    at += 4;
    if (at + length > blob.length) throw new AntipodeError('PROTOCOL_MISMATCH', 'frames end in a frame');
    frames.push(blob.subarray(at, at + length));
    at += length;
  }
  return frames;
}
