import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Channel, type LinkTransport, MAX_MESSAGE_BYTES } from '#ports/link-transport';

/** What may be wrong with a node, as far as a transport can be given such a node. */
export type NodeFlaw = 'impostor' | 'foreign-authority' | 'expired';

export interface LinkHarness {
  /** A transport of node `name`, which the others can reach by that name. The contract closes it. */
  node(name: string): LinkTransport | Promise<LinkTransport>;
  /** A node that is reached as `name` but should be refused. An impostor is honest in all but the name it answers to. */
  flawed(name: string, flaw: NodeFlaw): LinkTransport | Promise<LinkTransport>;
  readonly flaws: readonly NodeFlaw[];
  /** A second node on the address of `name`, which is listening already. */
  rival(name: string): LinkTransport | Promise<LinkTransport>;
  /** Unsent bytes above which `send` returns false. */
  readonly highWaterBytes: number;
  /** Bytes that may lie between a sender that sees backpressure and a receiver that takes nothing. */
  readonly inFlightBytesMax: number;
}

/** What every LinkTransport does, run by each adapter against its own engine. */
export function linkTransportContract(name: string, harness: LinkHarness): void {
  const opened: LinkTransport[] = [];
  let nodes = 0;
  const track = async (making: LinkTransport | Promise<LinkTransport>): Promise<LinkTransport> => {
    const transport = await making;
    opened.push(transport);
    return transport;
  };
  const node = async (): Promise<{ name: string; transport: LinkTransport }> => {
    const fresh = `node-${++nodes}`;
    return { name: fresh, transport: await track(harness.node(fresh)) };
  };
  const pair = async (): Promise<{ client: Channel; server: Channel }> => {
    const listener = await node();
    const connector = await node();
    const accepted = Promise.withResolvers<Channel>();
    await listener.transport.listen(accepted.resolve);
    const client = await connector.transport.connect(listener.name);
    const server = await accepted.promise;
    assert.equal(client.peer, listener.name);
    assert.equal(server.peer, connector.name);
    return { client, server };
  };

  describe(`${name} as LinkTransport`, () => {
    after(() => Promise.all(opened.map((transport) => transport.close())));

    it('carries messages of every size in order, both ways at once', async () => {
      const { client, server } = await pair();
      const sizes = [0, 1, 3, 4, 5, 16_383, 16_384, 16_385, 65_536, 1_000_003, 0, 2];
      const there = sizes.map((size) => randomBytes(size));
      const back = sizes.toReversed().map((size) => randomBytes(size));
      const atServer = collect(server, there.length);
      const atClient = collect(client, back.length);
      for (const message of there) client.send(message);
      for (const message of back) server.send(message);
      assert.ok(same(await atServer, there));
      assert.ok(same(await atClient, back));
    });

    it('carries many small messages in order', async () => {
      const { client, server } = await pair();
      const count = 20_000;
      const received = collect(server, count);
      for (let i = 0; i < count; i++) {
        const message = Buffer.alloc(i % 40 === 0 ? 4 : 12);
        message.writeUInt32BE(i);
        if (!client.send(message)) await client.drained();
      }
      assert.deepEqual(
        (await received).map((message) => message.readUInt32BE()),
        Array.from({ length: count }, (_, i) => i),
      );
    });

    it('carries the largest message and refuses a larger one', async () => {
      const { client, server } = await pair();
      const received = collect(server, 2);
      const largest = randomBytes(MAX_MESSAGE_BYTES);
      client.send(largest);
      assert.throws(() => client.send(Buffer.alloc(MAX_MESSAGE_BYTES + 1)), { code: 'FRAME_TOO_LARGE' });
      client.send(Buffer.from('after'));
      const [first, second] = await received;
      assert.ok(first?.equals(largest));
      assert.equal(String(second), 'after');
    });

    it('keeps messages for a receiver that is set later', async () => {
      const { client, server } = await pair();
      client.send(Buffer.from('one'));
      client.send(Buffer.from('two'));
      await sleep(20);
      const received = collect(server, 3);
      client.send(Buffer.from('three'));
      assert.deepEqual((await received).map(String), ['one', 'two', 'three']);
    });

    it('holds a bounded number of bytes for a receiver that takes nothing, and loses none (I13)', async () => {
      const { client, server } = await pair();
      const message = Buffer.alloc(64 * 1024);
      let sent = 0;
      const patience = 200;
      for (;;) {
        message.writeUInt32BE(sent++);
        if (client.send(Buffer.from(message))) continue;
        if ((await Promise.race([client.drained(), sleep(patience, 'stuck')])) === 'stuck') break;
        assert.ok(sent * message.length < harness.highWaterBytes + harness.inFlightBytesMax, 'backpressure is overdue');
      }
      assert.ok(sent * message.length >= harness.highWaterBytes);
      const received = collect(server, sent);
      await client.drained();
      assert.deepEqual(
        (await received).map((each) => each.readUInt32BE()),
        Array.from({ length: sent }, (_, i) => i),
      );
    });

    it('delivers what was sent before close, then tells the reason once at each end', async () => {
      const { client, server } = await pair();
      const reasons: string[] = [];
      client.onClose((reason) => reasons.push(`client: ${reason}`));
      const closed = closing(server);
      const received: string[] = [];
      server.onMessage((message) => received.push(String(message)));
      server.onClose((reason) => reasons.push(`server: ${reason}`));
      client.send(Buffer.from('last words'));
      client.close('done here');
      client.close('again');
      assert.equal(client.closed, true);
      assert.equal(client.send(Buffer.from('too late')), false);
      await client.drained();
      await closed;
      assert.deepEqual(received, ['last words']);
      assert.equal(server.closed, true);
      assert.deepEqual(reasons, ['client: done here', 'server: closed by the peer: done here']);
      assert.equal(await closing(client), 'done here');
    });

    it('delivers nothing after close', async () => {
      const { client, server } = await pair();
      let received = 0;
      server.onMessage(() => {
        received++;
        server.close('one is enough');
      });
      for (let i = 0; i < 10; i++) client.send(Buffer.from('x'));
      assert.equal(await closing(client), 'closed by the peer: one is enough');
      assert.equal(received, 1);
    });

    it('delivers kept messages when the peer has closed before a receiver was set', async () => {
      const { client, server } = await pair();
      client.send(Buffer.from('refused: try elsewhere'));
      client.close('refused');
      await sleep(50);
      assert.deepEqual((await collect(server, 1)).map(String), ['refused: try elsewhere']);
      assert.equal(await closing(server), 'closed by the peer: refused');
    });

    it('lets go of those who wait for drained when the channel ends', async () => {
      const { client, server } = await pair();
      while (client.send(Buffer.alloc(1024 * 1024))) await new Promise((resolve) => setImmediate(resolve));
      const drained = client.drained();
      server.close('enough');
      client.close('enough');
      await drained;
    });

    it('closes all channels with the transport', async () => {
      const listener = await node();
      const connector = await node();
      const ends: Promise<string>[] = [];
      await listener.transport.listen((channel) => ends.push(closing(channel)));
      const first = await connector.transport.connect(listener.name);
      const second = await connector.transport.connect(listener.name);
      await listener.transport.close();
      assert.equal((await Promise.all([...ends, closing(first), closing(second)])).length, 4);
      await assert.rejects(connector.transport.connect(listener.name), { code: 'PEER_UNAVAILABLE' });
      await assert.rejects(listener.transport.connect(connector.name), { code: 'PEER_UNAVAILABLE' });
    });

    it('counts bytes on the wire', async () => {
      const { client, server } = await pair();
      const received = collect(server, 1);
      const before = { sent: client.bytesSent, received: server.bytesReceived };
      client.send(randomBytes(100_000));
      await received;
      assert.ok(client.bytesSent - before.sent >= 100_000);
      assert.ok(server.bytesReceived - before.received >= 100_000);
      assert.ok(client.bytesSent < 200_000);
    });

    it('reports a peer that nobody is', async () => {
      const connector = await node();
      const absent = await node();
      await assert.rejects(connector.transport.connect(absent.name), { code: 'PEER_UNAVAILABLE' });
    });

    it('reports an address in use', async () => {
      const listener = await node();
      await listener.transport.listen(() => undefined);
      const rival = await track(harness.rival(listener.name));
      await assert.rejects(
        rival.listen(() => undefined),
        { code: 'PORT_IN_USE' },
      );
    });

    it('gives up connecting when the signal aborts', async () => {
      const listener = await node();
      const connector = await node();
      const accepted: Channel[] = [];
      await listener.transport.listen((channel) => accepted.push(channel));
      const reason = new Error('not needed any more');
      await assert.rejects(connector.transport.connect(listener.name, AbortSignal.abort(reason)), reason);
      const controller = new AbortController();
      const connecting = connector.transport.connect(listener.name, controller.signal);
      controller.abort(reason);
      await assert.rejects(connecting, reason);
      // An abort after success is none of the channel's business.
      const later = new AbortController();
      const channel = await connector.transport.connect(listener.name, later.signal);
      later.abort(reason);
      await sleep(10);
      assert.equal(channel.closed, false);
    });

    for (const flaw of harness.flaws) {
      it(`refuses a node with this flaw as server: ${flaw}`, async () => {
        const honest = await node();
        const alias = `node-${++nodes}`;
        const flawed = await track(harness.flawed(alias, flaw));
        let accepted = 0;
        await flawed.listen((channel) => {
          accepted++;
          channel.onMessage(() => assert.fail('a refused server got a message'));
        });
        await assert.rejects(honest.transport.connect(alias), { code: 'CERTIFICATE_INVALID' });
        assert.ok(accepted <= 1);
      });
      if (flaw === 'impostor') continue;

      it(`refuses a node with this flaw as client: ${flaw}`, async () => {
        const honest = await node();
        await honest.transport.listen(() => assert.fail('a refused client was accepted'));
        const flawed = await track(harness.flawed(`node-${++nodes}`, flaw));
        await assert.rejects(flawed.connect(honest.name), { name: 'AntipodeError' });
        await sleep(20);
      });
    }
  });
}

/** The next `count` messages. */
function collect(channel: Channel, count: number): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const messages: Buffer[] = [];
    channel.onMessage((message) => {
      messages.push(message);
      if (messages.length === count) resolve(messages);
    });
    channel.onClose((reason) => reject(new Error(`closed after ${messages.length} of ${count} messages: ${reason}`)));
  });
}

function closing(channel: Channel): Promise<string> {
  return new Promise((resolve) => channel.onClose(resolve));
}

function same(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  return a.length === b.length && a.every((message, i) => message.equals(b[i] as Buffer));
}
