import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ChangePlace, knows, type PlacedChange, relationOf } from '#region/apply/conflict-relation';

const US = 'flights/0/us-east/00000000000000a1';
const EU = 'flights/0/eu-west/00000000000000b1';
const AP = 'flights/0/ap-south/00000000000000c1';

function change(
  stream: string,
  seq: number,
  options: { applied?: Readonly<Record<string, number>> | null; replayedAt?: readonly ChangePlace[] } = {},
): PlacedChange {
  const applied = options.applied === null ? undefined : new Map(Object.entries(options.applied ?? {}));
  return { id: { stream, seq }, applied, replayedAt: options.replayedAt ?? [] };
}

test('changes of one stream follow each other, even where the vector of the stream itself lags behind', () => {
  const first = change(US, 4, { applied: { [US]: 2 } });
  const second = change(US, 5, { applied: { [US]: 2 } });
  assert.equal(relationOf(first, second), 'stored-first');
  assert.equal(relationOf(second, first), 'incoming-first');
  assert.equal(relationOf(change(US, 4, { applied: null }), change(US, 5, { applied: null })), 'stored-first');
});

test('a change that stands in the vector of another came first; the position itself counts', () => {
  const first = change(US, 4);
  assert.equal(relationOf(first, change(EU, 1, { applied: { [US]: 4 } })), 'stored-first');
  assert.equal(relationOf(change(EU, 1, { applied: { [US]: 5 } }), first), 'incoming-first');
  assert.equal(relationOf(first, change(EU, 1, { applied: { [US]: 3 } })), 'concurrent');
});

test('neither in the vector of the other: concurrent, also when both know of a third', () => {
  const applied = { [AP]: 7 };
  assert.equal(relationOf(change(US, 4, { applied }), change(EU, 1, { applied })), 'concurrent');
});

test('who applied a change where it was replayed knows of it', () => {
  const replayed = change(US, 12, { replayedAt: [{ stream: EU, seq: 3 }] });
  // The next hub knows nothing of the tail itself.
  assert.equal(relationOf(replayed, change(AP, 1, { applied: { [US]: 10, [EU]: 3 } })), 'stored-first');
  assert.equal(relationOf(replayed, change(AP, 1, { applied: { [US]: 10, [EU]: 2 } })), 'concurrent');
});

test('what a hub wrote after a replay knows of it, what it wrote before does not', () => {
  const replayed = change(US, 12, { applied: { [AP]: 5 }, replayedAt: [{ stream: EU, seq: 3 }] });
  assert.equal(relationOf(replayed, change(EU, 4, { applied: { [EU]: 1 } })), 'stored-first');
  assert.equal(relationOf(change(EU, 2, { applied: { [US]: 10 } }), replayed), 'concurrent');
});

test('without a vector the other one may still tell; otherwise it is undecidable', () => {
  const lost = change(US, 4, { applied: null });
  assert.equal(relationOf(lost, change(EU, 1, { applied: { [US]: 4 } })), 'stored-first');
  assert.equal(relationOf(lost, change(EU, 1, { applied: { [US]: 3 } })), 'undecidable');
  assert.equal(relationOf(change(EU, 1, { applied: { [US]: 3 } }), lost), 'undecidable');
  assert.equal(knows(lost, change(US, 5)), false);
  assert.equal(knows(lost, change(EU, 1)), undefined);
});
