// A flipped bit where it counts: in bytes that a dead region will read at its next start, or serve.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { CHANGE_LOG_TABLES, KvChangeLog } from '#adapters/kv/kv-change-log';
import { LmdbKv } from '#adapters/lmdb/lmdb-kv';
import { openOnlineReader } from '#adapters/lmdb/region-storage';
import { flipBitIn } from '#adapters/lmdb/testing/flip-bit';
import { decodeFrame } from '#core/codec/frame';
import type { ViewCodec } from '#core/codec/view-codec';
import type { SeededRandom } from '#sim/kernel/seeded-random';

const READ_BYTES = 1024 * 1024;

/**
 * In the log of a region that does not run: in a frame of rows that another one follows, because what is damaged at the end
 * of a stream is cut off as if it had never been written. Says which frame.
 */
export async function flipFrame(dataFolder: string, random: SeededRandom): Promise<string> {
  const folder = join(dataFolder, 'log');
  const kv = LmdbKv.open({
    folder,
    tables: CHANGE_LOG_TABLES,
    durability: 'fsync',
    mapBytes: 1024 ** 4,
    reserveBytes: 0,
  });
  const frames: { readonly name: string; readonly bytes: Buffer }[] = [];
  try {
    const log = new KvChangeLog(kv);
    for (const stream of log.streams()) {
      const head = log.head(stream).seq;
      let at = log.start(stream).seq;
      for (let page = log.read(stream, at, READ_BYTES); page.length > 0; page = log.read(stream, at, READ_BYTES))
        for (const { bytes, to } of page) {
          at = to;
          const name = `the frame of ${stream} that ends at ${to}`;
          if (to < head && decodeFrame(Buffer.from(bytes)).frame.kind === 'rows')
            frames.push({ name, bytes: Buffer.from(bytes) });
        }
    }
  } finally {
    await kv.close();
  }
  const chosen = frames[random.integer(frames.length)];
  assert.ok(chosen !== undefined, `${folder} holds a frame of rows that another one follows`);
  assert.ok(flipBitIn(join(folder, 'data.mdb'), chosen.bytes) > 0, `${chosen.name} is in the file`);
  return chosen.name;
}

/** In the store of a region that does not run: in the row of one of these entity keys as it stands there. Says which. */
export async function flipRow(dataFolder: string, codec: ViewCodec, sensors: readonly number[]): Promise<string> {
  const reader = openOnlineReader(dataFolder);
  const rows = new Map<number, Buffer>();
  try {
    for (const sensor of sensors) {
      const row = reader.row(codec.rowKey(codec.encodeKey([BigInt(sensor)])));
      if (row !== undefined) rows.set(sensor, Buffer.from(row));
    }
  } finally {
    await reader.close();
  }
  const [chosen] = rows;
  assert.ok(chosen !== undefined, `the store below ${dataFolder} has a row of one of the keys ${sensors.join(', ')}`);
  const [sensor, bytes] = chosen;
  assert.ok(flipBitIn(join(dataFolder, 'store', 'data.mdb'), bytes) > 0, `the row of key ${sensor} is in the file`);
  return `the row of key ${sensor}`;
}
