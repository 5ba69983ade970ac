import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AntipodeError } from '#core/errors';
import {
  decodeMessage,
  encodeMessage,
  failureBody,
  failureFrom,
  type MessageKind,
  packFrames,
  unpackFrames,
} from '#region/replicate/wire';

function mismatch(action: () => unknown): void {
  assert.throws(action, (error: unknown) => error instanceof AntipodeError && error.code === 'PROTOCOL_MISMATCH');
}

test('a message, byte for byte', () => {
  assert.equal(
    encodeMessage('request', 258, { name: 'ping', body: {} }, Buffer.from([1, 2])).toString('hex'),
    `000000010200000019${Buffer.from('{"name":"ping","body":{}}').toString('hex')}0102`,
  );
  assert.equal(encodeMessage('frame', 7, undefined, Buffer.from([9])).toString('hex'), '03000000070000000009');
});

test('decoding gives back what was encoded', () => {
  const kind = fc.constantFrom<MessageKind>('request', 'response', 'failure', 'frame', 'heads', 'credit');
  fc.assert(
    fc.property(
      kind,
      fc.nat({ max: 2 ** 32 - 1 }),
      fc.option(fc.jsonValue(), { nil: undefined }),
      fc.uint8Array(),
      (name, id, value, blob) => {
        const body = value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
        const message = decodeMessage(encodeMessage(name, id, body, blob));
        assert.deepEqual({ ...message, blob: [...message.blob] }, { kind: name, id, body, blob: [...blob] });
      },
    ),
  );
});

test('what is not a message is PROTOCOL_MISMATCH', () => {
  const good = encodeMessage('request', 1, { name: 'ping' });
  for (let length = 0; length < good.length; length++) mismatch(() => decodeMessage(good.subarray(0, length)));
  mismatch(() => decodeMessage(Buffer.from(good).fill(6, 0, 1)));
  mismatch(() => decodeMessage(Buffer.from(good).fill(0xff, 5, 9)));
  mismatch(() => decodeMessage(Buffer.from(good).fill(0x7b, 9, 10).fill(0x7b, 10, 11)));
  const limit = 2 * 1024 * 1024;
  assert.equal(decodeMessage(encodeMessage('request', 1, 'x'.repeat(limit - 2))).kind, 'request');
  mismatch(() => decodeMessage(encodeMessage('request', 1, 'x'.repeat(limit - 1))));
});

test('random bytes are a message or PROTOCOL_MISMATCH, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeMessage(Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof AntipodeError && error.code === 'PROTOCOL_MISMATCH', String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('frames in a blob come out as they went in', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 30 })), (frames) => {
      const blob = packFrames(frames.map((bytes) => ({ bytes })));
      assert.deepEqual(
        unpackFrames(blob).map((bytes) => [...bytes]),
        frames.map((bytes) => [...bytes]),
      );
    }),
  );
});

test('a blob that ends inside a frame or its length is PROTOCOL_MISMATCH', () => {
  const blob = packFrames([{ bytes: Buffer.from('one') }, { bytes: Buffer.from('two') }]);
  for (let length = 1; length < blob.length; length++) {
    if (length !== 7) mismatch(() => unpackFrames(blob.subarray(0, length)));
  }
});

test('an error crosses the wire with code, place and remedy; a code of another release becomes INTERNAL', () => {
  const error = new AntipodeError('STREAM_GAP', 'a gap', { where: 'flights/0', remedy: 'look' });
  const received = failureFrom(JSON.parse(JSON.stringify(failureBody(error))));
  assert.deepEqual(
    [received.code, received.message, received.where, received.remedy],
    ['STREAM_GAP', 'a gap', 'flights/0', 'look'],
  );
  assert.equal(failureFrom({ code: 'TOMORROW', message: 'new' }).code, 'INTERNAL');
  assert.equal(failureFrom({ code: '__proto__', message: 'x' }).code, 'INTERNAL');
  assert.equal(failureFrom({ code: 'toString', message: 'x' }).code, 'INTERNAL');
  mismatch(() => failureFrom({ code: 7 }));
});
