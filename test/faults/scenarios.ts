// What is done to real regions while clients work. Each scenario leaves everything running and healed.
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DISK_RESERVE_BYTES } from '#region/ingest/namespace-writer';
import { LEASE_MS, MARGIN_MS, sleep, type TestScope } from '../support/local-topology.ts';
import { mountDisk, whyNoDisk } from '../support/small-disk.ts';
import { flipFrame, flipRow } from './flip-bits.ts';
import { REGIONS, type RegionName, type Stage, type StageOptions } from './stage.ts';

const DISK_BYTES = 400 * 1024 * 1024;
/** Changes without which a calm run would show nothing, also on a busy machine. */
const CALM_CHANGES = 60;
/** What a replica has of the clients' writes before a bit flips in it. */
const CHANGES_BEFORE_FLIP = 30;
/** How long a holder that cannot renew keeps others from taking over, and a little more. */
const LAPSED_MS = LEASE_MS + 2 * MARGIN_MS;

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** How its regions are set up. */
  readonly setup?: (scope: TestScope) => Pick<StageOptions, 'settings' | 'clockSkewMs' | 'tail'>;
  /** Why it cannot run on this machine; false when it can. */
  readonly skip?: () => string | false;
  readonly run: (stage: Stage) => Promise<void>;
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'calm',
    about: 'no fault at all',
    run: async (stage) => {
      const [replica] = others(await stage.hub(), stage);
      await sleep(2_000);
      await stage.untilApplied(replica, CALM_CHANGES);
    },
  },
  {
    name: 'cut-off-replica',
    about: 'a replica that nothing reaches, while clients go on reading from it',
    run: async (stage) => {
      const hub = await stage.hub();
      const [victim] = others(hub, stage);
      await sleep(500);
      await stage.isolate(victim, 'blackhole');
      await stage.workload.writeHotKeys(hub);
      // Until what it lacks is older than any read may bear.
      await sleep(2_000);
      await stage.workload.confront(hub, victim);
      await stage.heal();
      await sleep(500);
    },
  },
  {
    name: 'cut-links',
    about: 'lines of 60 ms, one-way cuts, and a replica that nobody reaches',
    run: async (stage) => {
      const hub = await stage.hub();
      const [near, far] = others(hub, stage);
      await stage.delay(60);
      await stage.cutOneWay(hub, near);
      await sleep(2_000);
      await stage.heal();
      await stage.delay(0);
      await stage.cutOneWay(far, hub);
      await sleep(1_500);
      await stage.isolate(near, 'refuse');
      await sleep(1_500);
      await stage.heal();
      await sleep(1_500);
    },
  },
  {
    name: 'kill-region',
    about: 'kill -9 of a replica, twice',
    run: async (stage) => {
      const [victim] = others(await stage.hub(), stage);
      for (let time = 0; time < 2; time++) {
        await sleep(500);
        await stage.kill(victim);
        await sleep(700);
        await stage.restart(victim);
      }
      await sleep(1_000);
    },
  },
  {
    name: 'kill-hub',
    about: 'kill -9 of the hub for longer than its lease',
    run: async (stage) => {
      const hub = await stage.hub();
      await sleep(500);
      await stage.kill(hub);
      await stage.hub(hub);
      await sleep(1_000);
      await stage.restart(hub);
      await sleep(1_000);
    },
  },
  {
    name: 'kill-hub-shortly',
    about: 'kill -9 of the hub, which is back before its lease lapsed',
    run: async (stage) => {
      const hub = await stage.hub();
      await sleep(500);
      await stage.kill(hub);
      await stage.restart(hub);
      await stage.hub();
      await sleep(1_000);
    },
  },
  {
    name: 'halt-hub',
    about: 'SIGSTOP of the hub beyond its lease, then SIGCONT, with clients that go on asking it',
    run: async (stage) => {
      const hub = await stage.hub();
      await sleep(500);
      await stage.halt(hub);
      const next = await stage.hub(hub);
      // Requests of the new epoch are answered before those that wait in the sockets of the old hub.
      stage.workload.avoid(hub, false);
      await sleep(1_000);
      await stage.resume(hub);
      await stage.workload.confront(next, hub);
      await sleep(1_000);
    },
  },
  {
    name: 'isolate-hub',
    about: 'the hub alone, without peers and control store, while clients write to it',
    run: async (stage) => {
      const hub = await stage.hub();
      await sleep(500);
      await stage.isolate(hub, 'blackhole', { control: false });
      // What it acknowledges from here on is a tail once another region is hub.
      await stage.untilAcknowledgedBy(hub, 10);
      await stage.isolate(hub, 'blackhole');
      const next = await stage.hub(hub);
      await stage.workload.confront(next, hub);
      await stage.heal();
      await sleep(1_500);
    },
  },
  {
    name: 'half-open',
    about:
      'a replica that is killed and started behind a line on which nothing arrives, so that its peers hold dead connections',
    run: async (stage) => {
      const [victim] = others(await stage.hub(), stage);
      await stage.isolate(victim, 'blackhole');
      await stage.kill(victim);
      // It starts while its peers still have connections to its former life, and it reaches nobody.
      await stage.restart(victim);
      await sleep(1_000);
      await stage.heal();
      await sleep(1_500);
    },
  },
  {
    name: 'kill-control',
    about: 'kill -9 and SIGSTOP of the control store for longer than a lease',
    run: async (stage) => {
      await sleep(500);
      await stage.disturb('kill -9 control', () => stage.topology.killControl('SIGKILL'));
      await sleep(LAPSED_MS);
      await stage.disturb('start control', () => stage.topology.startControl());
      await stage.hub();
      await sleep(500);
      await stage.disturb('SIGSTOP control', () => stage.topology.killControl('SIGSTOP'));
      await sleep(LAPSED_MS);
      await stage.disturb('SIGCONT control', () => stage.topology.killControl('SIGCONT'));
      await stage.hub();
      await sleep(500);
    },
  },
  {
    name: 'clock-offset',
    about: 'wall clocks 200 ms ahead at the hub and 150 ms behind at a replica; then the hub is killed, and steps back',
    setup: () => ({ clockSkewMs: 350 }),
    run: async (stage) => {
      const hub = await stage.hub();
      const [near] = others(hub, stage);
      stage.setClock(near, -150);
      await stage.kill(near);
      await stage.restart(near);
      stage.setClock(hub, 200);
      await stage.kill(hub);
      const next = await stage.hub(hub);
      await stage.restart(hub);
      await sleep(1_500);
      // The clock of whoever is hub now is the machine's or behind it: what it stamps must not go back.
      stage.setClock(hub, 0);
      await stage.kill(next);
      await stage.restart(next);
      await stage.hub();
      await sleep(1_000);
    },
  },
  {
    name: 'flip-store',
    about: 'a bit of a row flips in the store file of a replica that is down',
    run: async (stage) => {
      const [victim] = others(await stage.hub(), stage);
      await stage.untilApplied(victim, CHANGES_BEFORE_FLIP);
      await stage.kill(victim);
      await stage.disturb(`flip a bit of a row in the store of ${victim}`, async () => {
        await flipRow(stage.dataFolder(victim), stage.codec, stage.workload.hotKeys);
      });
      // It is found at the start or by a reader; then the region ends by itself, and the next start builds its store again.
      await stage.restart(victim).then(
        () => stage.untilEnded(victim),
        () => undefined,
      );
      await stage.restart(victim);
      await sleep(1_500);
    },
  },
  {
    name: 'flip-log',
    about:
      'a bit of a frame flips in the log file of a replica that is down, and its store is lost, so that it reads the frame',
    run: async (stage) => {
      const [victim] = others(await stage.hub(), stage);
      await stage.untilApplied(victim, CHANGES_BEFORE_FLIP);
      await stage.kill(victim);
      await stage.disturb(`flip a bit of a frame in the log of ${victim}, and remove its store`, async () => {
        await flipFrame(stage.dataFolder(victim), stage.random);
        rmSync(join(stage.dataFolder(victim), 'store'), { recursive: true });
      });
      await stage.restart(victim);
      await stage.untilSaid(victim, 'frame-repaired');
      await sleep(1_000);
    },
  },
  {
    name: 'full-disk',
    about: 'the disk of the hub fills up to its reserve, and to the last byte, and has space again',
    skip: whyNoDisk,
    setup: (scope) => {
      const disk = mountDisk(scope, DISK_BYTES);
      return { settings: { ap: `, workers: 1, data: '${join(disk, 'data')}'` } };
    },
    run: async (stage) => {
      // The one with the small disk is the first hub.
      const ballast = join(stage.dataFolder('ap'), '..', 'ballast');
      const fill = (leaveBytes: number): void => {
        rmSync(ballast, { force: true });
        const { bavail, bsize } = statfsSync(dirname(ballast));
        try {
          writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        }
      };
      await sleep(500);
      await stage.disturb('the disk of ap is full to its reserve', () => fill(DISK_RESERVE_BYTES - 1024 * 1024));
      await stage.untilRefused('DISK_FULL');
      await stage.disturb('the disk of ap is full to the last byte', () => fill(0));
      await sleep(1_500);
      await stage.disturb('there is space again', () => rmSync(ballast));
      await stage.hub();
      await sleep(1_000);
    },
  },
];

/** The regions that are not hub, in a drawn order. */
export function others(hub: RegionName, stage: Stage): [RegionName, RegionName] {
  const left = REGIONS.filter((name) => name !== hub) as [RegionName, RegionName];
  return stage.random.chance(0.5) ? left : [left[1], left[0]];
}

/** The scenario of a name; throws with the names there are. */
export function scenarioOf(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined)
    throw new Error(`no scenario is named ${name}; there are ${SCENARIOS.map((each) => each.name).join(', ')}`);
  return found;
}
