import { join } from 'node:path';
import { openRegionStorage, type RegionStorage } from '#adapters/lmdb/region-storage';
import { cellSource, encodeCell, payloadStart } from '#core/codec/cell';
import { decodeChanges } from '#core/codec/changes';
import { decodeFrame, type Frame } from '#core/codec/frame';
import { ROW_KEY_PREFIX_BYTES } from '#core/codec/view-codec';
import { decodeLease, type LeaseRecord, standingOf } from '#core/failover/lease';
import { decodeCut } from '#core/merge/expiry';
import { readEventTimeUs, type Stamp } from '#core/model/stamp';
import { parseStreamKey, type StreamKey } from '#core/model/stream';

/** A change that a hub acknowledged to the demo's ingest, remembered by the demo itself. */
export interface AcknowledgedChange {
  /** View-version prefix and entity key, as latin1 text. */
  readonly rowKey: string;
  readonly eventTimeUs: number;
  readonly row: Buffer;
}

export interface Verdict {
  /** Rows that should exist, compared byte by byte in every region. */
  readonly rowsCompared: number;
  readonly rowsDiffering: number;
  readonly rowsPerRegion: Readonly<Record<string, number>>;
  /** Acknowledged changes found in no region's rows (nor outranked there) and in no tail. */
  readonly ackedRowsLost: number;
  /** Changes found in a region's store, or covered by its checkpoints, beyond a seal. */
  readonly staleEpochWritesApplied: number;
  /** Changes held beyond seals, over all regions, each change once. */
  readonly tailRows: number;
  readonly epochs: number;
  /** The region whose change is a row's value, by the merge that the regions were compared with. */
  readonly winnerOf: (rowKey: Buffer) => string | undefined;
}

interface Value {
  readonly stamp: Stamp;
  readonly bytes: Buffer;
}

/**
 * Judges the stopped regions from their disks alone, with a merge of its own: reads every frame of every log, keeps what
 * lies within the seals, merges it by comparing decoded stamps, and compares the result with every row of every region.
 */
export async function verifyRegions(options: {
  readonly folders: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly bootId: string;
  readonly acknowledged: readonly AcknowledgedChange[];
  /** The namespace has a hub: what lies beyond a seal does not count. Else everything in any log does. */
  readonly leased?: boolean;
  readonly progress: (text: string) => void;
}): Promise<Verdict> {
  const storages = new Map<string, RegionStorage>();
  try {
    for (const [region, folder] of Object.entries(options.folders))
      storages.set(region, openRegionStorage({ folder: join(folder), bootId: options.bootId }));
    const record = options.leased === false ? undefined : latestRecord([...storages.values()], options.namespace);
    options.progress('merging every logged frame');
    const logs = readLogs(storages, record);
    const reference = merge(logs.valid);
    // What a cut has removed, or will, is in no row; the clients were told all the same that it was written.
    const isExpired = (rowKey: string, eventTimeUs: number): boolean =>
      eventTimeUs < (logs.cuts.get(rowKey.slice(0, ROW_KEY_PREFIX_BYTES)) ?? Number.NEGATIVE_INFINITY);
    const lasting = new Map([...reference].filter(([key, { stamp }]) => !isExpired(key, stamp.eventTimeUs)));
    let rowsDiffering = 0;
    const rowsPerRegion: Record<string, number> = {};
    for (const [region, storage] of storages) {
      options.progress(`comparing ${region}`);
      const { rows, differing } = compare(storage, lasting, isExpired);
      rowsPerRegion[region] = rows;
      rowsDiffering += differing;
    }
    options.progress('looking for acknowledged changes');
    const tailValues = merge(logs.tails);
    // Of concurrent writes of one age only one is in the rows; all of them are in the logs.
    const logged = record === undefined ? contents(logs.valid) : undefined;
    const ackedRowsLost = options.acknowledged.filter((change) =>
      logged === undefined
        ? !holds(reference, change) && !holds(tailValues, change)
        : !logged.has(contentOf(change.rowKey, change.eventTimeUs, change.row)),
    ).length;
    return {
      rowsCompared: lasting.size,
      rowsDiffering,
      rowsPerRegion,
      ackedRowsLost,
      staleEpochWritesApplied: record === undefined ? 0 : appliedBeyondSeals([...storages.values()], record),
      tailRows: logs.tailRows,
      epochs: record?.epoch ?? 1,
      winnerOf: (rowKey) => reference.get(rowKey.toString('latin1'))?.stamp.origin,
    };
  } finally {
    for (const storage of storages.values()) await storage.close();
  }
}

function latestRecord(storages: readonly RegionStorage[], namespace: string): LeaseRecord {
  const leases = storages
    .map((storage) => storage.journal.get(`lease/${namespace}`))
    .filter((bytes) => bytes !== undefined)
    .map(decodeLease);
  const latest = leases.sort((a, b) => b.revision - a.revision)[0];
  if (latest === undefined) throw new Error(`no region knows a lease of ${namespace}`);
  return latest.record;
}

function readLogs(
  storages: ReadonlyMap<string, RegionStorage>,
  record: LeaseRecord | undefined,
): { valid: Frame[]; tails: Frame[]; tailRows: number; cuts: ReadonlyMap<string, number> } {
  const cuts = new Map<string, number>();
  const valid = new Map<string, Frame>();
  const tails = new Map<string, Frame>();
  for (const [region, { changeLog }] of storages) {
    for (const stream of changeLog.streams()) {
      const standing = record === undefined ? ({ kind: 'open', epoch: 1 } as const) : standingOf(record, stream);
      let position = 0;
      for (;;) {
        const page = changeLog.read(stream, position, 4 * 1024 * 1024);
        if (page.length === 0) break;
        for (const logged of page) {
          const { frame } = decodeFrame(logged.bytes);
          if (frame.from !== position) throw new Error(`${region}: ${stream} has a hole at ${position}`);
          position = frame.to;
          const beyond = standing.kind === 'unknown' || (standing.kind === 'sealed' && frame.to > standing.seal);
          if (frame.kind === 'expiry' && !beyond) {
            const prefix = rowKeyPrefix(frame);
            cuts.set(prefix, Math.max(decodeCut(frame.payload), cuts.get(prefix) ?? Number.NEGATIVE_INFINITY));
          }
          if (frame.kind !== 'rows') continue;
          (beyond ? tails : valid).set(`${stream} ${frame.from}`, frame);
        }
      }
    }
  }
  const tailRows = [...tails.values()].reduce((sum, frame) => sum + frame.to - frame.from, 0);
  return { valid: [...valid.values()], tails: [...tails.values()], tailRows, cuts };
}

/** What stands before the entity keys of the frame's view version in a store. */
function rowKeyPrefix({ viewVersion }: Frame): string {
  return Buffer.from(viewVersion.slice(0, 2 * ROW_KEY_PREFIX_BYTES), 'hex').toString('latin1');
}

/** Every change of these frames, by its content. */
function contents(frames: readonly Frame[]): Set<string> {
  const found = new Set<string>();
  for (const frame of frames) {
    const prefix = rowKeyPrefix(frame);
    for (const { key, eventTimeUs, row } of decodeChanges(frame.payload, frame.to - frame.from))
      found.add(contentOf(prefix + key.toString('latin1'), eventTimeUs, row));
  }
  return found;
}

function contentOf(rowKey: string, eventTimeUs: number, row: Buffer): string {
  return `${rowKey} ${eventTimeUs} ${row.toString('latin1')}`;
}

/** The greatest value of each key, by comparing decoded stamps field by field. */
function merge(frames: readonly Frame[]): Map<string, Value> {
  const merged = new Map<string, Value>();
  for (const frame of frames) {
    const prefix = rowKeyPrefix(frame);
    const original = frame.replay?.original ?? frame;
    const base = original.hlc;
    const origin = originOf(original.stream);
    const source = cellSource(original.stream);
    if (source === undefined) throw new Error(`${original.stream} is no stream`);
    for (const change of decodeChanges(frame.payload, frame.to - frame.from)) {
      const stamp: Stamp = {
        eventTimeUs: change.eventTimeUs,
        hlc: { wallMs: base.wallMs, counter: base.counter + change.offset },
        origin,
      };
      const key = prefix + change.key.toString('latin1');
      const known = merged.get(key);
      if (known !== undefined && !outranks(stamp, known.stamp)) continue;
      const bytes = encodeCell({
        ...stamp,
        source,
        seq: original.from + change.offset + 1,
        operation: change.operation,
        generation: null,
        payload: change.row,
      });
      merged.set(key, { stamp, bytes });
    }
  }
  return merged;
}

function originOf(stream: StreamKey): string {
  return parseStreamKey(stream)?.origin ?? '';
}

function outranks(a: Stamp, b: Stamp): boolean {
  if (a.eventTimeUs !== b.eventTimeUs) return a.eventTimeUs > b.eventTimeUs;
  if (a.hlc.wallMs !== b.hlc.wallMs) return a.hlc.wallMs > b.hlc.wallMs;
  if (a.hlc.counter !== b.hlc.counter) return a.hlc.counter > b.hlc.counter;
  if (a.origin.length !== b.origin.length) return a.origin.length > b.origin.length;
  return a.origin > b.origin;
}

function compare(
  storage: RegionStorage,
  reference: ReadonlyMap<string, Value>,
  isExpired: (rowKey: string, eventTimeUs: number) => boolean,
): { rows: number; differing: number } {
  let rows = 0;
  let differing = 0;
  let after: Buffer | undefined;
  for (;;) {
    const page = storage.onlineStore.scan(Buffer.alloc(0), after, 10_000);
    if (page.length === 0) break;
    for (const [key, value] of page) {
      after = key;
      const name = key.toString('latin1');
      // Cut, and not swept yet.
      if (isExpired(name, readEventTimeUs(value))) continue;
      rows += 1;
      if (reference.get(name)?.bytes.equals(value) !== true) differing += 1;
    }
  }
  return { rows, differing: differing + Math.max(0, reference.size - rows) };
}

/** The change itself, or a value that outranks it by event time, or equally old a later one. */
function holds(values: ReadonlyMap<string, Value>, change: AcknowledgedChange): boolean {
  const value = values.get(change.rowKey);
  if (value === undefined || value.stamp.eventTimeUs < change.eventTimeUs) return false;
  if (value.stamp.eventTimeUs > change.eventTimeUs) return true;
  return value.bytes.subarray(payloadStart(value.bytes, 0, false)).equals(change.row);
}

function appliedBeyondSeals(storages: readonly RegionStorage[], record: LeaseRecord): number {
  let beyond = 0;
  for (const { onlineStore } of storages) {
    for (const [stream, applied] of onlineStore.checkpoints()) {
      const standing = standingOf(record, stream);
      if (standing.kind === 'sealed') beyond += Math.max(0, applied - standing.seal);
      if (standing.kind === 'unknown') beyond += applied;
    }
  }
  return beyond;
}
