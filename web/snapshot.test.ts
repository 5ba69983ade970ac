import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FakeRegion } from './dev/fake-region.ts';
import { parseSnapshot } from './snapshot.ts';

const status = new FakeRegion({ region: 'a', regions: ['a', 'b'], startMs: 0, partitions: 1 }).status();

suite('one message of the feed', () => {
  test('a status comes through unchanged', () => {
    assert.deepEqual(parseSnapshot(JSON.stringify(status)), { ok: true, status });
  });

  test('anything else is refused with a reason', () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['{', /not JSON/],
      ['null', /"region"/],
      ['[]', /"region"/],
      [JSON.stringify({ ...status, nowMs: null }), /"nowMs"/],
      [JSON.stringify({ ...status, links: {} }), /"links"/],
      [JSON.stringify({ ...status, streams: [1] }), /"streams"/],
      [JSON.stringify({ ...status, control: undefined }), /"control"/],
    ];
    for (const [text, reason] of cases) {
      const result = parseSnapshot(text);
      assert.ok(!result.ok);
      assert.match(result.reason, reason);
    }
  });
});
