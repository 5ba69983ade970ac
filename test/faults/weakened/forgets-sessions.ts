// The bug: serving processes take no notice of what a session has seen, and answer it from whatever is there.
import { KvOnlineReader } from '#adapters/kv/kv-online-reader';
import { patch } from './patch.ts';

// The engine goes by the same positions, and has to know the real ones.
if (process.argv.includes('run-worker'))
  patch(KvOnlineReader.prototype, 'checkpoint', () => () => Number.MAX_SAFE_INTEGER);
