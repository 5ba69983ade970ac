// The bug: idempotency keys are not kept, so that a repeated request is a new one.
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { patch } from './patch.ts';

patch(
  KvOnlineStore.prototype,
  'apply',
  (real) =>
    function (this: KvOnlineStore, batch, ...rest) {
      const records = new Map([...batch.records].filter(([key]) => !key.startsWith('idempotency/')));
      return real.call(this, { ...batch, records }, ...rest);
    },
);
