import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ControlWord, chooseIncarnation, type PeerWord } from '#core/membership/incarnation-choice';
import {
  decodeMemberRecord,
  encodeMemberRecord,
  judgeByRecord,
  type MemberRecord,
} from '#core/membership/member-record';

const CONTROL: readonly ControlWord[] = ['silent', 'none', 'fits', 'closed', 'behind'];
const PEER: readonly PeerWord[] = ['whole', 'ahead', 'silent'];
const A = 'flights/0/us-east/00000000000000a1';
const B = 'flights/0/us-east/00000000000000b1';

test('over all words of two peers and the control store: kept only when nobody is ahead and enough have spoken', () => {
  for (const control of CONTROL)
    for (const first of PEER)
      for (const second of PEER)
        for (const known of [true, false])
          for (const patienceOver of [true, false]) {
            const peers = [first, second];
            const choice = chooseIncarnation({ known, control, peers, patienceOver });
            const said = JSON.stringify({ control, peers, known, patienceOver, choice });
            if (choice === 'keep') {
              assert.ok(known && !peers.includes('ahead') && control !== 'behind' && control !== 'silent', said);
              assert.ok(control === 'closed' || !peers.includes('silent'), said);
            } else if (choice === 'mint') assert.ok(!peers.includes('silent') || control !== 'silent', said);
            else assert.ok(peers.includes('silent') && (control === 'silent' || !patienceOver), said);
          }
});

test('one that can be kept is kept, and a wait ends with the peers or with the control store', () => {
  const choose = (control: ControlWord, peers: readonly PeerWord[], patienceOver = false): string =>
    chooseIncarnation({ known: true, control, peers, patienceOver });
  assert.equal(choose('fits', ['whole', 'whole']), 'keep');
  assert.equal(choose('none', ['whole', 'whole']), 'keep');
  assert.equal(choose('closed', ['silent', 'silent']), 'keep');
  assert.equal(choose('closed', ['silent', 'ahead']), 'wait');
  assert.equal(choose('closed', ['silent', 'ahead'], true), 'mint');
  assert.equal(choose('silent', ['whole', 'whole']), 'mint');
  assert.equal(choose('fits', ['whole', 'silent']), 'wait');
  assert.equal(choose('fits', ['whole', 'silent'], true), 'mint');
  assert.equal(choose('silent', ['whole', 'silent'], true), 'wait');
  assert.equal(choose('none', []), 'keep');
});

test('the record tells a shorter log, another log and a later incarnation', () => {
  const record: MemberRecord = {
    namespace: 'flights',
    region: 'us-east',
    partitions: 1,
    life: 2,
    session: 's',
    streams: [A],
    ends: { [A]: { seq: 5, hash: 'h5' } },
    clock: { wallMs: 7, counter: 1 },
    closed: true,
  };
  assert.deepEqual(decodeMemberRecord(encodeMemberRecord(record)), record);
  const own = { partitions: 1, life: 2, streams: [A] };
  const holds = (seq: number) => () => ({ seq, hashAt: (at: number) => (at <= seq ? `h${at}` : undefined) });
  assert.equal(judgeByRecord(record, own, holds(5)), 'closed');
  assert.equal(judgeByRecord(record, own, holds(6)), 'fits');
  assert.equal(judgeByRecord(record, own, holds(4)), 'behind');
  assert.equal(
    judgeByRecord(record, own, () => ({ seq: 5, hashAt: () => 'other' })),
    'behind',
  );
  assert.equal(judgeByRecord({ ...record, closed: false }, own, holds(5)), 'fits');
  assert.equal(judgeByRecord({ ...record, streams: [B], ends: {}, life: 3 }, own, holds(5)), 'behind');
  assert.equal(judgeByRecord({ ...record, streams: [B], ends: {}, life: 2 }, own, holds(5)), 'behind');
  // Minted while the control store was away: the journal knows more than the record.
  assert.equal(judgeByRecord({ ...record, streams: [B], ends: {}, life: 1 }, own, holds(5)), 'fits');
});
