import { KvChangeLog } from '#adapters/kv/kv-change-log';
import { KvJournal } from '#adapters/kv/kv-journal';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { KvSnapshots } from '#adapters/kv/kv-snapshots';
import { MemoryKv } from '#adapters/memory/memory-kv';
import { toAntipodeError } from '#core/errors';
import type { StreamKey } from '#core/model/stream';
import type { ChangeLog } from '#ports/change-log';
import type { Journal } from '#ports/journal';
import type { OnlineStore } from '#ports/online-store';
import { ControlClient } from '#region/control/control-client';
import { Region } from '#region/region';
import type { RegionConfig } from '#region/region-config';
import type { CrashRole } from '#sim/crash/crash-points';
import {
  crashingControl,
  crashingJournal,
  crashingLog,
  crashingSnapshots,
  crashingStore,
} from '#sim/crash/crash-ports';
import { Machine, type MachineImage } from '#sim/machine/machine';
import { SimClock } from '#sim/machine/sim-clock';
import { simHost, simLogger } from '#sim/machine/sim-host';
import type { SimProcess } from '#sim/machine/sim-process';
import type { Mutant } from '#sim/mutants/mutant';
import {
  leasesInJournal,
  recordChangeLog,
  recordControl,
  recordJournal,
  recordStore,
} from '#sim/oracle/recording-ports';
import type { RegionHistory } from '#sim/oracle/region-history';

/** How long an orderly stop may take before the process is killed, ms. */
const STOP_MS_MAX = 15_000;

export interface RegionSetup {
  readonly config: RegionConfig;
  readonly controlDeadlineMs: number;
  readonly history: RegionHistory;
  readonly mutant: Mutant | undefined;
  /** What the region is at this moment. */
  readonly role: () => CrashRole;
  readonly onLog: (event: string, level: 'info' | 'warn' | 'error', message: string) => void;
  /** The engine ended its process, or threw where it must not. */
  readonly onFatal: (error: unknown, expected: boolean) => void;
}

/** What outsiders may use of a running region. */
export interface RunningRegion {
  readonly process: SimProcess;
  readonly region: Region;
  readonly changeLog: ChangeLog;
  readonly journal: Journal;
  readonly store: OnlineStore;
}

/** The machine of a region, running the engine unchanged on simulated ports. */
export class RegionMachine extends Machine {
  setup: RegionSetup | undefined;
  /** An fsync was made to fail: the process is expected to end itself. */
  #fatalExpected = false;
  #running: RunningRegion | undefined;
  #ready = false;
  #stopping = false;

  /** The region, once it has started and while its process lives. */
  get running(): RunningRegion | undefined {
    return this.#ready && this.process !== undefined ? this.#running : undefined;
  }

  /** Id of the log on its disk; undefined before its first start. */
  get logId(): string | undefined {
    const id = new KvJournal(new MemoryKv(this.log)).get('log-id');
    return id && Buffer.from(id).toString('utf8');
  }

  start(): void {
    if (this.process !== undefined || this.setup === undefined) return;
    const { config, history, mutant, controlDeadlineMs, onLog, onFatal } = this.setup;
    const process = this.begin();
    this.kernel.note(this.name, `starts, ${this.bootId}`);
    this.#ready = false;
    this.#stopping = false;
    this.#fatalExpected = false;
    const random = this.random.fork(`life ${process.startedMs}`);
    const clock = new SimClock(process, this.wall, random.fork('clock'));
    const logKv = new MemoryKv(this.log);
    const rawLog = new KvChangeLog(logKv);
    const rawJournal = new KvJournal(logKv);
    const memoryStore = new KvOnlineStore(new MemoryKv(this.store));
    const rawStore =
      mutant?.hiddenStore?.(memoryStore, random.fork('mutant'), () => this.applyDelay(process)) ?? memoryStore;
    history.restarted(leasesInJournal(rawJournal), headsOf(rawLog));
    const changeLog = crashingLog(recordChangeLog(rawLog, history), process, this.name);
    const journal = crashingJournal(recordJournal(rawJournal, history), process);
    const recordedStore = recordStore(rawStore, {
      history,
      log: rawLog,
      process,
      delay: () => this.applyDelay(process),
    });
    const store = crashingStore(recordedStore, process);
    const transport = this.network.transport(process);
    const client = new ControlClient({ transport, clock, deadlineMs: controlDeadlineMs });
    const control = crashingControl(recordControl(client, history), process);
    const region = new Region({
      config,
      ports: {
        clock,
        random: random.fork('region'),
        host: simHost({
          bootId: this.bootId,
          freeBytes: () => this.freeBytes,
          onFatal: (error) => {
            if (!process.alive) return;
            onFatal(error, this.#fatalExpected);
            this.crash('process');
          },
        }),
        logger: simLogger({ kernel: this.kernel, process, onEvent: onLog }),
        changeLog: mutant?.changeLog?.(changeLog) ?? changeLog,
        journal: mutant?.journal?.(journal) ?? journal,
        store: mutant?.store?.(store, random.fork('mutant')) ?? store,
        control,
        transport,
        snapshots: crashingSnapshots(new KvSnapshots(logKv), process),
      },
    });
    this.#running = { process, region, changeLog: rawLog, journal: rawJournal, store: rawStore };
    process.after(1, 'start', () => {
      region.start().then(
        () => {
          this.#ready = process.alive;
          this.kernel.note(this.name, 'started');
        },
        (error: unknown) => {
          if (!process.alive) return;
          // A full disk is a reason not to start.
          onFatal(error, this.#fatalExpected || toAntipodeError(error).code === 'DISK_FULL');
          this.crash('process');
        },
      );
    });
  }

  override crash(kind: 'process' | 'machine'): void {
    if (kind === 'machine' && this.process !== undefined && this.store.unsynced) this.setup?.history.machineDied();
    super.crash(kind);
  }

  override replaceDisks(image: MachineImage | undefined): void {
    super.replaceDisks(image);
    const mark = new KvJournal(new MemoryKv(this.log)).get('store-mark');
    const clean = mark !== undefined && Buffer.from(mark).includes('"clean":true');
    // A copy of an orderly stop is whole: the region may go on with it.
    this.setup?.history.disksReplaced(clean ? new KvOnlineStore(new MemoryKv(this.store)).checkpoints() : undefined);
    const heads = headsOf(new KvChangeLog(new MemoryKv(this.log)));
    this.setup?.history.logReplaced(image === undefined ? 'empty' : 'older', heads);
  }

  protected override role(): CrashRole {
    return this.setup?.role() ?? 'replica';
  }

  /** Orderly stop; `stopped` is called when the process has ended, one way or the other. */
  stop(stopped: () => void): void {
    const running = this.running;
    if (running === undefined || this.#stopping) return;
    const { process, region } = running;
    this.#stopping = true;
    process.after(0, 'stop', () => {
      region.stop().then(
        () => {
          if (!process.alive) return;
          this.kernel.note(this.name, 'stopped in order');
          this.crash('process');
          stopped();
        },
        (error: unknown) => {
          if (!process.alive) return;
          const full = toAntipodeError(error).code === 'DISK_FULL';
          this.setup?.onFatal(error, this.#fatalExpected || full);
          this.crash('process');
        },
      );
    });
    this.kernel.schedule(STOP_MS_MAX, undefined, 'kill', () => {
      if (!process.alive) return;
      this.crash('process');
      stopped();
    });
  }

  failNextFsync(): void {
    this.#fatalExpected = true;
    this.log.failNextSync({ keepWrites: this.random.integer(3) });
  }

  /** Whether the last start is of the life that was told to fail its fsync. */
  get fatalExpected(): boolean {
    return this.#fatalExpected;
  }
}

function headsOf(log: ChangeLog): Map<StreamKey, number> {
  return new Map(log.streams().map((stream) => [stream, log.head(stream).seq]));
}
