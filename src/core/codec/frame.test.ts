import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { encodeChanges } from '#core/codec/changes';
import {
  decodeFrame,
  encodeFrame,
  envelopeHash,
  FRAME_BODY_BYTES_MAX,
  FRAME_CHANGES_MAX,
  type Frame,
  FULL_CLASS,
} from '#core/codec/frame';
import { AntipodeError } from '#core/errors';
import { sha256, ZERO_HASH } from '#core/hash';
import { HLC_COUNTER_MAX } from '#core/time/hlc';

const STREAM = 'flights/0/us-east/9f3c2b1a00c4d2e8';
const OTHER = 'flights/0/eu-west/0000000000000001';

const SMALL: Frame = {
  stream: STREAM,
  epoch: 3,
  from: 41,
  to: 43,
  kind: 'rows',
  viewVersion: '00112233445566778899aabbccddeeff',
  previousHash: Buffer.from(Array.from({ length: 32 }, (_, i) => i)),
  hlc: { wallMs: 1_760_000_000_123, counter: 7 },
  watermarkMs: 1_760_000_000_124,
  applied: [{ stream: OTHER, seq: 12 }],
  egressClass: FULL_CLASS,
  omitted: [],
  idempotency: [{ key: 'batch-1', digest: '00112233aabbccdd', from: 41, to: 43, first: 0, complete: true }],
  replay: null,
  payload: encodeChanges([
    { operation: 'upsert', eventTimeUs: 1, key: Buffer.from('k1'), row: Buffer.from([1]), offset: 0 },
    { operation: 'delete', eventTimeUs: -1, key: Buffer.from('k2'), row: Buffer.alloc(0), offset: 1 },
  ]),
};

/**
 * The frame above as an independent implementation of the format wrote it. When this fails the wire format has changed:
 * logs on disk and peers of other releases would not be understood, so it takes a new version byte.
 */
const SMALL_HEX =
  '41460100000000e5010cc8c2b134e7fce9023623c787dbc58726a6f797ba48020a61fab61fe7eb5244666c69676874732f302f75732d65617374' +
  '2f396633633262316130306334643265380652560040303031313232333334343535363637373838393961616262636364646565666600010203' +
  '0405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1ff681e682b9660ef881e682b9660244666c69676874732f302f65752d7765' +
  '73742f3030303030303030303030303030303118000866756c6c00020e62617463682d3120303031313232333361616262636364645256000100' +
  '00460000000000000000010002000000016b310101ffffffffffffffff0002000000006b32';

const REPLAYED: Frame = {
  ...SMALL,
  replay: {
    tail: { stream: OTHER, from: 5, to: 9 },
    original: { stream: OTHER, from: 5, hlc: { wallMs: 4, counter: 3 }, applied: [{ stream: STREAM, seq: 9 }] },
  },
};

function corrupt(bytes: Uint8Array, pattern = /./): void {
  assert.throws(
    () => decodeFrame(bytes),
    (error: unknown) =>
      error instanceof AntipodeError && error.code === 'FRAME_CORRUPT' && pattern.test(String(error.message)),
  );
}

/** An envelope around any body: what a hostile or broken peer could send, its hash in order. */
function envelope(body: Uint8Array, options: { codec?: number; bodyLength?: number } = {}): Buffer {
  const header = Buffer.from([0x41, 0x46, 1, options.codec ?? 0, 0, 0, 0, 0]);
  header.writeUInt32BE(options.bodyLength ?? body.length, 4);
  return Buffer.concat([header, sha256(body), options.codec === 1 ? zstdCompressSync(body) : body]);
}

function bodyOf(frame: Frame): Buffer {
  const { bytes } = encodeFrame(frame);
  assert.equal(bytes[3], 0, 'small enough to be left uncompressed');
  return bytes.subarray(40);
}

test('a small frame, byte for byte', () => {
  const encoded = encodeFrame(SMALL);
  assert.equal(encoded.bytes.toString('hex'), SMALL_HEX);
  assert.equal(encoded.hash.toString('hex'), SMALL_HEX.slice(16, 80));
  assert.equal(Buffer.from(envelopeHash(encoded.bytes)).toString('hex'), encoded.hash.toString('hex'));
  assert.deepEqual([encoded.from, encoded.to], [41, 43]);
});

test('any flipped bit of an uncompressed frame is FRAME_CORRUPT', () => {
  const bytes = Buffer.from(SMALL_HEX, 'hex');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    corrupt(flipped);
  }
});

test('any flipped bit of a compressed frame is FRAME_CORRUPT, or leaves the very same frame', () => {
  const { bytes, hash } = encodeFrame({ ...SMALL, payload: Buffer.alloc(2000, 'feature ') });
  assert.equal(bytes[3], 1, 'large enough to be compressed');
  let harmless = 0;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    // zstd has bits that a decoder ignores. The hash is over the body, so what passes is the content that was meant.
    try {
      assert.deepEqual(decodeFrame(flipped).hash, hash);
      harmless += 1;
    } catch (error) {
      assert.ok(error instanceof AntipodeError && error.code === 'FRAME_CORRUPT', String(error));
    }
  }
  assert.ok(harmless < 16, `${harmless} bits change nothing`);
});

test('a frame that is cut anywhere, or has something after it, is FRAME_CORRUPT', () => {
  for (const frame of [SMALL, { ...SMALL, payload: Buffer.alloc(2000, 'feature ') }]) {
    const { bytes } = encodeFrame(frame);
    for (let length = 0; length < bytes.length; length++) corrupt(bytes.subarray(0, length));
    corrupt(Buffer.concat([bytes, Buffer.from([0])]));
  }
});

test('a header that promises more than the limit is refused before anything is unpacked', () => {
  const bomb = Buffer.alloc(FRAME_BODY_BYTES_MAX + 1);
  corrupt(envelope(bomb, { codec: 1 }), /exceeds/);
  // A header that lies about it: unpacking stops at the promised length.
  corrupt(envelope(bomb, { codec: 1, bodyLength: 100 }), /decompress/);
  corrupt(envelope(bomb.subarray(0, 100), { codec: 1, bodyLength: FRAME_BODY_BYTES_MAX }), /header says/);
});

test('unknown versions and codecs are refused', () => {
  const bytes = Buffer.from(SMALL_HEX, 'hex');
  corrupt(Buffer.from(bytes).fill(2, 2, 3), /version 2/);
  corrupt(Buffer.from(bytes).fill(2, 3, 4), /codec 2/);
});

test('an array that claims more items than the body could hold is refused, not allocated', () => {
  const body = bodyOf({ ...SMALL, applied: [], idempotency: [] });
  const full = body.indexOf(Buffer.from('\x08full', 'latin1'));
  const counts = { applied: full - 1, omitted: full + 5, idempotency: full + 6 };
  // 2^31 - 1, 2^40, and a negative count, which Avro allows and we never write.
  for (const count of ['feffffff0f', '808080808040', '01']) {
    for (const [array, at] of Object.entries(counts)) {
      assert.equal(body[at], 0, array);
      const hostile = Buffer.concat([body.subarray(0, at), Buffer.from(count, 'hex'), body.subarray(at + 1)]);
      corrupt(envelope(hostile));
    }
  }
});

test('the same of the array in the source of a replayed frame', () => {
  const body = bodyOf(REPLAYED);
  const at = body.lastIndexOf(Buffer.from(OTHER)) + OTHER.length + 3;
  assert.equal(body[at], 2, 'one position');
  for (const count of ['feffffff0f', '808080808040', '01'])
    corrupt(envelope(Buffer.concat([body.subarray(0, at), Buffer.from(count, 'hex'), body.subarray(at + 1)])));
});

test('a body with the right hash but not of a frame is refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (body) => corrupt(envelope(body))),
    { numRuns: 500 },
  );
});

test('a body of a frame with a few bytes changed under a right hash decodes or is FRAME_CORRUPT, and nothing else', () => {
  const body = bodyOf(REPLAYED);
  const edits = fc.array(fc.tuple(fc.nat({ max: body.length - 1 }), fc.nat({ max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(edits, (list) => {
      const edited = Buffer.from(body);
      for (const [at, byte] of list) edited[at] = byte;
      try {
        decodeFrame(envelope(edited));
      } catch (error) {
        assert.ok(error instanceof AntipodeError && error.code === 'FRAME_CORRUPT', String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

const IMPOSSIBLE: readonly (readonly [string, Partial<Frame>])[] = [
  ['an epoch of 0', { epoch: 0 }],
  ['a range below 0', { from: -1 }],
  ['more changes than a frame may have', { from: 0, to: FRAME_CHANGES_MAX + 1 }],
  ['a definition of two seqs', { kind: 'definition' }],
  ['an epoch marker of two seqs', { kind: 'epoch' }],
  ['a stream that is none', { stream: 'flights' }],
  ['a wall clock before 1970', { hlc: { wallMs: -1, counter: 0 } }],
  ['a wall clock that no stamp can hold', { hlc: { wallMs: 2 ** 48, counter: 0 } }],
  ['a counter that runs over in the middle', { hlc: { wallMs: 1, counter: HLC_COUNTER_MAX } }],
  [
    'a replayed clock reading that no stamp can hold',
    {
      replay: {
        tail: { stream: OTHER, from: 5, to: 9 },
        original: { stream: OTHER, from: 5, hlc: { wallMs: 1, counter: 2 ** 32 }, applied: [] },
      },
    },
  ],
  [
    'a tail of no stream',
    {
      replay: {
        tail: { stream: 'x', from: 5, to: 9 },
        original: { stream: OTHER, from: 5, hlc: { wallMs: 1, counter: 2 }, applied: [] },
      },
    },
  ],
  [
    'a tail without length',
    {
      replay: {
        tail: { stream: OTHER, from: 5, to: 5 },
        original: { stream: OTHER, from: 5, hlc: { wallMs: 1, counter: 2 }, applied: [] },
      },
    },
  ],
];
for (const [name, part] of IMPOSSIBLE) {
  test(`impossible: ${name}`, () => corrupt(encodeFrame({ ...SMALL, ...part }).bytes));
}

const seq = fc.nat({ max: 2 ** 31 });
const stream = fc.constantFrom(STREAM, OTHER, 'flights/3/ap-south/ffffffffffffffff');
const positions = fc.uniqueArray(fc.record({ stream, seq }), { selector: (item) => item.stream });
const inOrder = (applied: Frame['applied']): Frame['applied'] =>
  [...applied].sort((a, b) => (a.stream < b.stream ? -1 : 1));
const hlc = fc.record({
  wallMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  counter: fc.integer({ min: 0, max: 2 ** 32 - 1 - FRAME_CHANGES_MAX }),
});
const anyFrame: fc.Arbitrary<Frame> = fc
  .record({
    stream,
    epoch: fc.integer({ min: 1, max: 2 ** 40 }),
    from: fc.nat({ max: 2 ** 45 }),
    length: fc.integer({ min: 1, max: FRAME_CHANGES_MAX }),
    kind: fc.constantFrom('rows' as const, 'definition' as const, 'epoch' as const),
    viewVersion: fc.constantFrom('', SMALL.viewVersion),
    previousHash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
    hlc,
    watermarkMs: fc.nat(),
    applied: positions,
    egressClass: fc.constant(FULL_CLASS),
    omitted: fc.array(fc.record({ reason: fc.string(), count: seq })),
    idempotency: fc.array(
      fc.record({ key: fc.string(), digest: fc.string(), from: seq, to: seq, first: seq, complete: fc.boolean() }),
    ),
    replay: fc.option(
      fc.record({
        tail: fc.record({ stream, from: seq, length: fc.integer({ min: 1, max: 9 }) }),
        original: fc.record({ stream, from: seq, hlc, applied: positions.map(inOrder) }),
      }),
    ),
    payload: fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
  })
  .map(({ length, replay, ...frame }) => ({
    ...frame,
    to: frame.from + (frame.kind === 'rows' ? length : 1),
    replay:
      replay === null
        ? null
        : {
            tail: { stream: replay.tail.stream, from: replay.tail.from, to: replay.tail.from + replay.tail.length },
            original: replay.original,
          },
  }));

test('decoding gives back what was encoded; the same content gives the same bytes', () => {
  fc.assert(
    fc.property(anyFrame, (frame) => {
      const encoded = encodeFrame(frame);
      const { frame: decoded, hash } = decodeFrame(encoded.bytes);
      const applied = inOrder(frame.applied);
      const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
      assert.deepEqual(plain(decoded), plain({ ...frame, applied }));
      assert.deepEqual(hash, encoded.hash);
      const again = encodeFrame({ ...decoded, applied: [...decoded.applied].reverse() });
      assert.ok(again.bytes.equals(encoded.bytes));
    }),
    { numRuns: 300 },
  );
});

test('the chain binds a frame to the one before it', () => {
  const first = encodeFrame({ ...SMALL, previousHash: ZERO_HASH });
  const second = encodeFrame({ ...SMALL, previousHash: first.hash });
  assert.notDeepEqual(second.hash, first.hash);
  assert.deepEqual(Buffer.from(decodeFrame(second.bytes).frame.previousHash), first.hash);
});

test('an empty frame is a bug of its maker', () => {
  assert.throws(() => encodeFrame({ ...SMALL, to: SMALL.from }), /at least one seq/);
  assert.throws(() => encodeFrame({ ...SMALL, payload: Buffer.alloc(FRAME_BODY_BYTES_MAX) }), /within its limit/);
});
