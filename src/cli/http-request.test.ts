import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { test } from 'node:test';
import { sendHttp } from './http-request.ts';

const FEAST_PORT = 6566;

async function echo(port: number): Promise<Server | undefined> {
  const server = createServer((request, response) => {
    response.setHeader('antipode-region', 'us-east');
    request.pipe(response);
  });
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}

test('a request reaches the port on which Feast serves by default, which fetch refuses', async (t) => {
  const server = await echo(FEAST_PORT);
  if (server === undefined) return t.skip(`port ${FEAST_PORT} is in use`);
  try {
    const signal = AbortSignal.timeout(5000);
    const answer = await sendHttp(`http://127.0.0.1:${FEAST_PORT}/`, {
      method: 'POST',
      headers: {},
      body: 'grüße',
      signal,
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('antipode-region'), 'us-east');
    assert.equal(answer.body.toString('utf8'), 'grüße');
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

test('a request ends when its signal is raised', async () => {
  const server = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  try {
    const asked = sendHttp(`http://127.0.0.1:${port}/`, {
      method: 'GET',
      headers: {},
      signal: AbortSignal.timeout(50),
    });
    await assert.rejects(asked, { name: 'AbortError' });
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
