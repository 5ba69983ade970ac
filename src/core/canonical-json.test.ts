import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson, type JsonValue } from '#core/canonical-json';

test('keys are ordered by code unit at every depth, and nothing is spaced', () => {
  assert.equal(
    canonicalJson({ b: [2, { z: null, a: true }], B: 'x', '10': 1, '9': 2 }),
    '{"10":1,"9":2,"B":"x","b":[2,{"a":true,"z":null}]}',
  );
});

test('the text does not depend on the order in which a document was put together', () => {
  const document = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)));
  fc.assert(
    fc.property(document, (value) => {
      const backwards = Object.fromEntries(Object.entries(value).reverse());
      assert.equal(canonicalJson(backwards), canonicalJson(value));
    }),
  );
});

test('it is JSON: parsing gives the document back', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const plain = JSON.parse(JSON.stringify(value)) as JsonValue;
      assert.deepEqual(JSON.parse(canonicalJson(plain)), plain);
    }),
  );
});

test('a key named __proto__ is a key like any other', () => {
  const document = JSON.parse('{"__proto__":{"admin":true},"a":1}') as JsonValue;
  assert.equal(canonicalJson(document), '{"__proto__":{"admin":true},"a":1}');
});
