import { AntipodeError, assert } from '#core/errors';
import type { Channel, LinkTransport } from '#ports/link-transport';
import type { SimKernel } from '#sim/kernel/kernel';
import type { SeededRandom } from '#sim/kernel/seeded-random';
import type { NetworkKnobs } from '#sim/knobs';
import type { SimProcess } from '#sim/machine/sim-process';
import { Route } from '#sim/network/route';
import { SimChannel } from '#sim/network/sim-channel';

interface Listener {
  readonly process: SimProcess;
  readonly accept: (channel: Channel) => void;
}

interface Connection {
  readonly near: SimChannel;
  readonly far: SimChannel;
}

/** A connection attempt is repeated this often while the way is cut, ms. */
const SYN_AGAIN_MS = 700;
/** After which an attempt fails by itself, ms. */
const CONNECT_GIVE_UP_MS = 20_000;

/** Nodes and the ways between them. Faults are set by the nemesis and happen when they are asked for. */
export class SimNetwork {
  readonly #kernel: SimKernel;
  readonly #random: SeededRandom;
  readonly #knobs: NetworkKnobs;
  readonly #listeners = new Map<string, Listener>();
  readonly #routes = new Map<string, Route>();
  readonly #detached = new Set<string>();
  /** Chance that a connection attempt arrives twice: the listener gets a second channel, at whose other end nobody is. */
  orphanChance = 0;
  #connections: Connection[] = [];

  constructor(options: { kernel: SimKernel; random: SeededRandom; knobs: NetworkKnobs }) {
    this.#kernel = options.kernel;
    this.#random = options.random;
    this.#knobs = options.knobs;
  }

  transport(process: SimProcess): LinkTransport {
    return {
      connect: (peer, signal) => this.#connect(process, peer, signal),
      listen: async (accept) => {
        assert(this.#listeners.get(process.name)?.process.alive !== true, `${process.name} listens once`);
        this.#listeners.set(process.name, { process, accept });
      },
      close: async () => {
        if (this.#listeners.get(process.name)?.process === process) this.#listeners.delete(process.name);
        for (const end of this.#endsOf(process)) end.close(`${process.name} closes its links`);
      },
    };
  }

  route(from: string, to: string): Route {
    const key = `${from} ${to}`;
    let route = this.#routes.get(key);
    if (route === undefined) {
      const random = this.#random.fork(key);
      route = new Route({
        oneWayMs: random.logBetween(this.#knobs.oneWayMsMin, this.#knobs.oneWayMsMax),
        jitterMs: this.#knobs.jitterMs,
        spikeChance: this.#knobs.spikeChance,
        random,
        onLostThrice: () => this.#kernel.moment('packet-lost-thrice'),
        onStall: (sender) => this.#onStall(key, sender),
        detached: () => this.#detached.has(from) || this.#detached.has(to),
      });
      this.#routes.set(key, route);
    }
    return route;
  }

  cut(from: string, to: string): void {
    this.route(from, to).severed = true;
  }

  heal(from: string, to: string): void {
    this.route(from, to).severed = false;
    this.#wake();
  }

  /** Takes a node off the net until it is attached again, whatever else is healed. */
  detach(name: string): void {
    this.#detached.add(name);
  }

  attach(name: string): void {
    this.#detached.delete(name);
    this.#wake();
  }

  healAll(): void {
    for (const route of this.#routes.values()) route.heal();
    this.orphanChance = 0;
    this.#wake();
  }

  /** Breaks every connection between two nodes, each end learning of it within `noticeMsMax`. Returns how many. */
  reset(a: string, b: string, noticeMsMax: number): number {
    let count = 0;
    for (const { near, far } of this.#open()) {
      const names = [near.process.name, far.process.name];
      if (!names.includes(a) || !names.includes(b)) continue;
      for (const end of [near, far]) this.#breakOff(end, noticeMsMax);
      count++;
    }
    return count;
  }

  /** A process died: what it had sent may get lost from some point on, and its peers learn of it within `noticeMsMax`. */
  died(process: SimProcess, noticeMsMax: number): void {
    if (this.#listeners.get(process.name)?.process === process) this.#listeners.delete(process.name);
    for (const end of this.#endsOf(process)) this.#breakOff(end, noticeMsMax);
  }

  async #connect(process: SimProcess, peer: string, signal: AbortSignal | undefined): Promise<Channel> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      let settled = false;
      const fail = (error: unknown): void => {
        settled = true;
        reject(error);
      };
      signal?.addEventListener('abort', () => fail(signal.reason), { once: true });
      const startedMs = this.#kernel.nowMs;
      const attempt = (): void => {
        if (settled) return;
        if (this.#kernel.nowMs - startedMs > CONNECT_GIVE_UP_MS) {
          fail(new AntipodeError('PEER_UNAVAILABLE', `cannot connect to ${peer}: no answer`));
          return;
        }
        const out = this.route(process.name, peer);
        const back = this.route(peer, process.name);
        if (out.cut || back.cut) {
          process.after(SYN_AGAIN_MS, 'connect', attempt);
          return;
        }
        const listener = this.#listeners.get(peer);
        if (listener === undefined || !listener.process.alive) {
          process.after(back.delayMs() + out.delayMs(), 'refused', () =>
            fail(new AntipodeError('PEER_UNAVAILABLE', `cannot connect to ${peer}: nobody listens`)),
          );
          return;
        }
        this.#kernel.schedule(out.delayMs(), listener.process, 'accept', () => {
          if (settled || this.#listeners.get(peer) !== listener) return;
          const { near, far } = this.#pair(process, listener.process);
          listener.accept(far);
          if (this.#random.chance(this.orphanChance)) this.#acceptOrphan(process, listener);
          process.after(back.delayMs(), 'connected', () => {
            if (settled) near.close('given up');
            else {
              settled = true;
              resolve(near);
            }
          });
        });
      };
      process.after(this.route(process.name, peer).delayMs(), 'connect', attempt);
    });
  }

  #pair(a: SimProcess, b: SimProcess): Connection {
    const { highWaterBytes } = this.#knobs;
    const near = new SimChannel({ process: a, peer: b.name, route: this.route(a.name, b.name), highWaterBytes });
    const far = new SimChannel({ process: b, peer: a.name, route: this.route(b.name, a.name), highWaterBytes });
    near.pair(far);
    far.pair(near);
    const connection = { near, far };
    this.#connections = [...this.#open(), connection];
    return connection;
  }

  /** The attempt arrived a second time: one more channel opens at the listener, and ends when its host gives up on it. */
  #acceptOrphan(process: SimProcess, listener: Listener): void {
    const { near, far } = this.#pair(process, listener.process);
    this.#kernel.moment('orphan-channel');
    listener.accept(far);
    near.breakOff({ keep: 0, noticeMs: this.#knobs.giveUpMs, reason: 'the connection timed out' });
  }

  #breakOff(end: SimChannel, noticeMsMax: number): void {
    end.breakOff({
      keep: this.#random.integer(end.messagesOnTheirWay + 1),
      noticeMs: this.#random.next() * noticeMsMax,
      reason: 'the connection was lost',
    });
  }

  /** Nobody waits for ever on a silent connection: after a while the sender's host gives up. */
  #onStall(key: string, sender: { giveUp(reason: string): void }): void {
    if (!(sender instanceof SimChannel)) return;
    this.#kernel.schedule(this.#knobs.giveUpMs, sender.process, 'give-up', () => {
      if (this.#routes.get(key)?.cut !== true) return;
      this.#kernel.moment('silent-connection');
      sender.giveUp('the connection timed out');
    });
  }

  #wake(): void {
    for (const { near, far } of this.#open()) {
      near.rearm();
      far.rearm();
    }
  }

  #open(): Connection[] {
    this.#connections = this.#connections.filter(({ near, far }) => alive(near) || alive(far));
    return this.#connections;
  }

  #endsOf(process: SimProcess): SimChannel[] {
    return this.#open().flatMap(({ near, far }) => [near, far].filter((end) => end.process === process));
  }
}

function alive(end: SimChannel): boolean {
  return end.process.alive && !end.closed;
}
