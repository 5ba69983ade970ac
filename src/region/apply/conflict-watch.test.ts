import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvJournal } from '#adapters/kv/kv-journal';
import { KvOnlineStore } from '#adapters/kv/kv-online-store';
import { MemoryDisk } from '#adapters/memory/memory-disk';
import { MemoryKv } from '#adapters/memory/memory-kv';
import { cellSource } from '#core/codec/cell';
import { decodeChanges, encodeChanges } from '#core/codec/changes';
import { decodeFrame, encodeFrame, type Frame, FULL_CLASS, type ReplaySource } from '#core/codec/frame';
import { encodeStored } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import { AntipodeError } from '#core/errors';
import type { StreamStanding } from '#core/failover/lease';
import { ZERO_HASH } from '#core/hash';
import { mergeOf } from '#core/merge/merge-of';
import type { FeatureView } from '#core/model/feature-view';
import { withVersion } from '#core/model/feature-view-definition';
import type { LoggedFrame } from '#ports/change-log';
import type { RowWrite } from '#ports/online-store';
import { ConflictLedger } from '#region/apply/conflict-ledger';
import { queryConflicts } from '#region/apply/conflict-query';
import { ConflictTotals } from '#region/apply/conflict-totals';
import { ConflictWatch } from '#region/apply/conflict-watch';
import { ViewRegistry } from '#region/apply/view-registry';
import { TEST_VIEW } from '#region/testing/in-process.fixture';

const US = 'flights/0/us-east/00000000000000a1';
const EU = 'flights/0/eu-west/00000000000000b1';
const AP = 'flights/0/ap-south/00000000000000c1';

interface Write {
  readonly key: string;
  /** Event time, microseconds. */
  readonly at: number;
  readonly delay?: number | null;
  readonly deleted?: boolean;
}

/** A region reduced to what is applied: frames are logged and then merged, as the applier does. */
class Bench {
  readonly codec: ViewCodec;
  readonly registry: ViewRegistry;
  store = new KvOnlineStore(new MemoryKv(new MemoryDisk()));
  readonly journal = new KvJournal(new MemoryKv(new MemoryDisk()));
  readonly #logs = new Map<string, LoggedFrame[]>();
  readonly #applied = new Map<string, number>();
  /** What is stored is handed over as LMDB does it: in a buffer that the next read of anything overwrites. */
  readonly #shared = Buffer.alloc(64 * 1024);
  readonly seals: Record<string, number> = {};
  watch: ConflictWatch;

  constructor(view: FeatureView = TEST_VIEW) {
    this.codec = new ViewCodec(view);
    this.registry = new ViewRegistry([view]);
    this.watch = this.open();
  }

  /** The watch of a process that starts now. */
  open(keptMax?: number): ConflictWatch {
    const held = {
      standing: (stream: string): StreamStanding => {
        const seal = this.seals[stream];
        return seal === undefined ? { kind: 'open', epoch: 1 } : { kind: 'sealed', epoch: 1, seal };
      },
      read: (stream: string, after: number) => {
        this.#shared.fill(0xff);
        return (this.#logs.get(stream) ?? []).filter(({ to }) => to > after).slice(0, 1);
      },
    };
    const { store, journal } = this;
    const namespaces = new Map([['flights', held]]);
    const totals = new ConflictTotals({ store, journal, namespaces });
    return new ConflictWatch({ store, totals, namespaces, keptMax });
  }

  /** Another store, with the rows of a snapshot and the positions at which that began; what came later is applied again. */
  async rebuild(
    snapshot: { readonly rows: readonly RowWrite[]; readonly from: ReadonlyMap<string, number> },
    streams: readonly string[],
  ): Promise<void> {
    const records = this.watch.totals.seed();
    this.store = new KvOnlineStore(new MemoryKv(new MemoryDisk()));
    await this.store.apply({ rows: snapshot.rows, checkpoints: snapshot.from, records }, () => 'replace');
    this.#applied.clear();
    for (const [stream, seq] of snapshot.from) this.#applied.set(stream, seq);
    this.watch = this.open();
    for (const stream of streams)
      for (const frame of this.#logs.get(stream) ?? [])
        if (frame.to > (this.#applied.get(stream) ?? 0)) await this.apply(frame);
  }

  /** What a snapshot that is taken now holds. */
  snapshot(): { readonly rows: readonly RowWrite[]; readonly from: ReadonlyMap<string, number> } {
    const rows = this.store.scan(Buffer.alloc(0), undefined, 1000).map(([key, value]) => ({ key, value }));
    return { rows, from: this.store.checkpoints() };
  }

  /** Takes over the rows of a peer's store, as a backfill does. */
  async copy(peer: Bench): Promise<void> {
    const { rows } = peer.snapshot();
    const watch = this.watch.beginCopy(this.#applied);
    for (const index of rows.keys()) watch.copied(index, this.codec, { namespace: 'flights', partition: 0 });
    const merge = mergeOf(this.codec);
    await this.store.apply(
      { rows, checkpoints: new Map(), records: new Map(), extra: watch.bound() },
      (key, stored, incoming, index) => {
        const decision = merge(stored, incoming);
        watch.decided(key, stored, incoming, index, decision);
        return decision;
      },
      () => watch.records(),
    );
    watch.commit();
  }

  /** Makes a frame of one stream that follows what is logged of it. */
  frame(stream: string, writes: readonly Write[], applied: Record<string, number>, replay: ReplaySource | null = null) {
    const from = this.#logs.get(stream)?.at(-1)?.to ?? 0;
    const frame: Frame = {
      ...{ stream, epoch: 1, from, to: from + writes.length, kind: 'rows', viewVersion: this.codec.view.version },
      ...{ previousHash: ZERO_HASH, hlc: { wallMs: 1000 + from, counter: 0 }, watermarkMs: 0, egressClass: FULL_CLASS },
      ...{ omitted: [], idempotency: [], replay },
      applied: Object.entries(applied).map(([other, seq]) => ({ stream: other, seq })),
      payload: encodeChanges(
        writes.map(({ key, at, delay, deleted }, offset) => ({
          operation: deleted === true ? 'delete' : 'upsert',
          eventTimeUs: at,
          key: this.codec.encodeKey([key]),
          row: deleted === true ? Buffer.alloc(0) : this.codec.encodeRow([delay ?? null, null]),
          offset,
        })),
      ),
    };
    const encoded = encodeFrame(frame);
    this.#logs.set(stream, [...(this.#logs.get(stream) ?? []), encoded]);
    return encoded;
  }

  async apply(...encoded: readonly LoggedFrame[]): Promise<void> {
    const rows: RowWrite[] = [];
    const records = new Map<string, Buffer | null>();
    const first = decodeFrame((encoded[0] as LoggedFrame).bytes).frame;
    const watch = this.watch.begin(first.stream, this.#applied);
    for (const { bytes } of encoded) {
      const { frame } = decodeFrame(bytes);
      const original = frame.replay?.original ?? frame;
      const changes = decodeChanges(frame.payload, frame.to - frame.from);
      watch.frame(frame, this.codec, { firstRow: rows.length, offsetMax: changes.at(-1)?.offset ?? 0 }, records);
      for (const { offset, key, ...change } of changes) {
        const source = cellSource(original.stream);
        assert.ok(source !== undefined);
        const hlc = { wallMs: original.hlc.wallMs, counter: original.hlc.counter + offset };
        const seq = original.from + offset + 1;
        const stamped = { ...change, hlc, source, seq, generation: 0, features: undefined };
        rows.push({ key: this.codec.rowKey(key), value: encodeStored(this.codec, stamped) });
      }
      this.#applied.set(frame.stream, frame.to);
    }
    const merge = mergeOf(this.codec);
    const batch = { rows, checkpoints: new Map(this.#applied), records, extra: watch.bound() };
    await this.store.apply(
      batch,
      (key, stored, incoming, index) => {
        const decision = merge(stored, incoming);
        stored.copy(this.#shared);
        watch.decided(key, this.#shared.subarray(0, stored.length), incoming, index, decision);
        return decision;
      },
      () => watch.records(),
    );
    watch.commit();
  }

  /** What the ledger lists, newest first, in few words. */
  listed(): string[] {
    const { conflicts } = queryConflicts(this.watch.ledger, this.registry, { limit: 500 });
    return conflicts.map(
      ({ kind, winner, stored, incoming }) => `${kind} ${winner}: ${short(stored)} ${short(incoming)}`,
    );
  }

  get counts(): unknown {
    return this.watch.ledger.counts();
  }
}

function short({ origin, seq }: { readonly origin: string; readonly seq: number }): string {
  return `${origin}#${seq}`;
}

test('two changes that did not know of each other are listed, with the winner, both values and exact counters', async () => {
  const bench = new Bench();
  await bench.apply(bench.frame(US, [{ key: 'x', at: 10, delay: 1 }], {}));
  await bench.apply(bench.frame(EU, [{ key: 'x', at: 20, delay: 2 }], {}));
  await bench.apply(bench.frame(AP, [{ key: 'x', at: 15, deleted: true }], { [US]: 1 }));
  assert.deepEqual(bench.listed(), [
    'concurrent stored: eu-west#1 ap-south#1',
    'concurrent incoming: us-east#1 eu-west#1',
  ]);
  assert.deepEqual(bench.counts, [
    {
      view: 'airport',
      superseded: 2,
      pairs: [
        { origins: ['ap-south', 'eu-west'], concurrent: 1, undecidable: 0 },
        { origins: ['eu-west', 'us-east'], concurrent: 1, undecidable: 0 },
      ],
    },
  ]);
  const [conflict] = queryConflicts(bench.watch.ledger, bench.registry, { limit: 1 }).conflicts;
  assert.equal(conflict?.rule, 'last-writer-wins');
  assert.equal(conflict?.incoming.deleted, true);
  assert.equal(conflict?.key, bench.codec.encodeKey(['x']).toString('hex'));
});

test('equal event times are a conflict like any other', async () => {
  const bench = new Bench();
  await bench.apply(bench.frame(US, [{ key: 'x', at: 10, delay: 1 }], {}));
  await bench.apply(bench.frame(EU, [{ key: 'x', at: 10, delay: 2 }], {}));
  assert.equal(bench.listed().length, 1);
});

test('a write that knew the other is none, however late it is applied; the value it left behind was not lost', async () => {
  const bench = new Bench();
  const first = bench.frame(US, [{ key: 'x', at: 10 }], {});
  const second = bench.frame(EU, [{ key: 'x', at: 20 }], { [US]: 1 });
  await bench.apply(second);
  await bench.apply(first);
  assert.deepEqual(bench.counts, []);
});

test('a write that comes late within one stream lost, and is no conflict', async () => {
  const bench = new Bench();
  await bench.apply(bench.frame(US, [{ key: 'x', at: 20 }], {}), bench.frame(US, [{ key: 'x', at: 10 }], {}));
  assert.deepEqual(bench.counts, [{ view: 'airport', superseded: 1, pairs: [] }]);
  assert.deepEqual(bench.watch.ledger.views(), []);
});

test('when the frame of the stored change is gone, it is undecidable, not dropped', async () => {
  const bench = new Bench();
  const first = bench.frame(US, [{ key: 'x', at: 10 }], {});
  await bench.apply(first);
  const blind = new Bench();
  await blind.apply(blind.frame(EU, [{ key: 'x', at: 20 }], {}));
  // The other bench never logged it: the same bytes in its store, nothing in its log.
  const stored = bench.store.row(bench.codec.rowKey(bench.codec.encodeKey(['x'])));
  assert.ok(stored !== undefined);
  const rows = [{ key: blind.codec.rowKey(blind.codec.encodeKey(['y'])), value: Buffer.from(stored) }];
  await blind.store.apply({ rows, checkpoints: new Map(), records: new Map() }, () => 'keep');
  await blind.apply(blind.frame(EU, [{ key: 'y', at: 20 }], {}));
  assert.deepEqual(blind.listed(), ['undecidable incoming: us-east#1 eu-west#2']);
});

test('a replayed change is judged by what its own writer knew, and known to those who applied the replay', async () => {
  const bench = new Bench();
  bench.seals[US] = 1;
  await bench.apply(bench.frame(US, [{ key: 'other', at: 1 }], {}));
  await bench.apply(bench.frame(EU, [{ key: 'x', at: 20 }], { [US]: 1 }));
  const replay: ReplaySource = {
    tail: { stream: US, from: 1, to: 2 },
    original: { stream: US, from: 1, hlc: { wallMs: 9, counter: 0 }, applied: [] },
  };
  // The hub that replays knows its own write; the lost hub did not. Then it writes again, and so does the one after it.
  await bench.apply(
    bench.frame(EU, [{ key: 'x', at: 30 }], { [EU]: 1, [US]: 1 }, replay),
    bench.frame(EU, [{ key: 'x', at: 40 }], { [EU]: 1, [US]: 1 }),
  );
  assert.deepEqual(bench.listed(), ['concurrent incoming: eu-west#1 us-east#2']);
  // The next replay is read back by a process that starts in between, and by a hub that had applied it.
  const later = { tail: { ...replay.tail, from: 2, to: 3 }, original: { ...replay.original, from: 2 } };
  await bench.apply(bench.frame(EU, [{ key: 'y', at: 30 }], { [EU]: 3 }, later));
  bench.watch = bench.open();
  await bench.apply(bench.frame(AP, [{ key: 'y', at: 50 }], { [US]: 1, [EU]: 4 }));
  assert.equal(bench.listed().length, 1);
  bench.seals[AP] = 1;
  await bench.apply(bench.frame(AP.replace('c1', 'c2'), [{ key: 'x', at: 50 }], { [US]: 1, [EU]: 1 }));
  assert.equal(bench.listed().length, 2, 'who had not applied the replay did not know of it');
});

test('the ring forgets its oldest entries, the counters nothing; a process that starts goes on', async () => {
  const bench = new Bench();
  const many = 60;
  await bench.apply(
    bench.frame(
      US,
      Array.from({ length: many }, (_, i) => ({ key: `k${i}`, at: 10 })),
      {},
    ),
  );
  const { store, registry } = bench;
  bench.watch = bench.open(10);
  for (let i = 0; i < many; i++) await bench.apply(bench.frame(EU, [{ key: `k${i}`, at: 20 }], {}));
  const again = new ConflictLedger(store, 10);
  assert.deepEqual(again.counts(), bench.watch.ledger.counts());
  assert.deepEqual(again.counts()[0]?.pairs, [{ origins: ['eu-west', 'us-east'], concurrent: many, undecidable: 0 }]);
  const { conflicts, next } = queryConflicts(again, registry, { limit: 500 });
  assert.deepEqual(
    conflicts.map(({ incoming }) => incoming.seq),
    Array.from({ length: 10 }, (_, i) => many - i),
  );
  assert.equal(next, null);
  assert.equal(store.records('conflict/').length, 10);
});

test('listing: by view, key, pair and time, in pages', async () => {
  const bench = new Bench();
  await bench.apply(
    bench.frame(
      US,
      ['a', 'b', 'c'].map((key) => ({ key, at: 10 })),
      {},
    ),
  );
  await bench.apply(
    bench.frame(
      EU,
      ['a', 'b'].map((key) => ({ key, at: 20 })),
      {},
    ),
  );
  await bench.apply(bench.frame(AP, [{ key: 'c', at: 5 }], {}));
  const { ledger } = bench.watch;
  const list = (query: object) =>
    queryConflicts(ledger, bench.registry, { limit: 10, ...query }).conflicts.map(({ cursor }) => cursor);
  assert.deepEqual(list({}), ['airport/2', 'airport/1', 'airport/0']);
  assert.deepEqual(list({ view: 'airport', key: bench.codec.encodeKey(['b']).toString('hex') }), ['airport/1']);
  assert.deepEqual(list({ origins: ['ap-south', 'us-east'] }), ['airport/2']);
  assert.deepEqual(list({ origins: ['us-east', 'ap-south'] }), ['airport/2']);
  assert.deepEqual(list({ afterMs: 1_000_000 }), []);
  assert.deepEqual(list({ after: 'airport/2' }), ['airport/1', 'airport/0']);
  assert.deepEqual(list({ after: 'airport/0' }), []);
  assert.deepEqual(queryConflicts(ledger, bench.registry, { limit: 2 }).next, 'airport/1');
  assert.throws(() => list({ view: 'nope' }), /no feature view nope/);
  assert.throws(() => list({ after: '../x' }), /no place in the ledger/);
});

test('a value that is too large is left out, its size and change id are not', async () => {
  const view = withVersion({
    ...TEST_VIEW,
    features: [
      { name: 'delay', type: { scalar: 'float64', list: false }, nullable: true },
      { name: 'text', type: { scalar: 'float64', list: true }, nullable: true },
    ],
  });
  const bench = new Bench(view);
  bench.codec.encodeRow = (values) =>
    ViewCodec.prototype.encodeRow.call(bench.codec, [values[0] ?? null, Array(4000).fill(1)]);
  await bench.apply(bench.frame(US, [{ key: 'x', at: 10 }], {}));
  await bench.apply(bench.frame(EU, [{ key: 'x', at: 20 }], {}));
  const [conflict] = queryConflicts(bench.watch.ledger, bench.registry, { limit: 1 }).conflicts;
  assert.equal(conflict?.stored.value, null);
  assert.ok((conflict?.stored.valueBytes ?? 0) > 32_000);
});

test('under feature granularity only the features that both wrote count, one entry for each change', async () => {
  const bench = new Bench(withVersion({ ...TEST_VIEW, granularity: 'feature' }));
  await bench.apply(bench.frame(US, [{ key: 'x', at: 10, delay: 1 }], {}));
  await bench.apply(bench.frame(EU, [{ key: 'x', at: 20, delay: 2 }], {}));
  assert.deepEqual(bench.listed(), ['concurrent incoming: us-east#1 eu-west#1']);
  const [conflict] = queryConflicts(bench.watch.ledger, bench.registry, { limit: 1 }).conflicts;
  assert.deepEqual(conflict?.features, [0, 1]);
});

const NOTHING = { rows: [], from: new Map<string, number>() };

/** Two keys that met in the order US, EU, and one that lost within its stream. */
async function met(): Promise<Bench> {
  const bench = new Bench();
  await bench.apply(bench.frame(US, [{ key: 'x', at: 10 }], {}), bench.frame(US, [{ key: 'y', at: 10 }], {}));
  await bench.apply(bench.frame(US, [{ key: 'y', at: 5 }], {}));
  await bench.apply(bench.frame(EU, [{ key: 'x', at: 20 }], {}), bench.frame(EU, [{ key: 'y', at: 5 }], {}));
  return bench;
}

test('a store that is built again from the logs keeps the totals, in whatever order the streams come', async () => {
  for (const order of [
    [US, EU],
    [EU, US],
  ]) {
    const bench = await met();
    const { counts } = bench;
    await bench.watch.totals.save();
    await bench.rebuild(NOTHING, order);
    assert.deepEqual(bench.counts, counts);
    assert.equal(bench.listed().length, 2, 'what meets again is listed again');
    await bench.rebuild(NOTHING, order);
    assert.deepEqual(bench.counts, counts);
  }
});

test('what was counted since the totals were written is counted again from the logs, with either change first', async () => {
  for (const order of [
    [US, EU, AP],
    [AP, EU, US],
  ]) {
    const bench = await met();
    await bench.watch.totals.save();
    await bench.apply(bench.frame(AP, [{ key: 'x', at: 1 }], {}), bench.frame(AP, [{ key: 'x', at: 0 }], {}));
    const { counts } = bench;
    await bench.rebuild(NOTHING, [US, EU, AP]);
    assert.deepEqual(bench.counts, counts);
    await bench.rebuild(NOTHING, order);
    const [count] = bench.watch.ledger.counts();
    assert.ok((count?.superseded ?? 0) >= 4, 'every write that lost is counted');
    assert.ok((count?.pairs.length ?? 0) >= 2);
  }
});

test('a store that was behind its totals does not write over them, and never shows less once it has caught up', async () => {
  const bench = await met();
  await bench.watch.totals.save();
  const { counts } = bench;
  await bench.rebuild(NOTHING, [EU]);
  await bench.watch.totals.save();
  await bench.rebuild(NOTHING, [US, EU]);
  assert.deepEqual(bench.counts, counts);
});

test('a store that is filled from a snapshot keeps the totals; what the logs bring after it counts once', async () => {
  const bench = await met();
  const snapshot = bench.snapshot();
  await bench.watch.totals.write();
  await bench.apply(bench.frame(AP, [{ key: 'x', at: 1 }], {}), bench.frame(US, [{ key: 'x', at: 30 }], { [EU]: 2 }));
  const { counts } = bench;
  // The machine died before the totals were written again.
  await bench.rebuild(snapshot, [AP, US, EU]);
  assert.deepEqual(bench.counts, counts);
  // A copy is fuzzy: its rows reach beyond where it began, up to what the totals tell of.
  await bench.watch.totals.write();
  await bench.rebuild({ ...bench.snapshot(), from: snapshot.from }, [AP, US, EU]);
  assert.deepEqual(bench.counts, counts);
});

test('a disk that is full, or totals that are the same, cost nothing', async () => {
  const bench = await met();
  let writes = 0;
  const write = bench.journal.write.bind(bench.journal);
  bench.journal.write = async (operations) => {
    writes++;
    await write(operations);
  };
  await bench.watch.totals.saveCounted();
  await bench.watch.totals.saveCounted();
  await bench.watch.totals.save();
  assert.equal(writes, 1);
  await bench.apply(bench.frame(AP, [{ key: 'x', at: 1 }], {}));
  bench.journal.write = () => {
    throw new AntipodeError('DISK_FULL', 'no space');
  };
  await bench.watch.totals.saveCounted();
  await assert.rejects(bench.watch.totals.write(), /no space/);
});

test('rows of a copy that lose, or take the place of others, are counted; what is here already is not', async () => {
  const bench = await met();
  const before = bench.watch.ledger.counts()[0];
  const peer = new Bench();
  await peer.apply(peer.frame(AP, [{ key: 'x', at: 15 }], {}), peer.frame(AP, [{ key: 'y', at: 40 }], {}));
  await bench.copy(peer);
  const [after] = bench.watch.ledger.counts();
  assert.deepEqual(after?.pairs, [
    { origins: ['ap-south', 'eu-west'], concurrent: 0, undecidable: 1 },
    { origins: ['ap-south', 'us-east'], concurrent: 0, undecidable: 1 },
    ...(before?.pairs ?? []),
  ]);
  assert.equal(after?.superseded, (before?.superseded ?? 0) + 2);
  const same = new Bench();
  await same.apply(same.frame(US, [{ key: 'x', at: 10 }], {}));
  await bench.copy(same);
  assert.deepEqual(bench.watch.ledger.counts()[0], after, 'it met when it was applied');
});
