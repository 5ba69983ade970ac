import { MemoryChannel } from '#adapters/memory-link/memory-channel';
import { AntipodeError, assert } from '#core/errors';
import type { Channel, LinkTransport } from '#ports/link-transport';

export interface MemoryNetworkOptions {
  /** Unsent bytes of a channel above which `send` returns false. Default 8 MiB. */
  readonly highWaterBytes?: number;
}

/**
 * Links between nodes of one process, for tests. Every delivery happens in a later turn of the event loop, as over a
 * socket; nothing is delivered out of order or twice.
 *
 * A cut is like a network that swallows packets: what is sent is held and arrives after `heal`, and new connections
 * between the two nodes fail. No silence is noticed here, so a cut alone never ends a channel. `sever` is like a reset: it ends the channels between two nodes on both ends.
 */
export class MemoryNetwork {
  readonly #highWaterBytes: number;
  readonly #nodes = new Map<string, MemoryLinkTransport>();
  readonly #cuts = new Set<string>();
  readonly #channels = new Set<MemoryChannel>();

  constructor(options: MemoryNetworkOptions = {}) {
    this.#highWaterBytes = options.highWaterBytes ?? 8 * 1024 * 1024;
  }

  /** A transport for node `name`. It listens under that name, or under another's to play an impostor. */
  transport(name: string, options: { readonly listensAs?: string } = {}): LinkTransport {
    return new MemoryLinkTransport(this, name, options.listensAs ?? name);
  }

  /** Lets nothing pass from `from` to `to` until `heal`. The other direction is not touched. */
  cut(from: string, to: string): void {
    this.#cuts.add(direction(from, to));
  }

  heal(from: string, to: string): void {
    this.#cuts.delete(direction(from, to));
    for (const channel of this.#channels) channel.healed();
  }

  healAll(): void {
    this.#cuts.clear();
    for (const channel of this.#channels) channel.healed();
  }

  /** Ends every channel between two nodes. */
  sever(a: string, b: string, reason = 'the connection was lost'): void {
    for (const channel of this.#channels) {
      if ((channel.self === a && channel.peer === b) || (channel.self === b && channel.peer === a))
        channel.lose(reason);
    }
  }

  /** Whether bytes pass from one node to another now. */
  passes(from: string, to: string): boolean {
    return !this.#cuts.has(direction(from, to));
  }

  /** For transports of this network. */
  register(address: string, transport: MemoryLinkTransport): void {
    if (this.#nodes.has(address)) throw new AntipodeError('PORT_IN_USE', `another node listens as ${address}`);
    this.#nodes.set(address, transport);
  }

  /** For transports of this network. */
  unregister(address: string, transport: MemoryLinkTransport): void {
    if (this.#nodes.get(address) === transport) this.#nodes.delete(address);
  }

  /** For transports of this network: joins a client to the node that listens as `peer`. */
  join(client: MemoryLinkTransport, peer: string): Channel {
    const server = this.#nodes.get(peer);
    if (server === undefined) throw new AntipodeError('PEER_UNAVAILABLE', `cannot connect to ${peer}: nobody listens`);
    if (!this.passes(client.name, peer) || !this.passes(peer, client.name)) {
      throw new AntipodeError('PEER_UNAVAILABLE', `cannot connect to ${peer}: no answer`);
    }
    if (server.name !== peer) {
      throw new AntipodeError('CERTIFICATE_INVALID', `${peer} is refused: it proved to be ${server.name}`);
    }
    const near = this.#channel(client.name, peer);
    const far = this.#channel(peer, client.name);
    near.pair(far);
    far.pair(near);
    client.own(near);
    server.own(far);
    server.accepted(far);
    return near;
  }

  #channel(self: string, peer: string): MemoryChannel {
    const channel = new MemoryChannel({
      self,
      peer,
      highWaterBytes: this.#highWaterBytes,
      passes: () => this.passes(self, peer),
    });
    this.#channels.add(channel);
    channel.onClose(() => this.#channels.delete(channel));
    return channel;
  }
}

class MemoryLinkTransport implements LinkTransport {
  readonly name: string;
  readonly #network: MemoryNetwork;
  readonly #address: string;
  readonly #channels = new Set<MemoryChannel>();
  #accept: ((channel: Channel) => void) | undefined;
  #closed = false;

  constructor(network: MemoryNetwork, name: string, address: string) {
    this.#network = network;
    this.name = name;
    this.#address = address;
  }

  async connect(peer: string, signal?: AbortSignal): Promise<Channel> {
    signal?.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    if (this.#closed) throw new AntipodeError('PEER_UNAVAILABLE', 'this node closes its links');
    return this.#network.join(this, peer);
  }

  async listen(accept: (channel: Channel) => void): Promise<void> {
    assert(this.#accept === undefined && !this.#closed, 'a transport listens once');
    this.#network.register(this.#address, this);
    this.#accept = accept;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#network.unregister(this.#address, this);
    for (const channel of this.#channels) channel.close(`${this.name} closes its links`);
  }

  own(channel: MemoryChannel): void {
    this.#channels.add(channel);
    channel.onClose(() => this.#channels.delete(channel));
  }

  accepted(channel: Channel): void {
    this.#accept?.(channel);
  }
}

function direction(from: string, to: string): string {
  return `${from} ${to}`;
}
