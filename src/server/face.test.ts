import assert from 'node:assert/strict';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { createAuthority, issueCertificate } from '#adapters/certs/authority';
import { AntipodeError } from '#core/errors';
import { routesOf } from '#server/face';
import { startFace, TestFace } from '#server/testing/test-face';

suite('the face', () => {
  test('its routes, and who may call them', (t) => {
    const face = startFace(t);
    const list = routesOf(face.app).map(({ method, url, access }) => `${method} ${url} ${access}`);
    assert.deepEqual(list.sort(), [
      'GET /health public',
      'GET /metrics read',
      'GET /v1/audit admin',
      'GET /v1/audit/verify admin',
      'GET /v1/conflicts read',
      'GET /v1/conflicts/counts read',
      'GET /v1/events read',
      'GET /v1/status read',
      'GET /v1/views read',
      'POST /delete-from-online-store write',
      'POST /get-online-features read',
      'POST /push write',
      'POST /v1/failover admin',
      'POST /v1/ingest/:view write',
      'POST /v1/login public',
      'POST /v1/logout public',
      'POST /v1/tails/discard admin',
      'POST /v1/tails/replay admin',
      'POST /write-to-online-store write',
    ]);
  });

  test('speaks TLS, and binds sessions to it', async (t) => {
    const authority = await createAuthority({ topology: 'demo' });
    const issued = await issueCertificate({
      authority,
      node: 'eu-west',
      dnsNames: ['localhost'],
      ipAddresses: ['127.0.0.1'],
    });
    const face = startFace(t, { tls: { cert: issued.certPem, key: issued.keyPem } });
    await face.app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = face.app.server.address() as AddressInfo;
    const ask = (path: string, method: string, body: string): Promise<{ status: number; cookie: string }> =>
      new Promise((resolve, reject) => {
        const options = { host: 'localhost', port, path, method, ca: authority.certPem, agent: false as const };
        const outgoing = request(options, (response) => {
          response.resume();
          const { statusCode, headers } = response;
          response.on('end', () => resolve({ status: statusCode ?? 0, cookie: String(headers['set-cookie'] ?? '') }));
        });
        outgoing.on('error', reject);
        outgoing.end(body);
      });
    assert.equal((await ask('/health', 'GET', '')).status, 200);
    const login = await ask('/v1/login', 'POST', JSON.stringify({ token: face.token('read') }));
    assert.match(login.cookie, /; Secure$/);
    await assert.rejects(fetch(`http://127.0.0.1:${port}/health`), 'no plain HTTP on the same port');
  });

  test('a certificate that is none is said to be', () => {
    assert.throws(
      () => new TestFace({ tls: { cert: 'nonsense', key: 'nonsense' } }),
      (error: unknown) => error instanceof AntipodeError && error.code === 'CERTIFICATE_INVALID',
    );
  });
});
