import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import avro from 'avsc';
import { checkFrameShape } from '#core/codec/frame-shape';
import { RecentFrames } from '#core/codec/recent-frames';
import { AntipodeError, assert } from '#core/errors';
import { HASH_BYTES, sha256 } from '#core/hash';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import { HLC_COUNTER_MAX, HLC_WALL_MS_MAX, type Hlc } from '#core/time/hlc';

/** Largest canonical body of a frame, bytes. A decoder refuses more before it allocates. */
export const FRAME_BODY_BYTES_MAX = 8 * 1024 * 1024;
/** Most changes in one frame. */
export const FRAME_CHANGES_MAX = 4096;

/**
 * `rows`: changes of one view version. `definition`: a view version. `epoch`: the first append of a new holder, with its
 * lease record. `expiry`: the cut below which nothing of a view version counts any more.
 */
export type FrameKind = 'rows' | 'definition' | 'epoch' | 'expiry';
const KINDS: readonly FrameKind[] = ['rows', 'definition', 'epoch', 'expiry'];

/** Which changes of the frame a client's idempotency key covers, as seqs (from, to]. A request may span several frames. */
export interface IdempotencyEntry {
  readonly key: string;
  /** 16 hexadecimal digits of the content of the whole request in this partition: the same key with other rows is an error. */
  readonly digest: string;
  readonly from: number;
  readonly to: number;
  /** Place of the first covered change in the request, from 0: what a retry after a seal need not append again. */
  readonly first: number;
  /** The request's last changes in this stream: whoever applies this frame has all of it, and may remember the key. */
  readonly complete: boolean;
}

/**
 * Where the changes of a replayed tail come from. `tail` is the range of the tail that this frame takes over; `original`
 * is the frame in which the changes first appeared (the same stream, unless a tail held a replayed tail), which gives
 * them their change ids, their stamps, and what they may have been caused by.
 */
export interface ReplaySource {
  readonly tail: { readonly stream: StreamKey; readonly from: number; readonly to: number };
  readonly original: {
    readonly stream: StreamKey;
    readonly from: number;
    readonly hlc: Hlc;
    readonly applied: Frame['applied'];
  };
}

/**
 * A frame: the unit of log, wire and commit (P2). It covers the seqs (from, to] of one stream and one view version. The
 * body is canonical: the same content gives the same bytes, and its SHA-256 is both checksum and link of the hash chain.
 *
 * Envelope:  41 46  01  codec(1)  body length(4, big endian)  SHA-256 of the body(32)  body, perhaps compressed
 *            "AF"   version; codec 0 = as is, 1 = zstd
 */
export interface Frame {
  readonly stream: StreamKey;
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  readonly kind: FrameKind;
  /** View version, 32 hexadecimal digits; empty for an epoch marker. */
  readonly viewVersion: string;
  readonly previousHash: Uint8Array;
  /** Reading of change from+1; change from+1+i has counter + i (replayed changes keep their own). */
  readonly hlc: Hlc;
  /** Wall clock up to which the origin had nothing else to send when it wrote the frame, ms. */
  readonly watermarkMs: number;
  /** The origin's applied positions: what the changes of this frame may have been caused by. */
  readonly applied: readonly { readonly stream: StreamKey; readonly seq: number }[];
  readonly egressClass: string;
  readonly omitted: readonly { readonly reason: string; readonly count: number }[];
  readonly idempotency: readonly IdempotencyEntry[];
  readonly replay: ReplaySource | null;
  readonly payload: Uint8Array;
}

export interface EncodedFrame {
  readonly from: number;
  readonly to: number;
  readonly hash: Buffer;
  readonly bytes: Buffer;
}

/** The one egress class of today: everything, unmasked. */
export const FULL_CLASS = 'full';

const position = (name: string) => ({
  type: 'record' as const,
  name,
  fields: [
    { name: 'stream', type: 'string' as const },
    { name: 'seq', type: 'long' as const },
  ],
});

const BODY = avro.Type.forSchema({
  type: 'record',
  name: 'Frame',
  fields: [
    { name: 'stream', type: 'string' },
    { name: 'epoch', type: 'long' },
    { name: 'from', type: 'long' },
    { name: 'to', type: 'long' },
    { name: 'kind', type: 'int' },
    { name: 'viewVersion', type: 'string' },
    { name: 'previousHash', type: { type: 'fixed', name: 'Hash', size: HASH_BYTES } },
    { name: 'hlcWallMs', type: 'long' },
    { name: 'hlcCounter', type: 'long' },
    { name: 'watermarkMs', type: 'long' },
    { name: 'applied', type: { type: 'array', items: position('Position') } },
    { name: 'egressClass', type: 'string' },
    {
      name: 'omitted',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Omission',
          fields: [
            { name: 'reason', type: 'string' },
            { name: 'count', type: 'long' },
          ],
        },
      },
    },
    {
      name: 'idempotency',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Idempotency',
          fields: [
            { name: 'key', type: 'string' },
            { name: 'digest', type: 'string' },
            { name: 'from', type: 'long' },
            { name: 'to', type: 'long' },
            { name: 'first', type: 'long' },
            { name: 'complete', type: 'boolean' },
          ],
        },
      },
    },
    {
      name: 'replay',
      type: [
        'null',
        {
          type: 'record',
          name: 'Replay',
          fields: [
            { name: 'tailStream', type: 'string' },
            { name: 'tailFrom', type: 'long' },
            { name: 'tailTo', type: 'long' },
            { name: 'originalStream', type: 'string' },
            { name: 'originalFrom', type: 'long' },
            { name: 'hlcWallMs', type: 'long' },
            { name: 'hlcCounter', type: 'long' },
            { name: 'applied', type: { type: 'array', items: 'Position' } },
          ],
        },
      ],
    },
    { name: 'payload', type: 'bytes' },
  ],
});

interface WireReplay {
  tailStream: string;
  tailFrom: number;
  tailTo: number;
  originalStream: string;
  originalFrom: number;
  hlcWallMs: number;
  hlcCounter: number;
  applied: Frame['applied'];
}

interface WireBody extends Omit<Frame, 'kind' | 'hlc' | 'replay'> {
  kind: number;
  hlcWallMs: number;
  hlcCounter: number;
  replay: { Replay: WireReplay } | WireReplay | null;
}

const HEADER_BYTES = 8 + HASH_BYTES;
const COMPRESS_ABOVE_BYTES = 512;

function toWireReplay(replay: ReplaySource): WireReplay {
  return {
    tailStream: replay.tail.stream,
    tailFrom: replay.tail.from,
    tailTo: replay.tail.to,
    originalStream: replay.original.stream,
    originalFrom: replay.original.from,
    hlcWallMs: replay.original.hlc.wallMs,
    hlcCounter: replay.original.hlc.counter,
    applied: inStreamOrder(replay.original.applied),
  };
}

function fromWireReplay(wire: WireReplay): ReplaySource {
  return {
    tail: { stream: wire.tailStream, from: wire.tailFrom, to: wire.tailTo },
    original: {
      stream: wire.originalStream,
      from: wire.originalFrom,
      hlc: { wallMs: wire.hlcWallMs, counter: wire.hlcCounter },
      applied: wire.applied,
    },
  };
}

function inStreamOrder(positions: Frame['applied']): Frame['applied'] {
  return [...positions].sort((a, b) => (a.stream < b.stream ? -1 : a.stream > b.stream ? 1 : 0));
}

/** Encodes once; the same bytes go to the log, to every mirror and to every peer of the full class. */
export function encodeFrame(frame: Frame): EncodedFrame {
  assert(frame.to > frame.from, 'a frame covers at least one seq');
  const body = BODY.toBuffer({
    ...frame,
    previousHash: Buffer.from(frame.previousHash.buffer, frame.previousHash.byteOffset, frame.previousHash.length),
    payload: Buffer.from(frame.payload.buffer, frame.payload.byteOffset, frame.payload.length),
    kind: KINDS.indexOf(frame.kind),
    hlcWallMs: frame.hlc.wallMs,
    hlcCounter: frame.hlc.counter,
    applied: inStreamOrder(frame.applied),
    replay: frame.replay === null ? null : toWireReplay(frame.replay),
  });
  assert(body.length <= FRAME_BODY_BYTES_MAX, 'frame body within its limit');
  const hash = sha256(body);
  const packed =
    body.length > COMPRESS_ABOVE_BYTES
      ? zstdCompressSync(body, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
      : body;
  const compressed = packed.length < body.length;
  const content = compressed ? packed : body;
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + content.length);
  bytes[0] = 0x41;
  bytes[1] = 0x46;
  bytes[2] = 1;
  bytes[3] = compressed ? 1 : 0;
  bytes.writeUInt32BE(body.length, 4);
  hash.copy(bytes, 8);
  content.copy(bytes, HEADER_BYTES);
  return { from: frame.from, to: frame.to, hash, bytes };
}

function corrupt(message: string, cause?: unknown): AntipodeError {
  return new AntipodeError('FRAME_CORRUPT', message, cause === undefined ? {} : { cause });
}

/** Decompresses at most `bytesMax` and tells how much of the input that took: zstd ignores what stands after its end. */
function unpack(content: Buffer, bytesMax: number): [body: Buffer, read: number] {
  const options = { maxOutputLength: Math.max(1, bytesMax), info: true };
  // With `info`, Node returns the engine beside the buffer; its types do not know that.
  const { buffer, engine } = zstdDecompressSync(content, options) as unknown as {
    buffer: Buffer;
    engine: { bytesWritten: number };
  };
  return [buffer, engine.bytesWritten];
}

/** A reading that has room for `count` consecutive counters in the byte form of a stamp. */
function isReading({ wallMs, counter }: Hlc, count: number): boolean {
  return wallMs >= 0 && wallMs <= HLC_WALL_MS_MAX && counter >= 0 && counter + count - 1 <= HLC_COUNTER_MAX;
}

/** The frame's own hash, read from the envelope without decoding; trust it only after `decodeFrame`. */
export function envelopeHash(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(8, HEADER_BYTES);
}

export interface DecodedEnvelope {
  readonly frame: Frame;
  readonly hash: Buffer;
}

/** Decoded frames kept for the next reader, bytes. */
const RECENT_BYTES_MAX = 4 * 1024 * 1024;

const recent = new RecentFrames<DecodedEnvelope>(RECENT_BYTES_MAX);

/**
 * Decodes and verifies an envelope: any flipped bit, short or long input, unknown version or impossible field is
 * FRAME_CORRUPT. The payload is a view into the decompressed body, which other readers may have, too: it is only read.
 */
export function decodeFrame(input: Uint8Array): DecodedEnvelope {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.length);
  const key = bytes.toString('latin1', 0, HEADER_BYTES);
  const known = recent.get(key, bytes);
  if (known !== undefined) return known;
  // A copy: what a log gives is valid for a moment only.
  const own = Buffer.from(bytes);
  const decoded = decodeAnew(own);
  recent.set(key, own, decoded, own.readUInt32BE(4));
  return decoded;
}

function decodeAnew(bytes: Buffer): DecodedEnvelope {
  if (bytes.length <= HEADER_BYTES || bytes[0] !== 0x41 || bytes[1] !== 0x46) throw corrupt('not a frame');
  if (bytes[2] !== 1) throw corrupt(`frame version ${bytes[2]} is not known`);
  const codec = bytes[3] as number;
  const bodyLength = bytes.readUInt32BE(4);
  if (bodyLength > FRAME_BODY_BYTES_MAX)
    throw corrupt(`frame body of ${bodyLength} bytes exceeds ${FRAME_BODY_BYTES_MAX}`);
  const content = bytes.subarray(HEADER_BYTES);
  let body: Buffer;
  if (codec === 0) body = content;
  else if (codec === 1) {
    let read: number;
    try {
      [body, read] = unpack(content, bodyLength);
    } catch (cause) {
      throw corrupt('frame body does not decompress', cause);
    }
    if (read !== content.length) throw corrupt(`${content.length - read} bytes after the frame`);
  } else throw corrupt(`frame codec ${codec} is not known`);
  if (body.length !== bodyLength) throw corrupt(`frame body has ${body.length} bytes, its header says ${bodyLength}`);
  const hash = Buffer.from(bytes.subarray(8, HEADER_BYTES));
  if (!sha256(body).equals(hash)) throw corrupt('frame body does not have the hash in its header');
  let wire: WireBody;
  try {
    checkFrameShape(body);
    wire = BODY.fromBuffer(body) as WireBody;
  } catch (cause) {
    throw corrupt('frame body is not decodable', cause);
  }
  const kind = KINDS[wire.kind];
  if (kind === undefined) throw corrupt(`frame kind ${wire.kind} is not known`);
  if (wire.from < 0 || wire.to <= wire.from || wire.epoch < 1) throw corrupt('frame range or epoch is impossible');
  if (kind === 'rows' ? wire.to - wire.from > FRAME_CHANGES_MAX : wire.to - wire.from !== 1) {
    throw corrupt(`frame of kind ${kind} cannot cover ${wire.to - wire.from} changes`);
  }
  const { hlcWallMs, hlcCounter, replay: wireReplay, ...rest } = wire;
  const hlc = { wallMs: hlcWallMs, counter: hlcCounter };
  const replay = wireReplay === null ? null : fromWireReplay(wireReplay as WireReplay);
  if (parseStreamKey(wire.stream) === undefined) throw corrupt('frame is of no stream');
  if (!isReading(hlc, wire.to - wire.from)) throw corrupt('clock reading of the frame is impossible');
  if (replay !== null) {
    const { tail, original } = replay;
    if (parseStreamKey(tail.stream) === undefined || parseStreamKey(original.stream) === undefined)
      throw corrupt('replayed frame comes from no stream');
    if (tail.from < 0 || tail.to <= tail.from || original.from < 0 || !isReading(original.hlc, 1))
      throw corrupt('source of the replayed frame is impossible');
  }
  return { frame: { ...rest, kind, hlc, replay }, hash };
}
