import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { describe, it } from 'node:test';
import {
  BEAT,
  CONTROL_BYTES_MAX,
  controlBytes,
  GOODBYE,
  messageHeader,
  READY,
  WireReader,
} from '#adapters/tls-link/wire';
import { MAX_MESSAGE_BYTES } from '#ports/link-transport';

function reader() {
  const messages: Buffer[] = [];
  const controls: string[] = [];
  const wire = new WireReader({
    message: (bytes) => messages.push(bytes) > 0,
    control: (kind, body) => controls.push(`${kind} ${body}`) > 0,
  });
  return { wire, messages, controls };
}

const framed = (message: Buffer) => Buffer.concat([messageHeader(message.length), message]);

describe('wire format', () => {
  it('has the documented bytes', () => {
    assert.equal(framed(Buffer.from('hello')).toString('hex'), '0000000568656c6c6f');
    assert.equal(controlBytes(READY).toString('hex'), '81000000');
    assert.equal(controlBytes(BEAT).toString('hex'), '82000000');
    assert.equal(controlBytes(GOODBYE, 'done').toString('hex'), '83000004646f6e65');
  });

  it('gives the same messages however the bytes are sliced', () => {
    const sent = [0, 1, 4, 5, 300, 0, 70_000, 2].map((size) => randomBytes(size));
    const bytes = Buffer.concat(
      sent.flatMap((message) => [framed(message), controlBytes(GOODBYE, 'x'), controlBytes(BEAT)]),
    );
    for (const largest of [1, 2, 3, 7, 100, 5000, bytes.length]) {
      const { wire, messages, controls } = reader();
      for (let at = 0; at < bytes.length; ) {
        const size = largest === bytes.length ? largest : randomInt(1, largest + 1);
        assert.equal(wire.push(bytes.subarray(at, at + size)), undefined);
        at += size;
      }
      assert.deepEqual(messages, sent);
      assert.equal(controls.length, 2 * sent.length);
      assert.deepEqual(new Set(controls), new Set(['3 x', '2 ']));
    }
  });

  it('passes on a message within one chunk without copying it', () => {
    const { wire, messages } = reader();
    const chunk = framed(randomBytes(1000));
    wire.push(chunk);
    assert.equal(messages[0]?.buffer, chunk.buffer);
  });

  it('takes the largest message and refuses a length above it as soon as it is announced', () => {
    assert.equal(reader().wire.push(messageHeader(MAX_MESSAGE_BYTES)), undefined);
    const before = process.memoryUsage().arrayBuffers;
    for (const header of ['01000001', '7fffffff']) {
      assert.match(reader().wire.push(Buffer.from(header, 'hex')) ?? '', /bytes was announced/);
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < MAX_MESSAGE_BYTES);
  });

  it('refuses unknown control kinds and control bodies above the limit', () => {
    for (const header of ['80000000', '84000000', 'ffffffff', '83000101', '82ffffff']) {
      assert.match(reader().wire.push(Buffer.from(header, 'hex')) ?? '', /not part of the protocol/);
    }
    const { wire, controls } = reader();
    assert.equal(wire.push(controlBytes(GOODBYE, 'y'.repeat(1000))), undefined);
    assert.equal(controls[0]?.length, CONTROL_BYTES_MAX + 2);
  });

  it('stops when the sink says so', () => {
    let messages = 0;
    const wire = new WireReader({
      message: () => {
        messages++;
        return false;
      },
      control: () => true,
    });
    wire.push(Buffer.concat([framed(Buffer.from('a')), framed(Buffer.from('b'))]));
    assert.equal(messages, 1);
  });
});
