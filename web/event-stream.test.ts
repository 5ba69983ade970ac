import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EventStreamParser, MESSAGE_CHARACTERS_MAX } from './event-stream.ts';

suite('server-sent events', () => {
  test('gives the same messages however the text is cut into pieces', () => {
    const text = ': hello\r\nretry: 500\r\n\r\nid: 1\ndata: {"a":1}\n\ndata:first\ndata: second\n\n\ndata\n\n';
    const expected = ['{"a":1}', 'first\nsecond', ''];
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new EventStreamParser();
      const messages: string[] = [];
      for (let at = 0; at < text.length; at += size) messages.push(...parser.push(text.slice(at, at + size)));
      assert.deepEqual(messages, expected, `pieces of ${size}`);
    }
  });

  test('keeps an unfinished message until its empty line', () => {
    const parser = new EventStreamParser();
    assert.deepEqual(parser.push('data: x\n'), []);
    assert.deepEqual(parser.push('\n'), ['x']);
  });

  test('a message at the limit passes, one beyond is refused, in one line or in many', () => {
    const fits = new EventStreamParser();
    const value = 'x'.repeat(MESSAGE_CHARACTERS_MAX - 6);
    assert.deepEqual(fits.push(`data: ${value}`), []);
    assert.deepEqual(fits.push('\n\n'), [value]);
    assert.throws(() => new EventStreamParser().push(`data: ${'x'.repeat(MESSAGE_CHARACTERS_MAX)}`), /too large/);
    const line = `data: ${'x'.repeat(1023)}\n`;
    assert.throws(() => new EventStreamParser().push(line.repeat(MESSAGE_CHARACTERS_MAX / 1024 + 1)), /too large/);
  });
});
