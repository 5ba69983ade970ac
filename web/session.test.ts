import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Session, takeToken } from './session.ts';

function storage(): Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> {
  const values = new Map<string, string>();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}

suite('the token of an address', () => {
  test('is taken out and the rest of the fragment stays', () => {
    assert.deepEqual(takeToken(''), { token: null, rest: '' });
    assert.deepEqual(takeToken('#token=abc'), { token: 'abc', rest: '' });
    assert.deepEqual(takeToken('#token='), { token: null, rest: '' });
    assert.deepEqual(takeToken('#view=links&token=a%2Bb'), { token: 'a+b', rest: '#view=links' });
  });
});

suite('session', () => {
  test('a kept token is sent as a bearer token, and none without one', () => {
    const session = new Session({ storage: storage(), fetch });
    assert.deepEqual(session.headers(), {});
    session.keepToken('abc');
    assert.deepEqual(session.headers(), { authorization: 'Bearer abc' });
  });

  test('signing in posts the token and then relies on the cookie alone', async () => {
    const sent: string[] = [];
    const answer: typeof fetch = async (input, init) => {
      sent.push(`${init?.method} ${String(input)} ${String(init?.body)}`);
      return new Response(null, { status: 204 });
    };
    const session = new Session({ storage: storage(), fetch: answer });
    session.keepToken('refused');
    assert.deepEqual(await session.signIn('good'), { ok: true });
    assert.deepEqual(sent, ['POST /v1/login {"token":"good"}']);
    assert.deepEqual(session.headers(), {});
  });

  test('each way to fail has its own sentence', async () => {
    const reasonFor = async (answer: () => Promise<Response>, token = 'x'): Promise<string> => {
      const result = await new Session({ storage: null, fetch: answer }).signIn(token);
      assert.ok(!result.ok);
      return result.reason;
    };
    const status = (code: number) => async () => new Response(null, { status: code });
    assert.match(await reasonFor(status(401)), /does not accept/);
    assert.match(await reasonFor(status(429)), /Too many/);
    assert.match(await reasonFor(status(500)), /HTTP 500/);
    assert.match(await reasonFor(() => Promise.reject(new TypeError('failed'))), /does not answer/);
    assert.match(await reasonFor(status(204), 'two words'), /without spaces/);
  });
});
