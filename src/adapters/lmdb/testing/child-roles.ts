// Entry point of the processes that the tests fork: `child-roles.ts <role> <folder> …`.
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { testFrame, testFrames, testStream } from '#adapters/contracts/change-log.contract';
import { greatest, testBatch } from '#adapters/contracts/online-store.contract';
import { toAntipodeError } from '#core/errors';
import { openOnlineReader, openRegionStorage, type RegionStorage } from '../region-storage.ts';
import { MIB } from './temporary-folder.ts';

const [role, folder = '', extra = ''] = process.argv.slice(2);

function tell(message: unknown): void {
  process.send?.(message);
}

function openStorage(): RegionStorage {
  return openRegionStorage({
    folder,
    bootId: 'boot-1',
    storeMapBytes: 1024 * MIB,
    storeReserveBytes: 8 * MIB,
    logReserveBytes: 4 * MIB,
  });
}

/** Says only that it holds the folder, or why not. */
function holdLock(): void {
  try {
    openStorage();
    tell('holding');
    setInterval(() => {}, 1000);
  } catch (error) {
    tell(toAntipodeError(error).code);
    process.disconnect?.();
  }
}

/** Answers each message, a key, with the row as this process sees it, and with whether it could be read twice alike. */
function serveRows(): void {
  const reader = openOnlineReader(folder);
  process.on('message', (key: string) => {
    const read = (): string => {
      const values: string[] = [];
      for (let i = 0; i < 20; i++) values.push(reader.row(Buffer.from(key))?.toString() ?? 'none');
      return new Set(values).size === 1 ? (values[0] as string) : `mixed ${values.join()}`;
    };
    tell(read());
  });
  tell('ready');
}

/** Reads two rows that every batch sets alike, as fast as it can, and tells of a pair that differs. */
async function watchPair(): Promise<void> {
  const reader = openOnlineReader(folder);
  const counts = { reads: 0, changes: 0, torn: 0 };
  let running = true;
  process.once('message', () => {
    running = false;
  });
  tell('ready');
  let last = '';
  while (running) {
    for (let i = 0; i < 200; i++) {
      const first = reader.row(Buffer.from('pair/first'))?.toString() ?? '';
      const second = reader.row(Buffer.from('pair/second'))?.toString() ?? '';
      counts.reads++;
      if (first !== second) counts.torn++;
      if (first !== last) counts.changes++;
      last = first;
      await Promise.resolve();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await reader.close();
  tell(counts);
  process.disconnect?.();
}

/** Appends and applies until it is killed, telling what was acknowledged. Several appends are always on their way. */
async function writeUntilKilled(): Promise<void> {
  const storage = openStorage();
  const streams = [testStream('us-east'), testStream('eu-west')];
  const lane = async (stream: string, laneIndex: number): Promise<void> => {
    let end = storage.changeLog.head(stream).seq;
    for (let n = 0; ; n++) {
      const frames = [testFrame(end, end + 5, 200 + (n % 7) * 5000), testFrame(end + 5, end + 9)];
      end += 9;
      const appended = storage.changeLog.append(stream, frames);
      const journalled = storage.journal.write([
        { kind: 'put', key: `end/${laneIndex}`, value: Buffer.from(`${end}`) },
      ]);
      await Promise.all([appended, journalled]);
      tell({ stream, end, laneIndex });
      await storage.onlineStore.apply(
        testBatch({
          rows: Array.from({ length: 40 }, (_, i) => [`${stream}/${(n * 13 + i) % 500}`, String(end).padStart(9, '0')]),
          checkpoints: { [stream]: end },
          records: { [`last/${stream}`]: String(end) },
        }),
        greatest,
      );
    }
  };
  tell('ready');
  await Promise.all(streams.map(lane));
}

/** Fills the disk it is on: first the store, then the log; tells how each ended and whether what was there is there. */
async function fillDisk(): Promise<void> {
  const storage = openStorage();
  const { onlineStore, changeLog } = storage;
  const stream = testStream('us-east');
  let frames = 0;
  const ended: Record<string, unknown> = {};
  const until = async (work: (n: number) => Promise<unknown>): Promise<{ done: number; code: string }> => {
    for (let n = 0; ; n++) {
      try {
        await work(n);
      } catch (error) {
        return { done: n, code: toAntipodeError(error).code };
      }
    }
  };
  await changeLog.append(stream, testFrames(0, 10));
  frames += 10;
  const value = 'x'.repeat(500);
  const apply = (n: number): Promise<unknown> =>
    onlineStore.apply(
      testBatch({
        rows: Array.from({ length: 300 }, (_, i) => [`row-${(n * 300 + i) * 7919}`, value]),
        checkpoints: { [stream]: n + 1 },
      }),
      greatest,
    );
  if (extra === 'log') {
    ended['log'] = await until(async () => {
      const from = changeLog.head(stream).seq;
      await changeLog.append(stream, [testFrame(from, from + 1, 30_000)]);
      frames++;
    });
  }
  const store = await until(apply);
  ended['store'] = store;
  ended['checkpoint'] = onlineStore.checkpoint(stream);
  ended['rows'] = onlineStore.rowCount();
  ended['scanned'] = onlineStore.scan(Buffer.from('row-'), undefined, 10 ** 9).length;
  ended['again'] = (await until(apply)).code;
  ended['framesHeld'] = changeLog.read(stream, 0, Number.POSITIVE_INFINITY).length === frames;
  await onlineStore.wipe();
  ended['wiped'] = onlineStore.rowCount();
  await onlineStore.sync();
  tell(ended);
  process.disconnect?.();
}

/** Takes LMDB's file from under it, so that the next commit fails half way; tells what callers then see. */
async function failCommit(): Promise<void> {
  const storage = openStorage();
  const { changeLog, journal } = storage;
  const stream = testStream('us-east');
  await changeLog.append(stream, testFrames(0, 10));
  for (const name of readdirSync('/proc/self/fd')) {
    const target = linkOf(`/proc/self/fd/${name}`);
    if (target.endsWith('/log/data.mdb')) closeSync(Number(name));
  }
  const codeOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'resolved',
      (error: unknown) => toAntipodeError(error).code,
    );
  const together = await Promise.all([
    codeOf(changeLog.append(stream, testFrames(30, 1))),
    codeOf(changeLog.append(stream, testFrames(33, 1))),
    codeOf(journal.write([{ kind: 'delete', key: 'k' }])),
  ]);
  const later = await codeOf(journal.write([{ kind: 'delete', key: 'k' }]));
  tell({ together, later, head: changeLog.head(stream).seq, readable: changeLog.read(stream, 0, 1e9).length });
  process.exit(0);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

switch (role) {
  case 'fail-commit':
    await failCommit();
    break;
  case 'hold-lock':
    holdLock();
    break;
  case 'serve-rows':
    serveRows();
    break;
  case 'watch-pair':
    await watchPair();
    break;
  case 'write-until-killed':
    await writeUntilKilled();
    break;
  case 'fill-disk':
    await fillDisk();
    break;
  default:
    throw new Error(`no role ${role}`);
}
