import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatTimestamp, parseEventTime } from '#core/codec/value-time';
import { AntipodeError } from '#core/errors';

test('every accepted spelling of one instant gives the same microseconds', () => {
  for (const text of [
    '2026-08-02 10:00:00+00:00',
    '2026-08-02T10:00:00Z',
    '2026-08-02T10:00:00',
    '2026-08-02T10:00',
    '2026-08-02 12:00:00+02:00',
    '2026-08-02 12:00:00+0200',
    '2026-08-02 12:00:00+02',
    '2026-08-02 05:30:00-04:30',
    '2026-08-02T10:00:00.000000000Z',
    '2026-08-02 10:00:00 +00:00',
    '2026-08-02t10:00:00z',
  ]) {
    assert.equal(parseEventTime(text), 1785664800000000, text);
  }
  assert.equal(parseEventTime(1785664800), 1785664800000000);
  assert.equal(parseEventTime(1785664800n), 1785664800000000);
  assert.equal(parseEventTime('2026-08-02'), 1785628800000000);
});

test('fractions beyond microseconds are cut off', () => {
  assert.equal(parseEventTime('1970-01-01T00:00:00.123456999Z'), 123456);
  assert.equal(parseEventTime('1970-01-01T00:00:00.5'), 500000);
  assert.equal(parseEventTime('1969-12-31T23:59:59.999999Z'), -1);
  assert.equal(parseEventTime(1.000001), 1000001);
  assert.ok(Object.is(parseEventTime(-0), 0));
});

test('what is no point in time is refused', () => {
  for (const raw of [
    '',
    'now',
    '2026-02-30',
    '2026-13-01',
    '2026-00-10',
    '2026-08-02T24:00:00',
    '2026-08-02T10:60',
    '2026-08-02T10:00:60Z',
    '2026-08-02T10:00:00.1234567890Z',
    '2026-08-02T10:00:00+24:00',
    '2026-08-02T10:00:00+00:60',
    '26-08-02',
    '2026-8-2',
    '0001-01-01T00:00:00Z',
    '9999-12-31T00:00:00Z',
    '2026-08-02T10:00:00Z ',
    '1785664800',
    1785664800000,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1n << 80n,
    null,
    undefined,
    true,
    {},
    [],
    new Date(0),
    '2026-08-02T10:00:00'.repeat(10_000),
  ]) {
    assert.throws(
      () => parseEventTime(raw, 'row 7'),
      (error: unknown) =>
        error instanceof AntipodeError &&
        error.code === 'ROW_INVALID' &&
        error.where === 'row 7' &&
        error.message.length < 200,
    );
  }
});

test('format uses as few digits as the value needs', () => {
  assert.equal(formatTimestamp(1785664800000000), '2026-08-02T10:00:00Z');
  assert.equal(formatTimestamp(1785664800120000), '2026-08-02T10:00:00.120Z');
  assert.equal(formatTimestamp(1785664800000001), '2026-08-02T10:00:00.000001Z');
  assert.equal(formatTimestamp(-1), '1969-12-31T23:59:59.999999Z');
  assert.equal(formatTimestamp(0), '1970-01-01T00:00:00Z');
});

test('parse reads what format writes', () => {
  fc.assert(fc.property(fc.maxSafeInteger(), (us) => assert.equal(parseEventTime(formatTimestamp(us)), us)));
});

test('the text of a time is that of a Date, to the microsecond, whichever time came before', () => {
  const plain = (us: number): string => {
    const ms = Math.floor(us / 1000);
    const iso = new Date(ms).toISOString();
    const micro = us - ms * 1000;
    if (micro !== 0) return `${iso.slice(0, -1)}${String(micro).padStart(3, '0')}Z`;
    return iso.endsWith('.000Z') ? `${iso.slice(0, -5)}Z` : iso;
  };
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.constantFrom(1, 1000, 1_000_000), (drawn, unit) => {
      const us = drawn - (drawn % unit);
      assert.equal(formatTimestamp(us), plain(us));
    }),
  );
  for (const us of [0, -1, 86_399_999_999, 86_400_000_000, -86_400_000_000, -86_400_000_001])
    assert.equal(formatTimestamp(us), plain(us));
  for (const us of [Number.NaN, Number.POSITIVE_INFINITY, 9e18]) assert.throws(() => formatTimestamp(us), RangeError);
});
