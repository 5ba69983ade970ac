/** Writes the dashboard as browsers get it to dist/web, for the package. Run: node --conditions=antipode-source web/dev/build.ts */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { readPageFiles } from '#server/dashboard/assets';

const source = new URL('../', import.meta.url);
const target = new URL('../../dist/web/', import.meta.url);

rmSync(target, { recursive: true, force: true });
for (const [path, text] of readPageFiles(source)) {
  const file = new URL(path, target);
  mkdirSync(new URL('./', file), { recursive: true });
  writeFileSync(file, text);
}
