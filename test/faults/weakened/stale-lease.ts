// The bug: a hub never looks at its lease again. It goes on accepting under the grant it once had, whatever the clock and
// the control store say.
import { Authority } from '#region/failover/authority';
import type { AppendGrant } from '#region/ingest/holder-gate';
import { NamespaceLog } from '#region/replicate/namespace-log';
import { patch } from './patch.ts';

const grants = new WeakMap<Authority, AppendGrant>();
let accepted = false;

patch(
  Authority.prototype,
  'appendable',
  (real) =>
    function (this: Authority) {
      const grant = grants.get(this) ?? real.call(this);
      if (grant !== undefined) {
        grants.set(this, grant);
        accepted = true;
      }
      return grant;
    },
);
patch(
  NamespaceLog.prototype,
  'adopt',
  (real) =>
    function (this: NamespaceLog, lease) {
      const epoch = this.lease?.record.epoch ?? lease.record.epoch;
      return accepted && lease.record.epoch !== epoch ? false : real.call(this, lease);
    },
);
