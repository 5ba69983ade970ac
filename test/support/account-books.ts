// An independent account of what became of every change: read from the data folders of stopped regions, not asked of them.
import { join } from 'node:path';
import { JOURNAL_TABLES, KvJournal } from '#adapters/kv/kv-journal';
import { LmdbKv } from '#adapters/lmdb/lmdb-kv';
import { openRegionStorage } from '#adapters/lmdb/region-storage';
import { JsonLogger } from '#adapters/system/json-logger';
import { SystemHost } from '#adapters/system/system-host';
import type { Topology } from '#cli/topology';
import { decodeChanges } from '#core/codec/changes';
import { decodeFrame } from '#core/codec/frame';
import { decodeLeaseRecord, type LeaseRecord } from '#core/failover/lease';

const READ_BYTES = 4 * 1024 * 1024;

export interface RegionBooks {
  /** For each change by its identity: how often it stands in a valid part of a stream, and how often in a tail. */
  readonly valid: ReadonlyMap<string, number>;
  readonly tails: ReadonlyMap<string, number>;
  /** Stored rows by key, both hexadecimal, idempotency and bookkeeping left out. */
  readonly rows: ReadonlyMap<string, string>;
}

/** A change is named by what the client sent: no two rows of the tests have the same. */
export function changeIdentity(change: {
  readonly eventTimeUs: number;
  readonly key: Buffer;
  readonly row: Buffer;
}): string {
  return `${change.eventTimeUs} ${change.key.toString('hex')} ${change.row.toString('hex')}`;
}

/** The lease record as the stopped control store has it on disk. */
export async function readLease(topology: Topology, namespace: string): Promise<LeaseRecord> {
  const kv = LmdbKv.open({
    folder: join(topology.paths.data('control'), 'log'),
    tables: JOURNAL_TABLES,
    durability: 'fsync',
    mapBytes: 1024 ** 3,
    reserveBytes: 0,
  });
  try {
    const stored = new KvJournal(kv).get(`control/lease/${namespace}`);
    if (stored === undefined) throw new Error(`no lease of ${namespace}`);
    return decodeLeaseRecord(Buffer.from(stored).subarray(8));
  } finally {
    await kv.close();
  }
}

/** Reads log and store of a stopped region. */
export async function readBooks(topology: Topology, region: string, lease: LeaseRecord): Promise<RegionBooks> {
  const folder = topology.paths.data(region);
  const host = new SystemHost({ dataDirectory: folder, logger: new JsonLogger({ level: 'silent' }) });
  const storage = openRegionStorage({ folder, bootId: host.bootId() });
  try {
    const valid = new Map<string, number>();
    const tails = new Map<string, number>();
    for (const stream of storage.changeLog.streams()) {
      const seal = sealOf(lease, stream);
      let at = 0;
      for (;;) {
        const frames = storage.changeLog.read(stream, at, READ_BYTES);
        if (frames.length === 0) break;
        for (const { bytes, to } of frames) {
          at = to;
          const { frame } = decodeFrame(Buffer.from(bytes));
          if (frame.kind !== 'rows') continue;
          const book = to <= seal ? valid : tails;
          for (const change of decodeChanges(frame.payload, frame.to - frame.from)) {
            const name = changeIdentity(change);
            book.set(name, (book.get(name) ?? 0) + 1);
          }
        }
      }
    }
    return { valid, tails, rows: readRows(storage.onlineStore) };
  } finally {
    await storage.close();
  }
}

function readRows(store: ReturnType<typeof openRegionStorage>['onlineStore']): Map<string, string> {
  const rows = new Map<string, string>();
  let after: Buffer | undefined;
  for (;;) {
    const page = store.scan(Buffer.alloc(0), after, 1000);
    for (const [key, value] of page) rows.set(key.toString('hex'), value.toString('hex'));
    after = page.at(-1)?.[0];
    if (page.length < 1000 || after === undefined) return rows;
  }
}

/** Up to where a stream counts: its seal in a closed epoch, everything in the open one, nothing when it is in neither. */
function sealOf(lease: LeaseRecord, stream: string): number {
  if (lease.streams.includes(stream)) return Number.POSITIVE_INFINITY;
  for (const seals of Object.values(lease.seals)) {
    const seal = seals[stream];
    if (seal !== undefined) return seal;
  }
  return 0;
}
