import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { AntipodeError } from '#core/errors';
import { decodeToken, encodeToken } from '#core/model/session-token';
import { DRIVERS, STREAM } from '#server/testing/fixtures';
import { startFace, type TestFace } from '#server/testing/test-face';

const BODY = { features: ['driver_stats:trips'], entities: { driver_id: [1001] } };

function token(streams: Record<string, number>, epoch = 0): string {
  return encodeToken({ hlc: { wallMs: 5, counter: 1 }, namespaces: { flights: { epoch, streams } } });
}

/** A face whose store holds one driver and is applied to 1201. */
function faceWithRow(...args: Parameters<typeof startFace>): TestFace {
  const face = startFace(...args);
  face.reader.positions.set(STREAM, 1201);
  face.reader.put(
    DRIVERS,
    [1001n],
    1_000_000,
    DRIVERS.features.map(() => null),
  );
  return face;
}

const read = (face: TestFace, headers: Record<string, string>) => face.post('/get-online-features', BODY, headers);

suite('consistency over HTTP', () => {
  test('a read without a word of it says nothing of it', async (t) => {
    const answer = await read(faceWithRow(t), {});
    assert.equal(answer.headers['antipode-consistency'], undefined);
    assert.equal(answer.headers['antipode-session'], undefined);
  });

  test('an empty session header begins a session; what the store shows is answered here', async (t) => {
    const face = faceWithRow(t);
    const first = await read(face, { 'antipode-session': '' });
    assert.equal(first.headers['antipode-consistency'], 'session');
    const given = decodeToken(String(first.headers['antipode-session']));
    assert.deepEqual(given.namespaces, { flights: { epoch: 3, streams: { [STREAM]: 1201 } } });
    assert.deepEqual(given.hlc, { wallMs: 1, counter: 0 }, 'the reading of the row that was read');
    const second = await read(face, { 'antipode-session': String(first.headers['antipode-session']) });
    assert.equal(second.status, 200);
    assert.deepEqual(face.engine.rowReads, []);
  });

  test('what the store does not show goes through the engine', async (t) => {
    const face = faceWithRow(t);
    const asked = token({ [STREAM]: 1250 });
    const answer = await read(face, { 'antipode-session': asked, 'antipode-latency-budget-ms': '70' });
    assert.equal(answer.headers['antipode-read-in'], 'us-east');
    assert.equal(answer.headers['antipode-freshness-ms'], '5');
    assert.equal(answer.headers['antipode-epoch'], '3');
    face.engine.answered = { ...face.engine.answered, epoch: 7, freshnessMs: null };
    const later = await read(face, { 'antipode-session': asked });
    assert.equal(later.headers['antipode-epoch'], '7', 'of the region that was read, not of this one');
    assert.equal(later.headers['antipode-freshness-ms'], undefined, 'what this region knows says nothing of them');
    face.engine.answered = { ...face.engine.answered, epoch: 3, freshnessMs: 5 };
    assert.deepEqual(decodeToken(String(answer.headers['antipode-session'])), {
      hlc: { wallMs: 5, counter: 1 },
      namespaces: { flights: { epoch: 3, streams: { [STREAM]: 1300 } } },
    });
    const [request] = face.engine.rowReads;
    assert.deepEqual(
      [request?.namespace, request?.level, request?.budgetMs, request?.fallback, request?.keys.length],
      ['flights', 'session', 70, 'forward', 1],
    );
    assert.deepEqual(request?.seen, { epoch: 0, streams: { [STREAM]: 1250 } });
    assert.equal((await read(face, { 'antipode-session': token({}, 4) })).headers['antipode-read-in'], 'us-east');
  });

  test('a bound counts what clocks may be apart; a strong read is always the engine’s', async (t) => {
    const face = faceWithRow(t);
    const loose = await read(face, { 'antipode-max-staleness-ms': '700' });
    assert.equal(loose.headers['antipode-consistency'], 'bounded');
    assert.equal(loose.headers['antipode-read-in'], undefined, 'fresh to 620 ms with the bound');
    await read(face, { 'antipode-max-staleness-ms': '600' });
    await read(face, { 'antipode-consistency': 'strong' });
    assert.deepEqual(
      face.engine.rowReads.map(({ level, maxStalenessMs }) => [level, maxStalenessMs]),
      [
        ['bounded', 600],
        ['strong', 10_000],
      ],
    );
  });

  test('a stale answer says so, and a refusal says when to come again', async (t) => {
    const face = faceWithRow(t);
    face.engine.answered = { ...face.engine.answered, stale: true, region: 'eu-west' };
    const stale = await read(face, { 'antipode-consistency': 'strong', 'antipode-fallback': 'stale' });
    assert.equal(stale.headers['antipode-stale'], 'true');
    assert.equal(stale.headers['antipode-consistency'], 'eventual');
    face.engine.failure = new AntipodeError('STALE_READ', 'too old');
    const refused = await read(face, { 'antipode-consistency': 'strong' });
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
    face.engine.failure = new AntipodeError('SESSION_LOST', 'gone');
    const lost = await read(face, { 'antipode-session': token({ [STREAM]: 9999 }) });
    assert.deepEqual([lost.status, lost.headers['antipode-error']], [409, 'SESSION_LOST']);
  });

  test('a store that is being rebuilt answers no session; another region may', async (t) => {
    const face = faceWithRow(t);
    face.reader.values.clear();
    assert.equal((await read(face, {})).status, 503);
    const answer = await read(face, { 'antipode-consistency': 'session' });
    assert.equal(answer.headers['antipode-read-in'], 'us-east');
  });

  test('headers that are none of their values are refused', async (t) => {
    const face = faceWithRow(t);
    const wrong: readonly Record<string, string>[] = [
      { 'antipode-consistency': 'exact' },
      { 'antipode-max-staleness-ms': '-1' },
      { 'antipode-fallback': 'never' },
      { 'antipode-latency-budget-ms': '60000' },
      { 'antipode-session': 'garbage' },
    ];
    for (const headers of wrong) assert.equal((await read(face, headers)).status, 422, JSON.stringify(headers));
  });

  test('a write carries the clock reading of its session, and gives a token that covers it', async (t) => {
    const face = faceWithRow(t);
    const df = { driver_id: [7], trips: [1], event_timestamp: ['2026-01-01T00:00:00Z'] };
    const view = Object.fromEntries(DRIVERS.features.map(({ name }) => [name, [null]]));
    const body = { push_source_name: 'driver_stats', df: { ...view, ...df }, to: 'online' };
    const answer = await face.write('/push', body, { 'antipode-session': token({ [STREAM]: 4000 }) });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(face.engine.requests[0]?.observed, { wallMs: 5, counter: 1 });
    const given = decodeToken(String(answer.headers['antipode-session']));
    assert.deepEqual(given.namespaces['flights'], { epoch: 0, streams: { [STREAM]: 4000 } });
    assert.equal(given.hlc.wallMs, face.clock.wallMs());
  });
});
