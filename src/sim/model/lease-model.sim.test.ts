import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explore } from '#sim/model/explore';
import { type Bounds, ENGINE_RULES, LeaseModel, type Rules } from '#sim/model/lease-model';

const FULL = process.env['ANTIPODE_VERIFY'] === 'full';
const STATES_MAX = FULL ? 12_000_000 : 1_000_000;

const SMALL: Bounds = {
  syncReplicas: 1,
  writes: 2,
  promotions: 1,
  renewals: 1,
  crashes: 0,
  lossy: false,
  planned: false,
  late: false,
};

const HOLDING: readonly (Partial<Bounds> & { readonly reaches: readonly string[] })[] = [
  { promotions: 2, renewals: 2, writes: FULL ? 3 : 2, reaches: ['all promotions', 'acknowledged by a promoted hub'] },
  { syncReplicas: 2, promotions: 2, renewals: 2, writes: FULL ? 3 : 1, reaches: ['all promotions'] },
  { crashes: 1, promotions: FULL ? 2 : 1, reaches: ['candidate that is too late'] },
  { syncReplicas: 2, crashes: 1, reaches: ['deposed hub that does not know'] },
  { planned: true, writes: FULL ? 2 : 1, reaches: ['promise outlives its epoch'] },
  { late: true, writes: FULL ? 2 : 1, reaches: ['all writes acknowledged'] },
  { syncReplicas: 0, lossy: true, promotions: 2, writes: 1, renewals: 2, reaches: ['lossy promotion', 'tail'] },
];

for (const { reaches, ...bounds } of HOLDING) {
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
    rules: { promisesForCleanPromotion: (options) => ENGINE_RULES.promisesForCleanPromotion(options) - 1 },
    reason: /was acknowledged/,
  },
  { bug: 'the record changes whatever its revision', rules: { compares: () => true }, reason: /was acknowledged/ },
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
  { bug: 'a promise lapses with any record', rules: { promiseLapses: () => true }, reason: /was acknowledged/ },
  {
    bug: 'a promise is given at any revision',
    rules: { promiseRefusal: () => undefined },
    bounds: { late: true },
    reason: /was acknowledged/,
  },
  {
    bug: 'a hub appends on after its promise',
    rules: { mayExtend: () => true },
    bounds: { planned: true },
    reason: /was acknowledged/,
  },
];

for (const { bug, rules, bounds, reason } of BROKEN) {
  test(`the model finds it when ${bug}`, () => {
    const model = new LeaseModel({ ...SMALL, promotions: 2, ...bounds }, { ...ENGINE_RULES, ...rules });
    const { counterExample } = explore(model, STATES_MAX);
    assert.match(counterExample?.reason ?? 'nothing', reason);
  });
}
