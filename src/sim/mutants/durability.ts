import type { ChangeLog, LoggedFrame } from '#ports/change-log';
import type { RowWrite } from '#ports/online-store';
import { override } from '#sim/crash/override';
import type { Mutant } from '#sim/mutants/mutant';
import { underLease, underLossRefused, withApply } from '#sim/mutants/patching';

/** The log with what is on its way to disk readable like the rest. */
function readable(inner: ChangeLog): ChangeLog {
  const onTheirWay = new Map<string, LoggedFrame[]>();
  const pending = (stream: string): LoggedFrame[] => {
    const held = inner.head(stream).seq;
    return (onTheirWay.get(stream) ?? []).filter(({ to }) => to > held);
  };
  return override(inner, {
    head: (stream) => {
      const last = pending(stream).at(-1);
      return last === undefined ? inner.head(stream) : { seq: last.to, hash: last.hash };
    },
    hashAt: (stream, seq) => pending(stream).find(({ to }) => to === seq)?.hash ?? inner.hashAt(stream, seq),
    read: (stream, after, maxBytes) => [
      ...inner.read(stream, after, maxBytes),
      ...pending(stream).filter(({ from }) => from >= after),
    ],
    append: (stream, frames) => {
      onTheirWay.set(stream, [...pending(stream), ...frames]);
      return inner.append(stream, frames);
    },
  });
}

/** Bugs of the disk, the log and the store, each to be caught by an oracle. */
export const DURABILITY_MUTANTS: readonly Mutant[] = [
  {
    name: 'acknowledge-before-fsync',
    bug: 'The disk says that the log is durable before it is.',
    faults: ['crash-hub', 'crash-region'],
    oracles: ['I1', 'I5', 'I8'],
    lyingDisk: true,
  },
  {
    name: 'checkpoint-without-rows',
    bug: 'A row of a batch is now and then left out while the checkpoint moves on.',
    faults: ['reset-link'],
    oracles: ['I3', 'I4'],
    hiddenStore: (inner, random) =>
      withApply(inner, (batch, merge, after) => {
        const kept = batch.rows.map((_, index) => index).filter(() => !random.chance(0.01));
        const rows = kept.map((index) => batch.rows[index] as RowWrite);
        return inner.apply(
          { ...batch, rows },
          (key, stored, incoming, index) => merge(key, stored, incoming, kept[index] as number),
          after,
        );
      }),
  },
  {
    name: 'apply-twice',
    bug: 'A batch is now and then applied a second time.',
    faults: ['reset-link'],
    oracles: ['I5'],
    store: (inner, random) =>
      withApply(inner, async (batch, merge, after) => {
        const outcome = await inner.apply(batch, merge, after);
        if (batch.checkpoints.size > 0 && random.chance(0.05)) await inner.apply(batch, merge, after);
        return outcome;
      }),
  },
  {
    name: 'checkpoint-before-data',
    bug: 'Positions are written in a transaction of their own, before the rows.',
    faults: ['crash-region', 'crash-hub'],
    oracles: ['I3', 'I4', 'I5', 'I9'],
    hiddenStore: (inner, _random, pause) =>
      withApply(inner, async (batch, merge, after) => {
        if (batch.checkpoints.size === 0) return inner.apply(batch, merge, after);
        await inner.apply({ rows: [], checkpoints: batch.checkpoints, records: new Map() }, merge);
        await pause();
        return inner.apply({ ...batch, checkpoints: new Map() }, merge, after);
      }),
  },
  {
    name: 'data-before-checkpoint',
    firstSeeds: [11],
    bug: 'Rows are written in a transaction of their own, before the positions.',
    faults: ['crash-region', 'crash-hub'],
    oracles: ['I5', 'I9'],
    hiddenStore: (inner, _random, pause) =>
      withApply(inner, async (batch, merge, after) => {
        if (batch.checkpoints.size === 0) return inner.apply(batch, merge, after);
        const outcome = await inner.apply({ ...batch, checkpoints: new Map() }, merge, after);
        await pause();
        await inner.apply({ rows: [], checkpoints: batch.checkpoints, records: new Map() }, merge);
        return outcome;
      }),
  },
  {
    name: 'serve-before-durable',
    bug: 'Frames can be read, and are sent, before they are on disk.',
    faults: ['crash-hub', 'crash-region'],
    oracles: ['I5'],
    changeLog: readable,
  },
  {
    name: 'reuse-rolled-back-log',
    firstSeeds: [5],
    bug: 'A hub goes on in its old incarnation whatever others hold of it.',
    faults: ['copy-disks', 'roll-back-disks'],
    oracles: ['I5', 'once'],
    tune: underLossRefused,
    edit: {
      file: 'src/region/failover/authority.ts',
      find: 'const streams = whole ? last : this.#mintStreams();',
      put: 'const streams = true || whole ? last : this.#mintStreams();',
    },
  },
  {
    name: 'forget-earlier-life',
    firstSeeds: [67],
    bug: 'A hub that lost its disk within its epoch accepts before it has what peers hold of the epoch.',
    faults: ['wipe-disks', 'crash-hub', 'chase-hub', 'isolate-hub'],
    oracles: ['once'],
    tune: underLossRefused,
    edit: {
      file: 'src/region/failover/earlier-life.ts',
      find: 'if (this.#earlier.length === 0) return undefined;',
      put: 'if (this.#earlier.length >= 0) return undefined;',
    },
  },
  {
    name: 'trust-any-store',
    bug: 'A store that a dead machine left behind is used.',
    faults: ['crash-machine', 'power-loss'],
    oracles: ['I5'],
    edit: {
      file: 'src/region/apply/store-trust.ts',
      find: 'const trusted = mark !== undefined && (mark.clean || mark.bootId === this.#host.bootId());',
      put: 'const trusted = mark !== undefined;',
    },
  },
  {
    name: 'close-without-sync',
    bug: 'A store is marked clean before it is on disk.',
    faults: ['stop-region'],
    oracles: ['I3', 'I4', 'I5', 'I14'],
    edit: {
      file: 'src/region/apply/store-trust.ts',
      find: `    await this.#store.sync();
`,
      put: '',
    },
  },
  {
    name: 'fsync-error-passed-over',
    bug: 'A write that failed counts as done.',
    faults: ['failed-fsync'],
    oracles: ['I1', 'I5', 'I14', 'health'],
    edit: {
      file: 'src/region/replicate/namespace-log.ts',
      find: 'const guarded = write.catch((error: unknown) => this.#host.fatal(error));',
      put: 'const guarded = write.catch(() => undefined);',
    },
  },
  {
    name: 'rebuild-keeps-positions',
    bug: 'A store is emptied and the positions are kept.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'isolate-hub-with-one'],
    oracles: ['I3', 'I4', 'I5'],
    tune: underLease,
    edit: [
      {
        file: 'src/region/apply/applier.ts',
        find: `async #fillAgain(): Promise<void> {
    this.#checkpoints.clear();`,
        put: 'async #fillAgain(): Promise<void> {',
      },
      {
        file: 'src/region/apply/applier.ts',
        find: `reload(): void {
    this.#checkpoints.clear();`,
        put: 'reload(): void {',
      },
    ],
  },
  {
    name: 'batch-limit-off-by-one',
    bug: 'The change that meets the limit of a frame is left out; the limit is lowered so that it is met.',
    faults: ['reset-link'],
    oracles: ['I1'],
    edit: [
      {
        file: 'src/region/ingest/frame-builder.ts',
        find: 'FRAME_CHANGES_TARGET = 1024',
        put: 'FRAME_CHANGES_TARGET = 4',
      },
      {
        file: 'src/region/ingest/frame-builder.ts',
        find: `          mark(false);
          flush();
`,
        put: `          mark(false);
          flush();
          taken += 1;
          continue;
`,
      },
    ],
  },
  {
    name: 'fetch-ends-early',
    bug: 'An answer to a fetch lacks the last frame.',
    faults: ['isolate-hub', 'crash-hub', 'isolate-hub-with-one', 'chase-hub'],
    oracles: ['I14', 'I5'],
    tune: underLease,
    edit: {
      file: 'src/region/replicate/link-server.ts',
      find: '.filter((frame) => frame.to <= upTo);',
      put: '.filter((frame) => frame.to < upTo);',
    },
  },
  {
    name: 'acknowledge-mirror-before-durable',
    bug: 'A mirror acknowledges what is on its way to disk.',
    faults: ['crash-machine', 'crash-region', 'power-loss', 'isolate-hub'],
    oracles: ['I1', 'I2', 'I5'],
    tune: underLease,
    edit: {
      file: 'src/region/replicate/namespace-log.ts',
      find: `    await this.#write(stream, [frame]);
`,
      put: `    void this.#write(stream, [frame]);
`,
    },
  },
  {
    name: 'audit-chain-forgets',
    bug: 'The audit log does not find its end after a start.',
    faults: ['crash-region', 'stop-region', 'isolate-hub'],
    oracles: ['I12'],
    edit: {
      file: 'src/region/audit/audit-log.ts',
      find: 'this.#head = (last === undefined ? undefined : decodeEntry(last[1])?.hash) ?? GENESIS;',
      put: 'this.#head = GENESIS;',
    },
  },
];
