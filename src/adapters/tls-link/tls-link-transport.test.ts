import { createAuthority, issueCertificate } from '#adapters/certs/authority';
import { linkTransportContract } from '#adapters/contracts/link-transport.contract';
import { TestTopology, TOPOLOGY } from '#adapters/tls-link/tls-link.fixture';

const DAY_MS = 86_400_000;
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
const topology = await TestTopology.create();
const foreign = await createAuthority({ topology: TOPOLOGY });
const options = { highWaterBytes: HIGH_WATER_BYTES };

linkTransportContract('TlsLinkTransport', {
  node: (name) => topology.node(name, options),
  rival: (name) => topology.node('rival', { listen: topology.addressOf(name) }),
  flaws: ['impostor', 'foreign-authority', 'expired'],
  flawed: async (name, flaw) => {
    switch (flaw) {
      case 'impostor':
        return topology.node('mallory', options, name);
      case 'foreign-authority': {
        // It trusts the honest nodes, so that only they can be the ones who refuse.
        const caPem = foreign.certPem + topology.authority.certPem;
        const issued = await issueCertificate({ authority: foreign, node: name });
        return topology.node(name, { ...options, credentials: { ...issued, caPem } });
      }
      case 'expired': {
        const credentials = await topology.credentials(name, { nowMs: Date.now() - 2 * DAY_MS, validityDays: 1 });
        return topology.node(name, { ...options, credentials });
      }
    }
  },
  highWaterBytes: HIGH_WATER_BYTES,
  // Socket buffers of both kernels' ends, which grow to a few megabytes on the loopback, and the receive window.
  inFlightBytesMax: 32 * 1024 * 1024,
});
