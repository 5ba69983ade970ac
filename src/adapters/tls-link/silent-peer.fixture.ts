import type { Credentials } from '#adapters/certs/credentials';
import { TOPOLOGY } from '#adapters/tls-link/tls-link.fixture';
import { TlsLinkTransport } from '#adapters/tls-link/tls-link-transport';

// A node in a process of its own, so that a test can stop it: connects to `eu` and says so.
process.once('message', async (message) => {
  const { credentials, port, silenceMsMax } = message as {
    credentials: Credentials;
    port: number;
    silenceMsMax: number;
  };
  const transport = new TlsLinkTransport({
    self: 'us',
    topology: TOPOLOGY,
    credentials,
    silenceMsMax,
    addressOf: () => ({ host: '127.0.0.1', port }),
  });
  await transport.connect('eu');
  process.send?.('connected');
});
