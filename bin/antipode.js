#!/usr/bin/env node
// The launcher. In an installed package it loads dist/cli/main.js; in a source checkout src/cli/main.ts, which Node runs
// as it is. An unsupported Node hands over to the one that npm installed beside it, if any.
import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundledNode, fail, failUnsupported, isSupported, replaceWith, SOURCE_CONDITION } from './runtime.js';

const sourceMain = new URL('../src/cli/main.ts', import.meta.url);
const builtMain = new URL('../dist/cli/main.js', import.meta.url);
const inSource = existsSync(sourceMain);

function rerun(node, flags) {
  const self = realpathSync(fileURLToPath(import.meta.url));
  replaceWith(node, [...process.execArgv, ...flags, self, ...process.argv.slice(2)]);
}

/** Whether this process already resolves `#layer/...` to src. */
function readsSource() {
  return import.meta.resolve('#cli/main').endsWith('.ts');
}

if (!inSource && !existsSync(builtMain)) {
  fail('neither src/cli/main.ts nor dist/cli/main.js is there. In a checkout run `npm run build`; else reinstall.');
} else if (!isSupported) {
  const node = bundledNode();
  if (node === undefined) failUnsupported();
  else rerun(node, inSource ? [SOURCE_CONDITION] : []);
} else if (inSource && !readsSource()) {
  rerun(process.execPath, [SOURCE_CONDITION]);
} else {
  // A failure to load is the program's own fault: let Node print it with its stack.
  await import((inSource ? sourceMain : builtMain).href);
}
