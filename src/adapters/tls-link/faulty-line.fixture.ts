import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A TCP relay on the loopback that can fall silent, break or crawl. */
export class FaultyLine {
  /** The direction that is swallowed: what the client hears, or both. */
  silent: 'none' | 'to-client' | 'both' = 'none';
  /** Pause after every chunk, ms. */
  crawlMs = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#server = createServer((client) => {
      const server = connect(target);
      void this.#relay(client, server, () => this.silent === 'both');
      void this.#relay(server, client, () => this.silent !== 'none');
    });
  }

  async start(): Promise<{ readonly host: string; readonly port: number }> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port };
  }

  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.reset();
    await closed;
  }

  async #relay(from: Socket, to: Socket, silent: () => boolean): Promise<void> {
    this.#sockets.add(from);
    from.once('close', () => this.#sockets.delete(from));
    try {
      for await (const chunk of from) {
        if (silent()) continue;
        to.write(chunk);
        if (this.crawlMs > 0) await sleep(this.crawlMs);
      }
    } catch {
      // The connection was reset.
    }
    if (!silent()) to.destroySoon();
  }
}
