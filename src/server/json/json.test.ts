import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { FeatureValue, ScalarType } from '#core/model/feature-view';
import { JsonSyntaxError, readJson, reservedKey } from '#server/json/read-json';
import { valueWriter } from '#server/json/value-writer';

const read = (text: string): unknown => readJson(Buffer.from(text));

suite('reading JSON', () => {
  test('integers beyond 2^53 become bigints, all other numbers stay numbers', () => {
    assert.deepEqual(read('{"a":[9007199254740993,-9007199254740993,1,1.5,9007199254740991]}'), {
      a: [9007199254740993n, -9007199254740993n, 1, 1.5, 9007199254740991],
    });
    assert.deepEqual(read('[ 9223372036854775807 ]'), [9223372036854775807n]);
    assert.deepEqual(
      read('[1e300,0.1234567890123456789,12345678901234567.5]'),
      [1e300, 0.12345678901234568, 12345678901234568],
    );
    assert.deepEqual(read('["9007199254740993"," 9007199254740993 "]'), ['9007199254740993', ' 9007199254740993 ']);
  });

  test('every integer of 64 bits survives', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
        const [got] = read(`[${value}]`) as [number | bigint];
        assert.equal(BigInt(got), value);
      }),
    );
  });

  test('a byte order mark is passed over', () => {
    assert.deepEqual(read('\ufeff{"a":1}'), { a: 1 });
  });

  test('what is not JSON is refused with its position', () => {
    for (const text of ['', '{', '{"a":}', 'NaN', '[1,]', "{'a':1}", 'Infinity', '{"a":1}x']) {
      assert.throws(() => read(text), JsonSyntaxError, text);
    }
    assert.throws(
      () => read('{"a":1}x'),
      (error: unknown) => error instanceof JsonSyntaxError && error.position === 7,
    );
    assert.throws(() => readJson(Buffer.from([0x22, 0xff, 0x22])), JsonSyntaxError);
  });

  test('depth neither crashes the parser nor the reviver', () => {
    const depth = 200_000;
    assert.ok(Array.isArray(read('['.repeat(depth) + ']'.repeat(depth))));
    assert.throws(() => read(`${'['.repeat(depth)}1234567890123456789${']'.repeat(depth)}`), JsonSyntaxError);
  });

  test('__proto__ in a body is a key like any other and is reported', () => {
    const parsed = read('{"__proto__":{"polluted":true},"a":12345678901234567890}') as Record<string, unknown>;
    assert.equal(reservedKey(parsed), '__proto__');
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
    assert.equal(reservedKey({ a: 1 }), undefined);
  });
});

suite('writing values', () => {
  const write = (scalar: ScalarType, value: FeatureValue, list = false): string => valueWriter({ scalar, list })(value);

  test('the form of every type', () => {
    assert.equal(write('int32', -5), '-5');
    assert.equal(write('int64', 9007199254740993n), '9007199254740993');
    assert.equal(write('int64', -(1n << 63n)), '-9223372036854775808');
    assert.equal(write('float32', Math.fround(0.1)), '0.10000000149011612');
    assert.equal(write('float64', 0.1), '0.1');
    assert.equal(write('float64', 1), '1.0');
    assert.equal(write('float64', -0), '-0.0');
    assert.equal(write('float64', 0), '0.0');
    assert.equal(write('float64', 1e20), '100000000000000000000.0');
    assert.equal(write('float64', 1e21), '1e+21');
    assert.equal(write('float64', 5e-324), '5e-324');
    assert.equal(write('float64', Number.NaN), 'null');
    assert.equal(write('float32', 16777216), '16777216.0');
    assert.equal(write('bool', true), 'true');
    assert.equal(write('string', 'a"\u2028\n'), '"a\\"\u2028\\n"');
    assert.equal(write('bytes', new Uint8Array([0, 1])), '"AAE="');
    assert.equal(write('timestamp', 1_785_664_800_999_999), '1785664800');
    assert.equal(write('timestamp', -1), '-1');
    assert.equal(write('int64', null), 'null');
  });

  test('lists', () => {
    assert.equal(write('float32', [1, 2.5], true), '[1.0,2.5]');
    assert.equal(write('float64', [1, Number.NaN], true), 'null');
    assert.equal(write('int64', [1n, 2n], true), '[1,2]');
    assert.equal(write('bytes', [new Uint8Array([255])], true), '["/w=="]');
    assert.equal(write('string', [], true), '[]');
    assert.equal(write('string', null, true), 'null');
  });

  test('a float always reads back as itself and always looks like one', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = write('float64', value);
        assert.match(text, /[.e]/);
        assert.ok(Object.is(JSON.parse(text), value));
      }),
    );
  });
});
