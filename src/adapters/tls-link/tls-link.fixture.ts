import { createAuthority, type IssuedCertificate, issueCertificate } from '#adapters/certs/authority';
import type { Credentials } from '#adapters/certs/credentials';
import { type TlsLinkOptions, TlsLinkTransport } from '#adapters/tls-link/tls-link-transport';

export const TOPOLOGY = 'demo';

/** Nodes of one topology on free ports of the loopback, which find each other by name. */
export class TestTopology {
  readonly authority: IssuedCertificate;
  readonly #listening = new Map<string, TlsLinkTransport>();

  private constructor(authority: IssuedCertificate) {
    this.authority = authority;
  }

  static async create(): Promise<TestTopology> {
    return new TestTopology(await createAuthority({ topology: TOPOLOGY }));
  }

  async credentials(node: string, validity: { nowMs?: number; validityDays?: number } = {}): Promise<Credentials> {
    const issued = await issueCertificate({ authority: this.authority, node, ...validity });
    return { ...issued, caPem: this.authority.certPem };
  }

  /** A node that is reached as `alias`, by default under its own name. */
  async node(self: string, options: Partial<TlsLinkOptions> = {}, alias: string = self): Promise<TlsLinkTransport> {
    const transport = new TlsLinkTransport({
      self,
      topology: TOPOLOGY,
      credentials: options.credentials ?? (await this.credentials(self)),
      addressOf: (peer) => this.addressOf(peer),
      listen: { host: '127.0.0.1', port: 0 },
      ...options,
    });
    this.#listening.set(alias, transport);
    return transport;
  }

  /** Where a node listens; a port that nobody uses when it does not. */
  addressOf(node: string): { readonly host: string; readonly port: number } {
    return this.#listening.get(node)?.address ?? { host: '127.0.0.1', port: 1 };
  }
}
