import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { jsonSchemas } from '#adapters/project-files/json-schemas';

const folder = join(import.meta.dirname, '../../../schemas');

test('the shipped JSON Schemas are those of the code', () => {
  const schemas = jsonSchemas();
  assert.deepEqual(readdirSync(folder).sort(), [...schemas.keys()].sort());
  for (const [name, text] of schemas) {
    const remedy = 'run: node --conditions=antipode-source scripts/generate-schemas.ts';
    assert.equal(readFileSync(join(folder, name), 'utf8'), text, `${name} is out of date; ${remedy}`);
  }
});
