import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from './exit-codes.ts';
import { consistencyHeaders } from './read-options.ts';

test('options of consistency are the headers that a face reads', () => {
  assert.deepEqual(consistencyHeaders({}), {});
  assert.deepEqual(
    consistencyHeaders({
      consistency: 'bounded',
      session: 'abc',
      maxStaleness: '2s',
      fallback: 'stale',
      latencyBudget: '50ms',
    }),
    {
      'antipode-consistency': 'bounded',
      'antipode-session': 'abc',
      'antipode-max-staleness-ms': '2000',
      'antipode-fallback': 'stale',
      'antipode-latency-budget-ms': '50',
    },
  );
  assert.deepEqual(consistencyHeaders({ session: true }), { 'antipode-session': '' });
});

test('anything else is told', () => {
  for (const options of [{ consistency: 'exact' }, { maxStaleness: '2' }, { fallback: 'x' }, { latencyBudget: 'soon' }])
    assert.throws(() => consistencyHeaders(options), UsageError);
});
