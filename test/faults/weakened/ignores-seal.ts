// The bug: a sealed stream counts as open. What lies beyond a seal stays in the store of whoever applied it.
import { NamespaceLog } from '#region/replicate/namespace-log';
import { patch } from './patch.ts';

patch(
  NamespaceLog.prototype,
  'standing',
  (real) =>
    function (this: NamespaceLog, stream) {
      const standing = real.call(this, stream);
      return standing.kind === 'sealed' ? { kind: 'open', epoch: standing.epoch } : standing;
    },
);
