import { KvJournal } from '#adapters/kv/kv-journal';
import { MemoryKv } from '#adapters/memory/memory-kv';
import { decodeMemberRecord, memberKey } from '#core/membership/member-record';
import { parseStreamKey, type StreamKey } from '#core/model/stream';
import { ControlServer } from '#region/control/control-server';
import type { CrashRole } from '#sim/crash/crash-points';
import { crashingJournal } from '#sim/crash/crash-ports';
import { Machine } from '#sim/machine/machine';
import { SimClock } from '#sim/machine/sim-clock';
import { simHost, simLogger } from '#sim/machine/sim-host';
import { type PlainLease, parseLease } from '#sim/oracle/lease-view';

/** Bytes of the revision before the value of a stored record. */
const REVISION_BYTES = 8;

/** The machine of the control store, running the server unchanged. */
export class ControlMachine extends Machine {
  members: readonly string[] = [];
  onFatal: (error: unknown, expected: boolean) => void = () => undefined;
  readonly #parsed = new Map<string, PlainLease>();

  #fatalExpected = false;

  protected override role(): CrashRole {
    return 'control';
  }

  /** The next fsync fails: the process is to end itself. */
  failNextFsync(): void {
    this.#fatalExpected = true;
    this.log.failNextSync({ keepWrites: this.random.integer(3) });
  }

  start(): void {
    if (this.process !== undefined) return;
    const process = this.begin();
    this.#fatalExpected = false;
    this.kernel.note(this.name, 'starts');
    const server = new ControlServer({
      journal: crashingJournal(new KvJournal(new MemoryKv(this.log)), process),
      transport: this.network.transport(process),
      clock: new SimClock(process, this.wall, this.random.fork(`clock ${process.startedMs}`)),
      host: simHost({
        bootId: this.bootId,
        freeBytes: () => this.freeBytes,
        onFatal: (error) => {
          if (!process.alive) return;
          this.onFatal(error, this.#fatalExpected);
          this.crash('process');
        },
      }),
      log: simLogger({ kernel: this.kernel, process, onEvent: () => undefined }),
      members: this.members,
    });
    process.after(0, 'start', () => {
      server.start().catch((error: unknown) => this.onFatal(error, false));
    });
  }

  /** The lease of a namespace as it is durable now: what decides who is hub, seen from outside all processes. */
  lease(namespace: string): PlainLease | undefined {
    const bytes = this.log.table('journal').get(Buffer.from(`control/lease/${namespace}`, 'latin1'));
    if (bytes === undefined) return undefined;
    const revision = Number(bytes.readBigUInt64BE(0));
    const known = this.#parsed.get(namespace);
    if (known?.revision === revision) return known;
    const lease = parseLease(revision, bytes.subarray(REVISION_BYTES));
    if (lease !== undefined) this.#parsed.set(namespace, lease);
    return lease;
  }
  /** How far the stream was when its region last told the control store. */
  reported(stream: StreamKey): number {
    const { namespace = '', origin = '' } = parseStreamKey(stream) ?? {};
    const member = this.log.table('journal').get(Buffer.from(`control/${memberKey(namespace, origin)}`, 'latin1'));
    const ends = member && decodeMemberRecord(member.subarray(REVISION_BYTES)).ends;
    return Math.max(this.lease(namespace)?.reported[stream] ?? 0, ends?.[stream]?.seq ?? 0);
  }
}
