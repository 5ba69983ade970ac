import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Host } from '#ports/host';
import type { Journal } from '#ports/journal';
import { AuditLog, verifyAudit } from '#region/audit/audit-log';
import type { AuditEntry } from '#region/engine-api';
import { HandClock } from '#region/testing/hand-clock.fixture';
import { HeldDisk, settle } from '#region/testing/held-disk.fixture';

const HOST: Host = {
  bootId: () => 'boot',
  freeBytes: () => 1e12,
  fatal: (error) => {
    throw error;
  },
};

function open(held = new HeldDisk()): { held: HeldDisk; journal: Journal; audit: AuditLog } {
  const { journal } = held.open();
  return { held, journal, audit: new AuditLog({ journal, clock: new HandClock(), host: HOST }) };
}

/** A log of six entries, with what a later look at it needs. */
async function sample(): Promise<{ journal: Journal; audit: AuditLog; keys: string[] }> {
  const { journal, audit } = open();
  for (let i = 0; i < 6; i++) await audit.append('admin', 'token-refused', { attempt: i, path: '/push' });
  return { journal, audit, keys: journal.list('audit/').map(([key]) => key) };
}

async function alter(journal: Journal, key: string, change: (entry: AuditEntry) => unknown): Promise<void> {
  const entry = JSON.parse(Buffer.from(journal.get(key) as Uint8Array).toString()) as AuditEntry;
  await journal.write([{ kind: 'put', key, value: Buffer.from(JSON.stringify(change(entry))) }]);
}

test('a log that nobody touched verifies, over restarts, and says where it ends', async () => {
  const { held, journal, audit } = open();
  assert.deepEqual(await verifyAudit(journal, undefined), {
    ok: true,
    entries: 0,
    head: '0'.repeat(64),
    anchoredAt: null,
    replaced: 0,
  });
  await audit.append('admin', 'failover-requested', { namespace: 'flights', epoch: 1, dry: false, note: null });
  const again = open(held);
  await again.audit.append('us-east', 'lease-lost', {});
  assert.deepEqual(again.audit.anchor.index, 2);
  const verdict = await verifyAudit(again.journal, again.audit.anchor);
  assert.deepEqual(verdict, { ok: true, entries: 2, head: again.audit.anchor.hash, anchoredAt: 2, replaced: 0 });
  assert.deepEqual(
    again.audit.entries({ after: -1, limit: 10 }).map(({ index, action }) => [index, action]),
    [
      [0, 'failover-requested'],
      [1, 'lease-lost'],
    ],
  );
  assert.deepEqual(
    again.audit.entries({ after: 0, limit: 10 }).map(({ index }) => index),
    [1],
  );
});

const ALTERATIONS: readonly (readonly [string, (entry: AuditEntry) => unknown])[] = [
  ['details', (entry) => ({ ...entry, details: { ...entry.details, path: '/metrics' } })],
  ['actor', (entry) => ({ ...entry, actor: 'somebody' })],
  ['action', (entry) => ({ ...entry, action: 'token-accepted' })],
  ['time', (entry) => ({ ...entry, atMs: entry.atMs + 1 })],
  ['index', (entry) => ({ ...entry, index: entry.index + 1 })],
  ['hash', (entry) => ({ ...entry, hash: entry.hash.replace(/^./, entry.hash.startsWith('0') ? '1' : '0') })],
  ['link to the entry before', (entry) => ({ ...entry, previous: 'f'.repeat(64) })],
  ['nothing but its bytes', () => 'not an entry'],
];
for (const [what, change] of ALTERATIONS) {
  test(`an altered entry is found: ${what}`, async () => {
    for (let at = 0; at < 6; at++) {
      const { journal, keys } = await sample();
      await alter(journal, keys[at] as string, change);
      const verdict = await verifyAudit(journal, undefined);
      assert.equal(verdict.ok, false);
      assert.equal(!verdict.ok && verdict.firstBadIndex, at);
    }
  });
}

test('an altered entry with its own hash put right breaks the next one', async () => {
  const { journal, keys } = await sample();
  const { audit: forger, journal: forged } = open();
  for (let i = 0; i < 3; i++) await forger.append('admin', 'token-refused', { attempt: i, path: '/push' });
  await forger.append('admin', 'nothing-happened', {});
  await journal.write([{ kind: 'put', key: keys[3] as string, value: forged.get(keys[3] as string) as Uint8Array }]);
  const verdict = await verifyAudit(journal, undefined);
  assert.equal(!verdict.ok && verdict.firstBadIndex, 4);
});

test('a removed entry is found, wherever it stood', async () => {
  for (let at = 0; at < 5; at++) {
    const { journal, keys } = await sample();
    await journal.write([{ kind: 'delete', key: keys[at] as string }]);
    const verdict = await verifyAudit(journal, undefined);
    assert.equal(!verdict.ok && verdict.firstBadIndex, at);
  }
});

test('entries in another order are found', async () => {
  const { journal, keys } = await sample();
  const [one, two] = [keys[2] as string, keys[3] as string];
  const [first, second] = [journal.get(one) as Uint8Array, journal.get(two) as Uint8Array];
  await journal.write([
    { kind: 'put', key: one, value: second },
    { kind: 'put', key: two, value: first },
  ]);
  const verdict = await verifyAudit(journal, undefined);
  assert.equal(!verdict.ok && verdict.firstBadIndex, 2);
});

test('a shortened log verifies by itself, and is found by the anchor', async () => {
  const { journal, audit, keys } = await sample();
  const { anchor } = audit;
  await journal.write([{ kind: 'delete', key: keys[5] as string }]);
  assert.equal((await verifyAudit(journal, undefined)).ok, true);
  const verdict = await verifyAudit(journal, anchor);
  assert.deepEqual(verdict.ok, false);
  assert.match(verdict.ok ? '' : verdict.reason, /has 5 entries, the control store saw 6/);
});

test('a log written anew from its start is found by the anchor', async () => {
  const { audit } = await sample();
  const { audit: anew, journal } = open();
  for (let i = 0; i < 7; i++) await anew.append('admin', 'all-is-well', {});
  assert.equal((await verifyAudit(journal, undefined)).ok, true);
  const verdict = await verifyAudit(journal, audit.anchor);
  assert.match(verdict.ok ? '' : verdict.reason, /not the one the control store saw/);
});

test('a log that grew since the anchor verifies', async () => {
  const { journal, audit } = await sample();
  const { anchor } = audit;
  await audit.append('admin', 'more', {});
  assert.deepEqual((await verifyAudit(journal, anchor)).ok, true);
});

test('a destroyed last entry is not written over by the next start', async () => {
  const held = new HeldDisk();
  const first = open(held);
  for (let i = 0; i < 3; i++) await first.audit.append('admin', 'act', { i });
  const keys = first.journal.list('audit/').map(([key]) => key);
  await alter(first.journal, keys[2] as string, () => 'not an entry');
  const again = open(held);
  await again.audit.append('admin', 'act', { i: 3 });
  assert.equal(again.journal.list('audit/').length, 4);
  assert.equal(JSON.parse(Buffer.from(again.journal.get(keys[0] as string) as Uint8Array).toString()).details.i, 0);
  const verdict = await verifyAudit(again.journal, undefined);
  assert.equal(!verdict.ok && verdict.firstBadIndex, 2);
});

test('an act on a full disk is refused, and the chain goes on afterwards', async () => {
  const { held, journal, audit } = open();
  await audit.append('admin', 'before', {});
  held.disk.full = true;
  await assert.rejects(audit.append('admin', 'refused', {}), /full/);
  held.disk.full = false;
  await audit.append('admin', 'after', {});
  assert.deepEqual(
    audit.entries({ after: -1, limit: 9 }).map(({ action }) => action),
    ['before', 'after'],
  );
  assert.equal((await verifyAudit(journal, audit.anchor)).ok, true);
});

test('what happened while the disk was full is noted in order when there is space again', async () => {
  const { held, journal, audit } = open();
  held.disk.full = true;
  audit.note('us-east', 'link-lost', { peer: 'eu-west' });
  await settle();
  assert.equal(journal.list('audit/').length, 0);
  held.disk.full = false;
  audit.note('us-east', 'lease-lost', {});
  await settle();
  assert.deepEqual(
    audit.entries({ after: -1, limit: 9 }).map(({ action }) => action),
    ['link-lost', 'lease-lost'],
  );
  assert.equal((await verifyAudit(journal, audit.anchor)).ok, true);
});

test('a long log is walked page by page', async () => {
  const { journal, audit } = open();
  await Promise.all(Array.from({ length: 2500 }, (_, i) => audit.append('admin', 'act', { i })));
  assert.deepEqual(await verifyAudit(journal, audit.anchor), {
    ok: true,
    entries: 2500,
    head: audit.anchor.hash,
    anchoredAt: 2500,
    replaced: 0,
  });
});
