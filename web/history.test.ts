import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { FakeRegion } from './dev/fake-region.ts';
import {
  addSnapshot,
  EMPTY_HISTORY,
  GAP_MS,
  type History,
  lineValue,
  plotColumns,
  recentMean,
  STREAM_LINES_MAX,
  streamLines,
  WINDOW_MS,
} from './history.ts';
import type { RegionStatus } from './snapshot.ts';

function makeFake(partitions = 2): FakeRegion {
  return new FakeRegion({
    region: 'eu-west',
    regions: ['us-east', 'eu-west', 'ap-south'],
    startMs: 1_000_000,
    partitions,
  });
}

function run(fake: FakeRegion, seconds: number, history: History = EMPTY_HISTORY): History {
  let result = history;
  for (let second = 0; second < seconds; second += 1) {
    fake.advance(1000);
    result = addSnapshot(result, fake.status());
  }
  return result;
}

function at(status: RegionStatus, nowMs: number): RegionStatus {
  return { ...status, nowMs };
}

suite('history', () => {
  test('keeps five minutes and no more', () => {
    const history = run(makeFake(), 400);
    const first = history.samples[0];
    const last = history.samples.at(-1);
    assert.equal(history.samples.length, WINDOW_MS / 1000 + 1);
    assert.equal((last?.atMs ?? 0) - (first?.atMs ?? 0), WINDOW_MS);
  });

  test('snapshots faster than the least spacing are shown, but only some are plotted', () => {
    const status = makeFake().status();
    let history = EMPTY_HISTORY;
    for (let ms = 0; ms <= 9_000; ms += 10) {
      const reads = { ...status.reads, rows: ms };
      history = addSnapshot(history, { ...at(status, 1_000_000 + ms), reads });
    }
    assert.deepEqual(
      history.samples.map((sample) => sample.atMs - 1_000_000),
      [0, 900, 1800, 2700, 3600, 4500, 5400, 6300, 7200, 8100, 9000],
    );
    assert.equal(history.latest?.nowMs, 1_009_000);
    assert.ok(history.samples.slice(1).every((sample) => sample.readRowsPerSecond === 1000));
  });

  test('a status that is sent twice changes nothing', () => {
    const fake = makeFake();
    const history = run(fake, 5);
    assert.deepEqual(addSnapshot(history, fake.status()), history);
  });

  test('rates are differences of counters over the time between', () => {
    const status = makeFake().status();
    const later: RegionStatus = {
      ...at(status, status.nowMs + 2000),
      streams: status.streams.map((stream) => ({ ...stream, applied: stream.applied + 100 })),
      reads: { ...status.reads, rows: status.reads.rows + 50, errors: status.reads.errors + 4 },
    };
    const sample = addSnapshot(addSnapshot(EMPTY_HISTORY, status), later).samples.at(-1);
    assert.equal(sample?.appliedPerSecond, 100);
    assert.equal(sample?.readRowsPerSecond, 25);
    assert.equal(sample?.readErrorsPerSecond, 2);
  });

  test('the first snapshot, a restart of the region and a long silence give no rate', () => {
    const status = makeFake().status();
    const one = addSnapshot(EMPTY_HISTORY, status);
    assert.equal(one.samples[0]?.appliedPerSecond, null);
    const restarted = addSnapshot(one, { ...at(status, status.nowMs + 1000), startedAtMs: status.startedAtMs + 500 });
    assert.equal(restarted.samples.at(-1)?.readRowsPerSecond, null);
    const silent = addSnapshot(one, at(status, status.nowMs + GAP_MS + 1));
    assert.equal(silent.samples.at(-1)?.readRowsPerSecond, null);
    assert.equal(silent.samples.at(-1)?.afterGap, true);
  });

  test('a replay of recent snapshots fills the window once, and a clock set back drops what lay after', () => {
    const fake = makeFake();
    const statuses: RegionStatus[] = [];
    for (let second = 0; second < 100; second += 1) {
      fake.advance(1000);
      statuses.push(fake.status());
    }
    const once = statuses.reduce(addSnapshot, EMPTY_HISTORY);
    const twice = statuses.reduce(addSnapshot, once);
    assert.deepEqual(
      twice.samples.map((sample) => sample.atMs),
      once.samples.map((sample) => sample.atMs),
    );
    const back = addSnapshot(once, statuses[49] as RegionStatus);
    assert.equal(back.samples.length, 50);
  });

  test('another region behind the same address starts anew', () => {
    const history = run(makeFake(), 10);
    const other = addSnapshot(history, { ...makeFake().status(), region: 'ap-south', nowMs: 2_000_000 });
    assert.equal(other.samples.length, 1);
  });

  test('a line breaks over a gap', () => {
    const status = makeFake().status();
    const times = [0, 1000, 1000 + GAP_MS + 1000];
    const history = times.reduce((sum, ms) => addSnapshot(sum, at(status, 1_000_000 + ms)), EMPTY_HISTORY);
    const [seconds, values] = plotColumns(history.samples, [() => 1]);
    assert.deepEqual(values, [1, 1, null, 1]);
    assert.deepEqual(seconds, [1000, 1001, 1006.999, 1007]);
  });

  test('a stream keeps its colour through a failover, and the new ones take others', () => {
    const fake = makeFake();
    const before = run(fake, 20);
    fake.killHub();
    const after = run(fake, 20, before);
    for (const line of streamLines(before)) assert.equal(after.colours[line.key], before.colours[line.key]);
    const lines = streamLines(after);
    assert.equal(lines.length, 4);
    assert.equal(new Set(lines.map((line) => line.colour)).size, 4);
    const [old] = lines;
    const last = after.samples.at(-1);
    assert.ok(old !== undefined && last !== undefined);
    assert.equal(lineValue(last, old, 'freshnessMs'), null, 'a closed stream has no freshness');
  });

  test('many streams are drawn as the worst of each origin', () => {
    const history = run(makeFake(STREAM_LINES_MAX + 1), 5);
    const lines = streamLines(history);
    assert.deepEqual(
      lines.map((line) => line.key),
      ['us-east'],
    );
    const last = history.samples.at(-1);
    const [line] = lines;
    assert.ok(last !== undefined && line !== undefined);
    const worst = Math.max(...Object.values(last.streams).map((stream) => stream.freshnessMs ?? 0));
    assert.equal(lineValue(last, line, 'freshnessMs'), worst);
  });

  test('a mean passes over what is not known', () => {
    const { samples } = run(makeFake(), 10);
    assert.equal(
      recentMean(samples, 5000, () => null),
      null,
    );
    assert.equal(
      recentMean([], 5000, () => 1),
      null,
    );
    let call = 0;
    assert.equal(
      recentMean(samples, 3000, () => [null, 10, 20][call++] ?? null),
      15,
    );
  });
});
