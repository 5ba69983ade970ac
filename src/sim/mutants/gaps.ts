import type { Knobs } from '#sim/knobs';
import type { Mutant } from '#sim/mutants/mutant';
import { underLease } from '#sim/mutants/patching';

/** Logs that soon let go of what they may, stores that are copied in small pieces, and writes all the while. */
function forgetful(knobs: Knobs, retention = { ageMs: 400, bytes: 1e9 }): Knobs {
  const tuned = underLease(knobs);
  return {
    ...tuned,
    namespaces: tuned.namespaces.map((one) => ({ ...one, retention, ttlSeconds: null, partitions: 1 })),
    copyChunkBytes: 1000,
    workload: { ...tuned.workload, intervalMs: 15, keys: 20 },
    sessions: { ...tuned.sessions, count: 0 },
  };
}

/** The same, where a region that was away finds its peers' logs beginning above its own. */
function crowded(knobs: Knobs): Knobs {
  return forgetful(knobs, { ageMs: 400, bytes: 8000 });
}

/** Bugs of retention, gaps and backfill, each to be caught by an oracle. */
export const GAPS_MUTANTS: readonly Mutant[] = [
  {
    name: 'truncate-without-snapshot',
    firstSeeds: [17],
    bug: 'Frames leave the log although no durable snapshot holds them.',
    faults: ['power-loss', 'lose-store', 'crash-machine'],
    oracles: ['I1', 'I4', 'I5', 'I14'],
    tune: (knobs) => forgetful(knobs),
    edit: {
      file: 'src/region/retain/retention.ts',
      find: 'const upTo = log.mayLetGo(stream, Math.min(cut.upTo, relied?.manifest.from[stream] ?? 0));',
      put: 'const upTo = log.mayLetGo(stream, Math.min(cut.upTo, this.#applier.checkpoint(stream)));',
    },
  },
  {
    name: 'truncate-without-members',
    firstSeeds: [5],
    bug: 'Frames leave the log whether the other regions hold them or not.',
    faults: ['isolate', 'crash-region', 'cut-one-way'],
    oracles: ['I1'],
    tune: (knobs) => forgetful(knobs),
    edit: {
      file: 'src/region/retain/retention.ts',
      find: 'return Math.min(log.head(stream).seq, ...this.#peers.map((peer) => this.#heldBy(peer, stream)));',
      put: 'return log.head(stream).seq;',
    },
  },
  {
    name: 'let-go-of-only-copy',
    firstSeeds: [5],
    bug: 'Where space is short, frames leave the log that no other region holds.',
    faults: ['isolate-hub'],
    oracles: ['I1', 'I14'],
    tune: (knobs) => ({ ...forgetful(knobs, { ageMs: 1000, bytes: 3000 }), copyChunkBytes: 64_000 }),
    edit: {
      file: 'src/region/retain/retention.ts',
      find: 'return this.#peers.length === 0\n      ? head',
      put: 'return this.#peers.length >= 0\n      ? head',
    },
  },
  {
    name: 'backfill-to-its-end',
    firstSeeds: [7],
    bug: 'After a backfill the streams go on from where the peer was at its end, not at its beginning.',
    faults: ['wipe-disks', 'wipe-disks', 'crash-region'],
    oracles: ['I3', 'I4', 'I5', 'I14'],
    tune: (knobs) => {
      const tuned = crowded(knobs);
      return { ...tuned, workload: { ...tuned.workload, keys: 200, hotShare: 0 } };
    },
    edit: {
      file: 'src/region/retain/backfiller.ts',
      find: 'if (seq > this.#applier.checkpoint(stream)) checkpoints.set(stream, seq);',
      put: 'if (seq > this.#applier.checkpoint(stream)) checkpoints.set(stream, Math.max(seq, this.#applier.projection.reach(stream)));',
    },
  },
  {
    name: 'skip-chunk-at-resume',
    firstSeeds: [3],
    bug: 'A backfill goes on one chunk too far, now and then.',
    faults: ['wipe-disks'],
    oracles: ['I3', 'I4'],
    tune: crowded,
    edit: {
      file: 'src/region/retain/backfiller.ts',
      find: 'const { rows, codecs, records, merge } = mergeChunk(blob, this.#store, this.#views);',
      put: 'const { rows, codecs, records, merge } = mergeChunk(state.chunks % 2 === 1 ? blob.subarray(0, 0) : blob, this.#store, this.#views);',
    },
  },
  {
    name: 'copy-reaches-nowhere',
    explained:
      'Shows only when a seal falls between the two vectors of a copy that is then used; 14 seeds with 150 snapshots did not bring that about. A unit test holds it: src/region/apply/projection.test.ts.',
    bug: 'Rows that came by a copy are taken for no more than the vector at which the copy began, whatever seal comes.',
    faults: ['isolate-hub'],
    oracles: ['I2', 'I3', 'I4', 'I5'],
    tune: (knobs) => {
      const tuned = crowded(knobs);
      return {
        ...tuned,
        workload: { ...tuned.workload, keys: 200, hotShare: 0 },
        copyChunkBytes: 1500,
        disk: { ...tuned.disk, fsyncMs: 8 },
      };
    },
    edit: [
      {
        file: 'src/region/apply/projection.ts',
        find: 'for (const positions of [checkpoints, this.#reach]) {',
        put: 'for (const positions of [checkpoints]) {',
      },
      {
        file: 'src/region/retain/snapshot-restorer.ts',
        find: 'if (beyond !== undefined)',
        put: 'if (beyond !== undefined && manifest.chunks < 0)',
      },
    ],
  },
  {
    name: 'apply-over-damage',
    firstSeeds: [2],
    bug: 'A frame that the disk gives back changed is passed over.',
    faults: ['flip-log-bit', 'lose-store', 'crash-machine'],
    oracles: ['I3', 'I4', 'I5', 'health'],
    tune: (knobs) => {
      const tuned = underLease(knobs);
      return { ...tuned, faults: { ...tuned.faults, intervalMs: 150 } };
    },
    edit: {
      file: 'src/adapters/kv/kv-change-log.ts',
      find: 'if (!isWhole(value)) {\n        if (frames.length > 0) break;',
      put: 'if (!isWhole(value)) {\n        if (frames.length >= 0) continue;',
    },
  },
  {
    name: 'serve-damage',
    firstSeeds: [2],
    bug: 'The checksum of stored frames is not looked at: what the disk gives back is applied and sent.',
    faults: ['flip-log-bit', 'lose-store', 'crash-machine', 'isolate'],
    oracles: ['I3', 'I4', 'I5', 'I14', 'health'],
    tune: (knobs) => {
      const tuned = underLease(knobs);
      return { ...tuned, faults: { ...tuned.faults, intervalMs: 150 } };
    },
    edit: {
      file: 'src/adapters/kv/kv-change-log.ts',
      find: 'return value.length >= BYTES_OFFSET && value.readUInt32BE(0) === crc32(value.subarray(CRC_BYTES));',
      put: 'return value.length >= BYTES_OFFSET;',
    },
  },
];
