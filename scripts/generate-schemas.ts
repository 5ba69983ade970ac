// Writes schemas/*.schema.json from the code that validates. Run it after a change of the configuration:
//   node --conditions=antipode-source scripts/generate-schemas.ts
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jsonSchemas } from '#adapters/project-files/json-schemas';

const folder = join(import.meta.dirname, '..', 'schemas');
mkdirSync(folder, { recursive: true });
for (const [name, text] of jsonSchemas()) writeFileSync(join(folder, name), text);
