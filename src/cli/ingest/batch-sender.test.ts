import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AntipodeError, type ErrorCode } from '#core/errors';
import type { IngestResult } from '#region/engine-api';
import type { RegionClient } from '../region-client.ts';
import { BatchSender } from './batch-sender.ts';

const request = { view: 'v', batch: Buffer.from('batch'), idempotencyKey: 'key' };

/** A region that answers from a script: an error code, or the hub that accepts. */
function region(name: string, script: (ErrorCode | { readonly hub: string })[], calls: string[]): RegionClient {
  const ingest = async (sent: typeof request & { retried: boolean }): Promise<IngestResult> => {
    assert.equal(sent.idempotencyKey, 'key');
    calls.push(sent.retried ? `${name} again` : name);
    const next = script.shift();
    if (next === undefined) throw new Error(`${name} was asked too often`);
    if (typeof next === 'string') throw new AntipodeError(next, `${name} says ${next}`);
    return {
      accepted: 1,
      quarantined: [],
      duplicate: false,
      hub: next.hub,
      positions: {},
      durableIn: [],
      epoch: 1,
      hlc: { wallMs: 1, counter: 0 },
    };
  };
  return { region: name, url: '', ingest } as unknown as RegionClient;
}

test('an outcome that is unknown is settled under the same key at the next region', async () => {
  const calls: string[] = [];
  const retried: string[] = [];
  const sender = new BatchSender({
    clients: [
      region('a', ['OUTCOME_UNKNOWN'], calls),
      region('b', ['NO_HUB'], calls),
      region('c', [{ hub: 'c' }], calls),
    ],
    retryMsMax: 5_000,
    onRetry: (error, name) => retried.push(`${name} ${error.code}`),
  });
  const sent = await sender.send(request);
  assert.deepEqual([sent.region, sent.retries, calls], ['c', 2, ['a', 'b again', 'c again']]);
  assert.deepEqual(retried, ['a OUTCOME_UNKNOWN', 'b NO_HUB']);
});

test('once known, the hub is asked first', async () => {
  const calls: string[] = [];
  const sender = new BatchSender({
    clients: [region('a', [{ hub: 'b' }], calls), region('b', [{ hub: 'b' }, { hub: 'b' }], calls)],
    retryMsMax: 5_000,
  });
  for (let i = 0; i < 3; i++) await sender.send(request);
  assert.deepEqual(calls, ['a', 'b', 'b']);
});

test('a busy region is asked again itself, a refusal is not repeated', async () => {
  const calls: string[] = [];
  const busy = new BatchSender({
    clients: [region('a', ['OVERLOADED', { hub: 'a' }], calls), region('b', [], calls)],
    retryMsMax: 5_000,
  });
  await busy.send(request);
  assert.deepEqual(calls, ['a', 'a']);
  const refused = new BatchSender({ clients: [region('a', ['ROW_INVALID'], calls)], retryMsMax: 5_000 });
  await assert.rejects(refused.send(request), { code: 'ROW_INVALID' });
});

test('a batch is given up when its time is over, and without waiting when told to hurry', async () => {
  const sender = (retryMsMax: number) =>
    new BatchSender({ clients: [region('a', Array(100).fill('NO_HUB'), [])], retryMsMax });
  await assert.rejects(sender(120).send(request), { code: 'NO_HUB' });
  const hurry = new AbortController();
  const startedAtMs = performance.now();
  const sending = sender(60_000).send({ ...request, hurry: hurry.signal });
  setTimeout(() => hurry.abort(), 50);
  await assert.rejects(sending, { code: 'NO_HUB' });
  assert.ok(performance.now() - startedAtMs < 2_000);
});
