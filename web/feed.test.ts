import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeRegion } from './dev/fake-region.ts';
import { Feed, type FeedState, RETRY_DELAY_MS_MAX, RETRY_DELAY_MS_MIN, retryDelayMs, SILENCE_MS_MAX } from './feed.ts';

const message = `data: ${JSON.stringify(new FakeRegion({ region: 'a', regions: ['a', 'b'], startMs: 0, partitions: 1 }).status())}\n\n`;

/** A region that answers each connection with the next of `answers`; streams stay open until they are ended. */
function harness(answers: readonly ((signal: AbortSignal | undefined) => Response)[]) {
  const states: FeedState[] = [];
  const requests: RequestInit[] = [];
  let snapshots = 0;
  const feed = new Feed({
    fetch: async (_address, init) => {
      requests.push(init ?? {});
      const answer = answers[requests.length - 1];
      if (answer === undefined) throw new TypeError('refused');
      return answer(init?.signal ?? undefined);
    },
    headers: () => ({ authorization: 'Bearer t' }),
    nowMs: () => 0,
    random: () => 0.5,
    onSnapshot: () => {
      snapshots += 1;
    },
    onState: (state) => states.push(state),
  });
  return { feed, states, requests, count: () => snapshots, phases: () => states.map((state) => state.phase) };
}

function stream(...pieces: readonly string[]) {
  const body = new TransformStream<Uint8Array, Uint8Array>(undefined, { highWaterMark: 16 }, { highWaterMark: 16 });
  const writer = body.writable.getWriter();
  for (const piece of pieces) void writer.write(new TextEncoder().encode(piece)).catch(() => {});
  const response = (signal: AbortSignal | undefined): Response => {
    signal?.addEventListener('abort', () => void writer.abort(signal.reason).catch(() => {}));
    return new Response(body.readable);
  };
  return { response, end: () => writer.close() };
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns += 1) await turn();
}

suite('feed', () => {
  test('delays double up to their bound and are spread over half of it', () => {
    assert.equal(retryDelayMs(1, 0.999_999), RETRY_DELAY_MS_MIN);
    assert.equal(retryDelayMs(1, 0), RETRY_DELAY_MS_MIN / 2);
    assert.equal(retryDelayMs(3, 0.999_999), RETRY_DELAY_MS_MIN * 4);
    assert.equal(retryDelayMs(1_000_000, 0.999_999), RETRY_DELAY_MS_MAX);
  });

  test('is live with the first status, and connects again after the stream ends', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const first = stream(message.slice(0, 40), message.slice(40));
    const second = stream(message);
    const { feed, states, requests, count, phases } = harness([first.response, second.response]);
    feed.reconnect();
    await settle();
    assert.deepEqual(phases(), ['connecting', 'live']);
    assert.deepEqual(requests[0]?.headers, { accept: 'text/event-stream', authorization: 'Bearer t' });
    await first.end();
    await settle();
    assert.deepEqual(states.at(-1), {
      phase: 'waiting',
      reason: 'the region closed the connection',
      attempt: 1,
      retryAtMs: retryDelayMs(1, 0.5),
    });
    context.mock.timers.tick(retryDelayMs(1, 0.5));
    await settle();
    assert.deepEqual(phases().slice(3), ['connecting', 'live']);
    assert.equal(count(), 2);
    feed.close();
  });

  test('waits for a token when one is wanted, without trying again', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const { feed, states, requests } = harness([() => new Response(null, { status: 401 })]);
    feed.reconnect();
    await settle();
    assert.deepEqual(states.at(-1), { phase: 'sign-in', forbidden: false });
    context.mock.timers.tick(60_000);
    await settle();
    assert.equal(requests.length, 1);
  });

  test('gives up a connection that is silent for too long', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const { feed, states } = harness([stream().response]);
    feed.reconnect();
    await settle();
    context.mock.timers.tick(SILENCE_MS_MAX);
    await settle();
    const last = states.at(-1);
    assert.equal(last?.phase === 'waiting' && last.reason, `no answer for ${SILENCE_MS_MAX / 1000} s`);
    feed.close();
  });

  test('an unreadable status is a failed connection with its reason', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const { feed, states } = harness([stream('data: nonsense\n\n').response]);
    feed.reconnect();
    await settle();
    const last = states.at(-1);
    assert.match(last?.phase === 'waiting' ? last.reason : '', /not JSON/);
    feed.close();
  });

  test('says nothing more after it was closed', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const open = stream(message);
    const { feed, phases } = harness([open.response]);
    feed.reconnect();
    await settle();
    feed.close();
    await open.end().catch(() => {});
    await settle();
    context.mock.timers.tick(60_000);
    assert.deepEqual(phases(), ['connecting', 'live']);
  });
});
