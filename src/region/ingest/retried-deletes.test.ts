import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError, type ErrorCode } from '#core/errors';
import type { IngestChange } from '#region/engine-api';
import { assertNotTriedElsewhere } from '#region/ingest/retried-deletes';
import { LiveStreams } from '#region/replicate/live-streams';
import type { Peers } from '#region/replicate/peers';
import { TEST_VIEW } from '#region/testing/in-process.fixture';

const codec = new ViewCodec(TEST_VIEW);
const DELETE: IngestChange = { operation: 'delete', eventTimeUs: 1, key: codec.encodeKey(['A']), row: Buffer.alloc(0) };
const UPSERT: IngestChange = { ...DELETE, operation: 'upsert', row: codec.encodeRow([0.5, 1n]) };

interface Situation {
  readonly changes?: readonly IngestChange[];
  /** Of each other member: whether it knows the key, or why it does not say. */
  readonly words: Readonly<Record<string, boolean | ErrorCode>>;
  /** Whether this region lacks the write, each time it looks. */
  readonly lacks: readonly boolean[];
  readonly leased?: boolean;
}

/** Asks; answers with the members that were asked. */
async function ask({ changes = [DELETE], words, lacks, leased = false }: Situation): Promise<string[]> {
  const asked: string[] = [];
  const looks = [...lacks];
  const request = (peer: string, name: string, body: unknown) => {
    assert.deepEqual([name, body], ['knowsKey', { namespace: 'flights', view: TEST_VIEW.name, key: 'k' }]);
    asked.push(peer);
    const word = words[peer];
    return typeof word === 'string'
      ? Promise.reject(new AntipodeError(word, 'away'))
      : Promise.resolve({ answer: { known: word }, blob: Buffer.alloc(0) });
  };
  await assertNotTriedElsewhere({
    log: { namespace: 'flights', live: leased ? undefined : new LiveStreams(['us-east', ...Object.keys(words)]) },
    writer: { lacks: () => looks.shift() ?? assert.fail('looked too often') },
    peers: { names: Object.keys(words), request } as unknown as Peers,
    codec,
    changes,
    key: 'k',
  });
  return asked;
}

const unknown = (text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AntipodeError);
  assert.equal(error.code, 'OUTCOME_UNKNOWN');
  assert.match(error.message, text);
  return true;
};

test('a retried delete waits for the word of every other member', async () => {
  assert.deepEqual(await ask({ words: { a: false, b: false }, lacks: [true] }), ['a', 'b']);
  await assert.rejects(ask({ words: { a: false, b: true }, lacks: [true, true] }), unknown(/: b has accepted it/));
  for (const code of ['PEER_UNAVAILABLE', 'PEER_TIMEOUT', 'NOT_HOLDER'] as const)
    await assert.rejects(ask({ words: { a: code, b: false }, lacks: [true, true] }), unknown(/: a may have/));
  // It arrived while the others were asked: the writer will know it.
  assert.deepEqual(await ask({ words: { a: true, b: 'PEER_TIMEOUT' }, lacks: [true, false] }), ['a', 'b']);
});

test('nobody is asked about what is known here, what merge makes one of, or where one region accepts', async () => {
  const words = { a: true, b: true };
  assert.deepEqual(await ask({ words, lacks: [false] }), []);
  assert.deepEqual(await ask({ words, lacks: [], changes: [UPSERT] }), []);
  assert.deepEqual(await ask({ words, lacks: [], leased: true }), []);
  await assert.rejects(ask({ words, lacks: [true, true], changes: [UPSERT, DELETE] }), unknown(/a has .*; b has/));
});
