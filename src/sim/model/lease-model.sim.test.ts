import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explore } from '#sim/model/explore';
import { type Bounds, ENGINE_RULES, LeaseModel, type Rules } from '#sim/model/lease-model';

const FULL = process.env['ANTIPODE_VERIFY'] === 'full';
const STATES_MAX = FULL ? 16_000_000 : 1_000_000;

const SMALL: Bounds = {
  partitions: 1,
  syncReplicas: 1,
  writes: 1,
  promotions: 1,
  renewals: 1,
  crashes: 0,
  wipes: 0,
  lossy: false,
  planned: false,
  late: false,
};

type Case = Partial<Bounds> & { readonly reaches: readonly string[] };

const HOLDING: readonly Case[] = [
  { writes: 2, reaches: ['acknowledged by a promoted hub', 'tail'] },
  { promotions: 2, reaches: ['all promotions', 'deposed hub that does not know'] },
  { partitions: 2, promotions: 2, writes: 3, renewals: 0, reaches: ['all promotions', 'acknowledged in two streams'] },
  { syncReplicas: 2, promotions: 2, writes: 2, renewals: 0, reaches: ['all promotions'] },
  { crashes: 1, reaches: ['candidate that is too late'] },
  { wipes: 1, reaches: ['all promotions'] },
  { syncReplicas: 2, wipes: 1, renewals: 0, reaches: ['all promotions'] },
  { planned: true, renewals: 0, reaches: ['promise outlives its epoch'] },
  { late: true, reaches: ['all writes acknowledged'] },
  { syncReplicas: 0, lossy: true, promotions: 2, reaches: ['lossy promotion', 'tail'] },
];

/** Up to an hour together, and some GiB of memory. */
const LARGE: readonly Case[] = [
  { partitions: 2, promotions: 2, writes: 3, renewals: 1, reaches: ['acknowledged by the last hub'] },
  { partitions: 2, promotions: 2, writes: 3, renewals: 2, reaches: ['acknowledged by the last hub'] },
  { syncReplicas: 2, promotions: 2, renewals: 1, writes: 3, reaches: ['all promotions'] },
  { crashes: 1, promotions: 2, writes: 2, reaches: ['all promotions'] },
  { wipes: 1, promotions: 2, reaches: ['all promotions'] },
  { planned: true, writes: 2, reaches: ['all promotions'] },
  { late: true, writes: 2, reaches: ['all promotions'] },
];

for (const { reaches, ...bounds } of FULL ? [...HOLDING, ...LARGE] : HOLDING) {
  test(`lease, promise and seal hold in every state of ${JSON.stringify(bounds)}`, { timeout: 1_500_000 }, () => {
    const { counterExample, reached, states } = explore(new LeaseModel({ ...SMALL, ...bounds }), STATES_MAX);
    assert.equal(counterExample, undefined, JSON.stringify(counterExample, undefined, 2));
    assert.ok(states > 1000);
    for (const name of reaches) assert.ok((reached.get(name) ?? 0) > 0, `${name} is reached`);
  });
}

/** Each clause closes a counter-example: without it, this is found. */
const BROKEN: readonly { bug: string; rules: Partial<Rules>; bounds?: Partial<Bounds>; reason: RegExp }[] = [
  {
    bug: 'a region mirrors on after its promise',
    rules: { mayMirror: (options) => ENGINE_RULES.mayMirror({ ...options, promise: undefined }) },
    reason: /was acknowledged/,
  },
  {
    bug: 'a region mirrors beyond a seal that it knows',
    rules: { mayMirror: (options) => options.standing.kind === 'sealed' || ENGINE_RULES.mayMirror(options) },
    reason: /beyond a seal/,
  },
  {
    bug: 'one promise too few is enough',
    rules: {
      cleanliness: (record, intact) => {
        const verdict = ENGINE_RULES.cleanliness(record, intact);
        return verdict.kind === 'promises' && verdict.given >= verdict.needed - 1 ? { kind: 'clean' } : verdict;
      },
    },
    reason: /was acknowledged/,
  },
  {
    bug: 'the record changes whatever its revision',
    rules: { compares: () => true },
    bounds: { writes: 1 },
    reason: /was acknowledged/,
  },
  {
    bug: 'a promise does not outlive its process',
    rules: { promiseIsDurable: false },
    bounds: { crashes: 1 },
    reason: /was acknowledged/,
  },
  {
    bug: 'the seal is the least of the promised heads',
    rules: {
      sealOfPromises: (streams, promises) =>
        Object.fromEntries(
          streams.map((stream) => [stream, Math.min(...promises.map(({ heads }) => heads[stream] ?? 0))]),
        ),
    },
    reason: /was acknowledged/,
  },
  {
    bug: 'a candidate does not fetch what was promised',
    rules: { fetches: false },
    bounds: { renewals: 2 },
    reason: /accepts and holds/,
  },
  {
    bug: 'a region that lost its disk counts with what it lost',
    rules: { intactPromises: (_, promises) => promises.map(({ region }) => region) },
    bounds: { wipes: 1 },
    reason: /was acknowledged/,
  },
  { bug: 'a promise lapses with any record', rules: { promiseLapses: () => true }, reason: /was acknowledged/ },
  {
    bug: 'a promise is given at any revision',
    rules: { promiseRefusal: () => undefined },
    bounds: { late: true, writes: 1 },
    reason: /was acknowledged/,
  },
  {
    bug: 'a hub appends on after its promise',
    rules: { mayExtend: () => true },
    bounds: { planned: true, writes: 1 },
    reason: /was acknowledged/,
  },
];

for (const { bug, rules, bounds, reason } of BROKEN) {
  test(`the model finds it when ${bug}`, () => {
    const model = new LeaseModel({ ...SMALL, writes: 2, promotions: 2, ...bounds }, { ...ENGINE_RULES, ...rules });
    const { counterExample } = explore(model, STATES_MAX);
    assert.match(counterExample?.reason ?? 'nothing', reason);
  });
}
