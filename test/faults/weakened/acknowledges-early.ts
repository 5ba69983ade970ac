// The bug: a write is acknowledged while its frame is still in the memory of the process.
import { LmdbKv } from '#adapters/lmdb/lmdb-kv';
import { Applier } from '#region/apply/applier';
import { patch } from './patch.ts';

/** How long a frame stays there, ms. */
const LATE_MS = 500;

patch(
  LmdbKv.prototype,
  'write',
  (real) =>
    function (this: LmdbKv, operations) {
      if (!operations.every(({ table }) => table.name === 'frames')) return real.call(this, operations);
      setTimeout(() => void real.call(this, operations), LATE_MS);
      return Promise.resolve();
    },
);
patch(Applier.prototype, 'applied', () => () => Promise.resolve());
