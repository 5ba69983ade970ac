// Runs a file of this repository on the Node that it is developed with, with internal imports resolved to src:
//
//   node scripts/node.js scripts/test.ts unit
//
// The npm scripts go through here and not through node_modules/.bin/node, because npm 10 removes that link again while
// it skips the Node of the other platform.
import { dirname } from 'node:path';
import { bundledNode, failUnsupported, isSupported, replaceWith, SOURCE_CONDITION } from '../bin/runtime.js';

const node = bundledNode() ?? (isSupported ? process.execPath : failUnsupported());
const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH ?? ''}` };
replaceWith(node, [SOURCE_CONDITION, ...process.argv.slice(2)], env);
