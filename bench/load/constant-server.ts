// What HTTP on Node can do at best: a server that reads a request to its end and answers with bytes it was given.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serveCalls } from '../lib/child.ts';

serveCalls({
  listen: (bytes: Uint8Array) => {
    const body = Buffer.from(bytes);
    const headers = { 'content-type': 'application/json', 'content-length': String(body.length) };
    const server = createServer((request, response) => {
      request.resume();
      request.once('end', () => {
        response.writeHead(200, headers);
        response.end(body);
      });
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
  },
});
