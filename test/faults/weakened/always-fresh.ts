// The bug: freshness is taken from the wall clock, not from what origins said. A region that is cut off calls itself fresh.
import { Applier } from '#region/apply/applier';
import { patch } from './patch.ts';

patch(
  Applier.prototype,
  'watermarkMs',
  (real) =>
    function (this: Applier, stream) {
      return real.call(this, stream) === null ? null : Date.now();
    },
);
