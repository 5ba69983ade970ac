/** Identity of a stream: one partition of a namespace at one origin, in one physical life (P1.1). */
export interface StreamId {
  readonly namespace: string;
  readonly partition: number;
  readonly origin: string;
  /** 16 hexadecimal digits, minted at random; never reused. */
  readonly incarnation: string;
}

/** Text form of a stream id, such as `flights/0/us-east/9f3c2b1a00c4d2e8`; the key of every map of streams. */
export type StreamKey = string;

export function streamKey(id: StreamId): StreamKey {
  return `${id.namespace}/${id.partition}/${id.origin}/${id.incarnation}`;
}

const STREAM_KEY = /^([a-z][a-z0-9_-]{0,62})\/(\d{1,4})\/([a-z][a-z0-9-]{0,62})\/([0-9a-f]{16})$/;

/** Keys that were parsed lately: there are few streams, and each is asked about all the time. */
const PARSED_MAX = 4096;
const parsed = new Map<StreamKey, StreamId>();

/** Parses the text form; undefined when it is not one. */
export function parseStreamKey(key: string): StreamId | undefined {
  const known = parsed.get(key);
  if (known !== undefined) return known;
  const match = STREAM_KEY.exec(key);
  if (match === null) return undefined;
  const [, namespace, partition, origin, incarnation] = match as unknown as [string, string, string, string, string];
  const id = { namespace, partition: Number(partition), origin, incarnation };
  if (parsed.size >= PARSED_MAX) parsed.clear();
  parsed.set(key, id);
  return id;
}

/** Position and chain hash after a frame: what two regions compare to know that they hold the same stream. */
export interface StreamHead {
  /** Last seq held; 0 when the stream is empty. */
  readonly seq: number;
  /** Hash of the last frame; ZERO_HASH when the stream is empty. */
  readonly hash: Uint8Array;
}
