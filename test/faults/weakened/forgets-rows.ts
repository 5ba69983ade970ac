// The bug: a region counts every fifth row of another region's streams as applied, and does not apply it.
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { parseStreamKey } from '#core/model/stream';
import { patch } from './patch.ts';

const EVERY = 5;
// `run-region us --project …`
const region = process.argv[process.argv.indexOf('run-region') + 1];
let seen = 0;

patch(
  KvOnlineStore.prototype,
  'apply',
  (real) =>
    function (this: KvOnlineStore, batch, merge, after) {
      const own = [...batch.checkpoints.keys()].some((stream) => parseStreamKey(stream)?.origin === region);
      const places = [...batch.rows.keys()].filter(() => own || ++seen % EVERY !== 0);
      const rows = batch.rows.filter((_, place) => places.includes(place));
      const decide: typeof merge = (key, stored, incoming, index) =>
        merge(key, stored, incoming, places[index] as number);
      return real.call(this, { ...batch, rows }, decide, after);
    },
);
