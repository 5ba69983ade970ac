import { constants, X509Certificate } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, createServer, type Server, type TLSSocket } from 'node:tls';
import { type Credentials, checkCredentials, distrustReason, parseAuthorities } from '#adapters/certs/credentials';
import { certificateIdentity, identityUri } from '#adapters/certs/node-identity';
import { TlsChannel } from '#adapters/tls-link/tls-channel';
import { connectError, listenError, shortReason } from '#adapters/tls-link/tls-errors';
import { AntipodeError, assert } from '#core/errors';
import type { Channel, LinkTransport } from '#ports/link-transport';

export interface LinkAddress {
  readonly host: string;
  readonly port: number;
}

export interface TlsLinkOptions {
  /** This node's name, which its certificate must carry. */
  readonly self: string;
  readonly topology: string;
  readonly credentials: Credentials;
  /** Where a peer listens; asked at every connect. May throw an AntipodeError for a peer it does not know. */
  readonly addressOf: (peer: string) => LinkAddress;
  /** Where this node listens; port 0 takes a free one (see `address`). Absent on a node that only connects. */
  readonly listen?: LinkAddress | undefined;
  /** Unsent bytes of a channel above which `send` returns false. Default 8 MiB. */
  readonly highWaterBytes?: number | undefined;
  /** Bound on connecting, from the first packet until the peer takes messages, and on strangers' handshakes. Default 5 s. */
  readonly handshakeMsMax?: number | undefined;
  /** A channel on which nothing arrives for this long is closed. Must be the same on both ends. Default 5 s. */
  readonly silenceMsMax?: number | undefined;
  /** Incoming connections at a time, handshakes included; more are dropped unheard. Default 256. */
  readonly connectionsMax?: number | undefined;
  /** Told of every incoming connection that was not accepted, for log, metric and audit. */
  readonly onRefused?: ((refusal: LinkRefusal) => void) | undefined;
}

export interface LinkRefusal {
  readonly address: string;
  readonly reason: string;
}

export const LINK_PROTOCOL = 'antipode/1';

const HIGH_WATER_BYTES = 8 * 1024 * 1024;
const HANDSHAKE_MS_MAX = 5000;
const SILENCE_MS_MAX = 5000;
const CONNECTIONS_MAX = 256;
const KEEP_ALIVE_MS = 10_000;

/**
 * Links over mutual TLS 1.3. Both ends prove to be a node of this topology by the URI name in their certificates, and a
 * client insists on the very node it asked for.
 *
 * Sessions are never resumed: no tickets, no shared ticket keys, no session store, and a resumed session is refused. A
 * handshake is therefore always a check against the authorities of that moment, and `reloadCredentials` closes the live
 * channels that would not pass it any more.
 *
 * Since a TLS 1.3 client ends its handshake before the server has looked at the client's certificate, `connect` resolves
 * only at the server's READY message.
 */
export class TlsLinkTransport implements LinkTransport {
  readonly #options: TlsLinkOptions;
  #credentials: Credentials;
  #authorities: readonly X509Certificate[];
  #server: Server | undefined;
  /** Raw sockets of incoming connections by their four-tuple: TLS sockets do not give theirs away. */
  readonly #incoming = new Map<string, Socket>();
  readonly #channels = new Set<TlsChannel>();
  /** Ends the connects that are under way. */
  readonly #abandon = new Set<(reason: AntipodeError) => void>();
  #closed = false;

  /**
   * Throws CERTIFICATE_INVALID when the credentials are not this node's. A certificate that has expired is taken, so that
   * a node starts and serves: it is refused at `connect`, and by peers.
   */
  constructor(options: TlsLinkOptions) {
    checkCredentials(options.credentials, { topology: options.topology, node: options.self, ignoreValidity: true });
    this.#options = options;
    this.#credentials = options.credentials;
    this.#authorities = parseAuthorities(options.credentials.caPem);
  }

  /** Where this node listens now; undefined before `listen` and after `close`. */
  get address(): LinkAddress | undefined {
    const address = this.#server?.address();
    return address === null || address === undefined || typeof address === 'string'
      ? undefined
      : { host: address.address, port: address.port };
  }

  /**
   * As the port says. Rejects with PROTOCOL_MISMATCH too, when the other end speaks something else, and with the signal's
   * reason when it aborts.
   */
  async connect(peer: string, signal?: AbortSignal): Promise<Channel> {
    signal?.throwIfAborted();
    if (this.#closed) throw new AntipodeError('PEER_UNAVAILABLE', 'this node closes its links');
    checkCredentials(this.#credentials, { topology: this.#options.topology, node: this.#options.self });
    const { host, port } = this.#options.addressOf(peer);
    const raw = connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    const failed = Promise.withResolvers<never>();
    const fail = (reason: unknown): void => {
      failed.reject(reason);
      raw.destroy();
    };
    const onAbort = (): void => fail(signal?.reason);
    const handshakeMsMax = this.#options.handshakeMsMax ?? HANDSHAKE_MS_MAX;
    const timer = setTimeout(
      () => fail(connectError(peer, new Error(`no answer within ${handshakeMsMax} ms`))),
      handshakeMsMax,
    );
    signal?.addEventListener('abort', onAbort);
    this.#abandon.add(fail);
    raw.on('error', (error) => fail(connectError(peer, error)));
    try {
      return await Promise.race([this.#handshake(peer, raw, fail), failed.promise]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#abandon.delete(fail);
    }
  }

  listen(accept: (channel: Channel) => void): Promise<void> {
    const address = this.#options.listen;
    assert(address !== undefined, 'a node that listens has an address');
    assert(this.#server === undefined && !this.#closed, 'a transport listens once');
    const server = createServer({
      ...this.#secureOptions(),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [LINK_PROTOCOL],
      handshakeTimeout: this.#options.handshakeMsMax ?? HANDSHAKE_MS_MAX,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    this.#server = server;
    server.maxConnections = this.#options.connectionsMax ?? CONNECTIONS_MAX;
    server.on('connection', (raw) => this.#remember(raw));
    server.on('drop', (dropped) => this.#refuse(`${dropped?.remoteAddress}`, 'too many connections'));
    server.on('tlsClientError', (error, socket) => {
      this.#refuse(`${socket.remoteAddress}`, shortReason(error));
      // Node leaves the socket open when the handshake timed out.
      socket.destroy();
    });
    server.on('secureConnection', (socket) => this.#accept(socket, accept));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onError = (error: Error): void => {
      this.#server = undefined;
      reject(listenError(`${address.host}:${address.port}`, error));
    };
    server.once('error', onError);
    server.listen(address.port, address.host, () => {
      server.off('error', onError);
      // Later errors are failed accepts (no file descriptor left): that connection is lost, the listener goes on.
      server.on('error', (error) => this.#refuse('?', shortReason(error)));
      resolve();
    });
    return promise;
  }

  /**
   * Takes new credentials for every handshake from now on, and closes the channels whose peer would not pass it. Throws
   * CERTIFICATE_INVALID, and keeps the old ones, when the new ones are not valid now and for this node. To replace an
   * authority: trust both everywhere, issue anew, then trust the new one only.
   */
  reloadCredentials(credentials: Credentials): void {
    checkCredentials(credentials, { topology: this.#options.topology, node: this.#options.self });
    this.#credentials = credentials;
    this.#authorities = parseAuthorities(credentials.caPem);
    this.#server?.setSecureContext(this.#secureOptions());
    for (const channel of this.#channels) {
      const reason = distrustReason(channel.certificate, this.#authorities, Date.now());
      if (reason !== undefined) channel.abort(`${channel.peer} is not trusted any more: ${reason}`);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const fail of this.#abandon) fail(new AntipodeError('PEER_UNAVAILABLE', 'this node closes its links'));
    const server = this.#server;
    this.#server = undefined;
    const ended = server === undefined ? undefined : new Promise((resolve) => server.close(resolve));
    const channels = [...this.#channels];
    for (const channel of channels) channel.close(`${this.#options.self} closes its links`);
    const owned = new Set(channels.map((channel) => channel.raw));
    for (const raw of this.#incoming.values()) if (!owned.has(raw)) raw.destroy();
    await Promise.all(channels.map((channel) => channel.gone));
    await ended;
  }

  async #handshake(peer: string, raw: Socket, fail: (reason: unknown) => void): Promise<Channel> {
    const { promise: secured, resolve } = Promise.withResolvers<void>();
    const socket = connectTls({
      socket: raw,
      secureContext: createSecureContext(this.#secureOptions()),
      ALPNProtocols: [LINK_PROTOCOL],
      rejectUnauthorized: true,
      checkServerIdentity: (_host, certificate) => {
        const reason = this.#identityFault(new X509Certificate(certificate.raw), peer);
        return reason === undefined
          ? undefined
          : new AntipodeError('CERTIFICATE_INVALID', `${peer} is refused: ${reason}`);
      },
    });
    socket.on('error', (error) => fail(connectError(peer, error)));
    socket.once('close', () => fail(endedError(peer, 'the connection was lost')));
    socket.once('secureConnect', resolve);
    await secured;
    if (socket.alpnProtocol !== LINK_PROTOCOL) {
      throw failWith(fail, new AntipodeError('PROTOCOL_MISMATCH', `${peer} does not speak ${LINK_PROTOCOL}`));
    }
    const channel = this.#open(peer, socket, raw);
    let ended: string | undefined;
    channel.onClose((reason) => {
      ended = reason;
    });
    await channel.ready;
    if (ended !== undefined) throw failWith(fail, endedError(peer, ended));
    // The authorities may have changed since the handshake began.
    const distrusted = distrustReason(channel.certificate, this.#authorities, Date.now());
    if (distrusted !== undefined) {
      throw failWith(fail, new AntipodeError('CERTIFICATE_INVALID', `${peer} is refused: ${distrusted}`));
    }
    return channel;
  }

  #accept(socket: TLSSocket, accept: (channel: Channel) => void): void {
    const raw = this.#incoming.get(fourTuple(socket));
    const certificate = socket.getPeerX509Certificate();
    const reason = this.#clientFault(socket, certificate);
    const identity = certificate === undefined ? undefined : certificateIdentity(certificate);
    if (reason !== undefined || raw === undefined || identity === undefined || this.#closed) {
      socket.on('error', () => undefined);
      this.#refuse(`${socket.remoteAddress}`, reason ?? 'the connection ended during the handshake');
      socket.destroy();
      return;
    }
    const channel = this.#open(identity.node, socket, raw);
    channel.sendReady();
    accept(channel);
  }

  #clientFault(socket: TLSSocket, certificate: X509Certificate | undefined): string | undefined {
    if (!socket.authorized || certificate === undefined) return 'it presented no trusted certificate';
    if (socket.isSessionReused()) return 'it resumed a session';
    if (socket.alpnProtocol !== LINK_PROTOCOL) return `it does not speak ${LINK_PROTOCOL}`;
    return this.#identityFault(certificate) ?? distrustReason(certificate, this.#authorities, Date.now());
  }

  /** Why a certificate does not stand for `peer`, or for any node of this topology when no peer is named. */
  #identityFault(certificate: X509Certificate, peer?: string): string | undefined {
    const identity = certificateIdentity(certificate);
    if (identity === undefined) return 'its certificate names no node';
    if (identity.topology === this.#options.topology && (peer === undefined || identity.node === peer))
      return undefined;
    return `its certificate is for ${identityUri(identity)}`;
  }

  #open(peer: string, socket: TLSSocket, raw: Socket): TlsChannel {
    const certificate = socket.getPeerX509Certificate();
    assert(certificate !== undefined, 'a verified peer has a certificate');
    const channel = new TlsChannel({
      peer,
      certificate,
      socket,
      raw,
      highWaterBytes: this.#options.highWaterBytes ?? HIGH_WATER_BYTES,
      silenceMsMax: this.#options.silenceMsMax ?? SILENCE_MS_MAX,
    });
    this.#channels.add(channel);
    void channel.gone.then(() => this.#channels.delete(channel));
    return channel;
  }

  #remember(raw: Socket): void {
    const key = fourTuple(raw);
    this.#incoming.set(key, raw);
    raw.once('close', () => {
      if (this.#incoming.get(key) === raw) this.#incoming.delete(key);
    });
  }

  #refuse(address: string, reason: string): void {
    this.#options.onRefused?.({ address, reason });
  }

  #secureOptions() {
    return {
      cert: this.#credentials.certPem,
      key: this.#credentials.keyPem,
      ca: this.#credentials.caPem,
      minVersion: 'TLSv1.3',
      secureOptions: constants.SSL_OP_NO_TICKET,
    } as const;
  }
}

/** A server that does not accept a certificate ends the connection without a word, so that strangers learn nothing. */
function endedError(peer: string, reason: string): AntipodeError {
  return new AntipodeError(
    'PEER_UNAVAILABLE',
    `cannot connect to ${peer}: ${reason}; if that persists, its log says why`,
  );
}

function failWith(fail: (reason: unknown) => void, error: AntipodeError): AntipodeError {
  fail(error);
  return error;
}

function fourTuple(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}
