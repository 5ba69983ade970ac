import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamStanding } from '#core/failover/lease';
import { coverOf, judgeSeen, shownBy } from '#core/model/seen';
import { decodeToken, encodeToken, mergeTokens, type SessionToken } from '#core/model/session-token';

const OLD = 'flights/0/us-east/00000000000000a1';
const NEW = 'flights/0/eu-west/00000000000000b1';
const TOKEN: SessionToken = {
  hlc: { wallMs: 1_750_000_000_123, counter: 7 },
  namespaces: { flights: { epoch: 2, streams: { [NEW]: 12 } } },
};

test('a token is base64url of canonical JSON and comes back as it was', () => {
  const text = encodeToken(TOKEN);
  assert.match(text, /^[\w-]+$/);
  assert.equal(
    Buffer.from(text, 'base64url').toString('utf8'),
    `{"h":[1750000000123,7],"n":{"flights":{"e":2,"s":{"${NEW}":12}}}}`,
  );
  assert.deepEqual(decodeToken(text), TOKEN);
});

test('what no region gave out is refused', () => {
  const forms = ['x', '%%%', Buffer.from('{}').toString('base64url'), 'A'.repeat(9000)];
  const negative = { ...TOKEN, namespaces: { flights: { epoch: 2, streams: { [NEW]: -1 } } } };
  for (const text of [...forms, encodeToken(negative)])
    assert.throws(() => decodeToken(text), { code: 'REQUEST_MALFORMED' }, text.slice(0, 20));
});

test('a merged token asks for what both ask for', () => {
  const other: SessionToken = {
    hlc: { wallMs: 1_750_000_000_123, counter: 9 },
    namespaces: { flights: { epoch: 1, streams: { [NEW]: 3, [OLD]: 5 } }, weather: { epoch: 1, streams: {} } },
  };
  const merged = {
    hlc: other.hlc,
    namespaces: { flights: { epoch: 2, streams: { [NEW]: 12, [OLD]: 5 } }, weather: { epoch: 1, streams: {} } },
  };
  assert.deepEqual(mergeTokens(TOKEN, other), merged);
  assert.deepEqual(mergeTokens(other, TOKEN), merged);
});

/** A store in epoch 2 of a namespace whose first epoch was sealed at 10. */
function store(applied: Readonly<Record<string, number>>) {
  const standings: Readonly<Record<string, StreamStanding>> = {
    [OLD]: { kind: 'sealed', epoch: 1, seal: 10 },
    [NEW]: { kind: 'open', epoch: 2 },
  };
  const state = {
    standing: (stream: string): StreamStanding => standings[stream] ?? { kind: 'unknown' },
    applied: (stream: string) => applied[stream] ?? 0,
  };
  return { state, applied, shown: shownBy({ epoch: 2, streams: [OLD, NEW], ...state }) };
}

test('a session is shown, behind or lost', () => {
  const kindOf = (applied: Record<string, number>, epoch: number, streams: Record<string, number>) => {
    const { shown, state } = store(applied);
    return judgeSeen({ epoch, streams }, shown, state).kind;
  };
  const whole = { [OLD]: 10, [NEW]: 4 };
  assert.equal(kindOf(whole, 2, { [NEW]: 4, [OLD]: 10 }), 'shown');
  assert.equal(kindOf(whole, 0, { [NEW]: 5 }), 'behind');
  assert.equal(kindOf(whole, 3, {}), 'behind', 'a later epoch than is known here');
  assert.equal(kindOf({ [OLD]: 9, [NEW]: 4 }, 2, { [NEW]: 4 }), 'behind', 'the closed epoch is not complete here');
  assert.equal(kindOf(whole, 0, { [OLD]: 11 }), 'lost');
  assert.equal(kindOf(whole, 0, { 'flights/0/us-east/00000000000000c1': 1 }), 'behind', 'a stream not heard of yet');
});

test('a cover lists what the epoch does not say, and forgets nothing that the session saw', () => {
  const { shown, applied } = store({ [OLD]: 10, [NEW]: 4 });
  assert.deepEqual(coverOf(shown, Object.entries(applied), undefined), { epoch: 2, streams: { [NEW]: 4 } });
  const before = { epoch: 1, streams: { [OLD]: 8, [NEW]: 6 } };
  assert.deepEqual(coverOf(shown, Object.entries(applied), before), { epoch: 2, streams: { [NEW]: 6 } });
  const lost = { epoch: 0, streams: { [OLD]: 12 } };
  assert.deepEqual(coverOf(shown, Object.entries(applied), lost), { epoch: 2, streams: { [OLD]: 12, [NEW]: 4 } });
  const partly = store({ [OLD]: 9, [NEW]: 4 });
  assert.deepEqual(coverOf(partly.shown, Object.entries(partly.applied), undefined), {
    epoch: 1,
    streams: { [OLD]: 9, [NEW]: 4 },
  });
});
