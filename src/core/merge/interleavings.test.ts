import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { hasGeneration, readStored, storedExtent } from '#core/codec/stored-value';
import type { ViewCodec } from '#core/codec/view-codec';
import { type Merge, mergeOf } from '#core/merge/merge-of';
import { makeCodec, ORIGINS, SCALARS, storedOf } from '#core/merge/testing/changes';
import { merged } from '#core/merge/testing/laws';
import type { Feature, FeatureValue, Granularity, Resolver, ScalarType, ScalarValue } from '#core/model/feature-view';

const OPERATIONS_MAX = 4;
/** The two event times, microseconds. */
const EARLY_US = 5;
const LATE_US = 6;

/** What a client does; a half is a partial row, and under row granularity a whole one. */
const KINDS = ['high', 'low', 'delete'] as const;
type Kind = (typeof KINDS)[number];

/** Of each type one value to write high, and two to write low in turn. */
const WRITTEN: Readonly<Record<ScalarType, readonly [ScalarValue, ScalarValue, ScalarValue]>> = {
  int32: [0x7fff_ffff, -1, -0x8000_0000],
  int64: [2n ** 53n + 1n, 2n ** 53n, -(2n ** 63n)],
  float32: [1.5, Number.NaN, -0],
  float64: [2, Number.NaN, -0],
  bool: [true, false, false],
  string: ['\u{10000}', '\uffff', ''],
  bytes: [new Uint8Array([0xff]), new Uint8Array(), new Uint8Array([0, 0])],
  timestamp: [Number.MAX_SAFE_INTEGER, -1, Number.MIN_SAFE_INTEGER],
};

/** Which event times the operations of a history have, by their number. */
type Timing = 'equal' | 'against the clock' | 'any';
const TIMES: Readonly<Record<Timing, (index: number) => readonly number[]>> = {
  equal: () => [EARLY_US],
  // What is written later says that it happened earlier.
  'against the clock': (index) => [index < OPERATIONS_MAX / 2 ? LATE_US : EARLY_US],
  any: () => [EARLY_US, LATE_US],
};

/** Streams are applied in order: of two operations of one origin the later is never there without the earlier. */
function isPrefix(origins: readonly number[], seen: number): boolean {
  let ended = 0;
  return origins.every((origin, i) => {
    const has = (seen & (1 << i)) !== 0;
    if (!has) ended |= 1 << origin;
    return !has || (ended & (1 << origin)) === 0;
  });
}

function writtenValue({ type }: Feature, kind: Kind, index: number): FeatureValue {
  const [high, ...low] = WRITTEN[type.scalar];
  const value = kind === 'high' ? high : (low[index % 2] as ScalarValue);
  if (!type.list) return value;
  return (kind === 'high' ? [value, low[0]] : index % 2 === 0 ? [] : [value]) as FeatureValue;
}

interface Form {
  readonly bytes: Buffer;
  readonly eventTimeUs: number;
  /** Its number among states. */
  readonly state: number;
}

interface State {
  readonly bytes: Buffer;
  readonly eventTimeUs: number;
  readonly generation: number;
  readonly live: boolean;
  /** By form: the state after that was delivered; not known yet where there is none. */
  readonly after: (number | undefined)[];
}

/** Every form and state once, with what a delivery makes of them: histories differ less than they are many. */
class Values {
  readonly forms: Form[] = [];
  readonly states: State[] = [];
  readonly #codec: ViewCodec;
  readonly #merge: Merge;
  readonly #formOf = new Map<number, number>();
  readonly #stateOf = new Map<string, number>();

  constructor(codec: ViewCodec, merge: Merge) {
    this.#codec = codec;
    this.#merge = merge;
  }

  deliver(state: number, form: number): number {
    const { bytes, after } = this.states[state] as State;
    const known = after[form];
    if (known !== undefined) return known;
    const made = this.#state(merged(this.#merge, bytes, (this.forms[form] as Form).bytes));
    after[form] = made;
    return made;
  }

  form(kind: number, origin: number, index: number, wallMs: number, eventTimeUs: number, generation: number): number {
    const place = [kind, origin, index, wallMs, eventTimeUs, generation].reduce((sum, part) => sum * 8 + part, 0);
    let found = this.#formOf.get(place);
    if (found === undefined) {
      const bytes = this.#encode(KINDS[kind] as Kind, origin, index, wallMs, eventTimeUs, generation);
      found = this.forms.push({ bytes, eventTimeUs, state: this.#state(bytes) }) - 1;
      this.#formOf.set(place, found);
    }
    return found;
  }

  #encode(kind: Kind, origin: number, index: number, wallMs: number, eventTimeUs: number, generation: number): Buffer {
    const codec = this.#codec;
    const name = ORIGINS[origin] as string;
    const values = codec.view.features.map((feature, place) =>
      kind === 'low' && place === 1 && index === 2 ? null : writtenValue(feature, kind, index + place),
    );
    const half = codec.view.granularity === 'feature' && index % 2 === 1 && kind !== 'delete';
    const place = kind === 'high' ? 0 : 1;
    return storedOf(codec, {
      eventTimeUs,
      hlc: { wallMs, counter: 0 },
      origin: name,
      seq: index + 1,
      operation: kind === 'delete' ? 'delete' : 'upsert',
      generation,
      features: half ? [place] : undefined,
      values: half ? [values[place] as FeatureValue] : values,
      producer: { name, sequence: index },
    });
  }

  #state(bytes: Buffer): number {
    const text = bytes.toString('latin1');
    const found = this.#stateOf.get(text);
    if (found !== undefined) return found;
    const { live } = readStored(this.#codec, bytes);
    const state = this.states.push({ bytes, live, after: [], ...storedExtent(this.#codec, bytes) }) - 1;
    this.#stateOf.set(text, state);
    return state;
  }
}

interface Tally {
  histories: number;
  diverging: number;
  /** Deletes that had seen everything, after which something was left. */
  undead: number;
  /** Writes that had seen everything, the last of it a delete that had too and is no later, after which nothing was there. */
  unborn: number;
  /** Ends of which the latest event time is not the latest of the operations. */
  untimely: number;
}

/** Operations as they were made: parallel arrays, of which a history takes as many as it is long. */
interface History {
  readonly origins: number[];
  readonly kinds: number[];
  readonly seen: number[];
  readonly wallMs: number[];
  readonly forms: number[];
  /** What each subset of the operations merges to. */
  readonly subsets: number[];
}

/**
 * Plays every history: each operation is made by one of three origins, which has applied some of those before it. After each,
 * every subset of the operations must merge to one state in whatever order they arrive: that tells all orders of all
 * deliveries apart, as each adds one operation to a subset. And a redelivery changes nothing. Origins come in the order of
 * their first use, by rising names in half of the histories and by falling ones in the other.
 */
function explore(codec: ViewCodec, merge: Merge, timing: Timing): Tally {
  const tally: Tally = { histories: 0, diverging: 0, undead: 0, unborn: 0, untimely: 0 };
  const values = new Values(codec, merge);
  const history: History = { origins: [], kinds: [], seen: [], wallMs: [], forms: [], subsets: [-1] };
  const { origins, kinds, seen, wallMs, forms, subsets } = history;
  const generations = hasGeneration(codec.view.resolver);

  /** Fills in the subsets that the last of `count` operations is in; false when one depends on the order. */
  function merges(count: number): boolean {
    const last = 1 << (count - 1);
    for (let subset = last; subset < last * 2; subset++) {
      let state = -1;
      for (let i = 0; i < count; i++) {
        if ((subset & (1 << i)) === 0) continue;
        const form = forms[i] as number;
        const before = subsets[subset & ~(1 << i)] as number;
        const after = before < 0 ? (values.forms[form] as Form).state : values.deliver(before, form);
        if ((state >= 0 && state !== after) || values.deliver(after, form) !== after) return false;
        state = after;
      }
      subsets[subset] = state;
    }
    return true;
  }

  /** What an operation that had seen all others must have done. */
  function judge(count: number): void {
    const end = values.states[subsets[(1 << count) - 1] as number] as State;
    const timeOf = (index: number): number => (values.forms[forms[index] as number] as Form).eventTimeUs;
    let latestUs = 0;
    for (let i = 0; i < count; i++) latestUs = Math.max(latestUs, timeOf(i));
    if (end.eventTimeUs !== latestUs) tally.untimely++;
    const knowing = (index: number): boolean => index >= 0 && seen[index] === (1 << index) - 1;
    const isDelete = (index: number): boolean => KINDS[kinds[index] as number] === 'delete';
    if (!knowing(count - 1)) return;
    if (isDelete(count - 1)) tally.undead += end.live ? 1 : 0;
    else if (knowing(count - 2) && isDelete(count - 2) && (generations || timeOf(count - 1) >= timeOf(count - 2)))
      tally.unborn += end.live ? 0 : 1;
  }

  function grow(index: number, used: number, names: readonly number[]): void {
    for (let origin = 0; origin < Math.min(used + 1, names.length); origin++) {
      const own = origins.reduce((bits, each, i) => (i < index && each === origin ? bits | (1 << i) : bits), 0);
      origins[index] = origin;
      for (let has = 0; has < 1 << index; has++) {
        // What an origin wrote it has applied; what it has applied of another, it has from its beginning on.
        if ((has & own) !== own || !isPrefix(origins.slice(0, index), has)) continue;
        const prior = values.states[subsets[has] as number];
        // Clock readings grow with what was seen and are equal otherwise: ties between origins are the rule.
        wallMs[index] = 1 + wallMs.reduce((most, each, i) => ((has & (1 << i)) === 0 ? most : Math.max(most, each)), 0);
        seen[index] = has;
        for (let kind = 0; kind < KINDS.length; kind++) {
          const deletes = KINDS[kind] === 'delete';
          kinds[index] = kind;
          for (const timeUs of TIMES[timing](index)) {
            forms[index] = values.form(
              kind,
              names[origin] as number,
              index,
              wallMs[index],
              deletes ? Math.max(timeUs, prior?.eventTimeUs ?? 0) : timeUs,
              (prior?.generation ?? 0) + (deletes ? 1 : 0),
            );
            tally.histories++;
            if (!merges(index + 1)) {
              tally.diverging++;
              continue;
            }
            judge(index + 1);
            if (index + 1 < OPERATIONS_MAX) grow(index + 1, Math.max(used, origin + 1), names);
          }
        }
      }
    }
  }
  grow(0, 0, [0, 1, 2]);
  grow(0, 0, [2, 1, 0]);
  return tally;
}

const PRIORITIES: Readonly<Record<Granularity, Resolver>> = {
  row: { kind: 'region-priority', regions: [ORIGINS[1]] },
  feature: { kind: 'region-priority', regions: [ORIGINS[1], ORIGINS[2]] },
};

/** A view of a scalar and of a list of it, as far as the resolver takes lists. */
function codecOf(resolver: Resolver, granularity: Granularity, scalar: ScalarType): ViewCodec {
  const listless = resolver.kind === 'counter' || (granularity === 'feature' && hasGeneration(resolver));
  const features: readonly Feature[] = [
    { name: 'a', type: { scalar, list: false }, nullable: true },
    { name: 'b', type: { scalar, list: !listless }, nullable: true },
  ];
  return makeCodec(resolver, granularity, features);
}

function* resolvers(): Generator<readonly [Resolver, Granularity]> {
  for (const granularity of ['row', 'feature'] as const) {
    yield [{ kind: 'last-writer-wins' }, granularity];
    yield [PRIORITIES[granularity], granularity];
    for (const kind of ['max', 'min'] as const) yield [{ kind, by: granularity === 'row' ? 'a' : null }, granularity];
  }
  yield [{ kind: 'counter' }, 'row'];
}

function assertKept(codec: ViewCodec, timing: Timing): void {
  const { resolver } = codec.view;
  const { histories, ...faults } = explore(codec, mergeOf(codec), timing);
  assert.ok(histories > 37_000, `${histories} histories`);
  // A region of less rank can neither delete nor replace what one of a higher rank wrote. Only last writer wins goes by time.
  const unordered = resolver.kind === 'region-priority';
  assert.deepEqual(faults, {
    diverging: 0,
    undead: unordered ? faults.undead : 0,
    unborn: unordered ? faults.unborn : 0,
    untimely: resolver.kind === 'last-writer-wins' ? 0 : faults.untimely,
  });
  if (unordered) assert.ok(faults.undead > 0);
  if (resolver.kind !== 'last-writer-wins' && timing === 'any') assert.ok(faults.untimely > 0);
}

suite(`every history of up to ${OPERATIONS_MAX} operations of 3 origins, in every order of delivery`, () => {
  for (const [resolver, granularity] of resolvers()) {
    const counter = resolver.kind === 'counter';
    for (const scalar of counter ? (['int64', 'float64'] as const) : SCALARS) {
      test(`${resolver.kind} by ${granularity}: ${scalar}`, () => {
        const codec = codecOf(resolver, granularity, scalar);
        for (const timing of ['equal', 'against the clock'] as const) assertKept(codec, timing);
      });
    }
    test(`${resolver.kind} by ${granularity}, each operation at one of two event times`, () => {
      assertKept(codecOf(resolver, granularity, 'float64'), 'any');
    });
  }

  test('a wrong merge is found out', () => {
    const row = codecOf({ kind: 'last-writer-wins' }, 'row', 'string');
    assert.ok(explore(row, () => 'replace', 'equal').diverging > 0);
    const max = codecOf({ kind: 'max', by: 'a' }, 'row', 'string');
    const lively: Merge = (a, b) => (readStored(max, b).live ? mergeOf(max)(a, b) : 'keep');
    assert.ok(explore(max, lively, 'equal').diverging > 0);
  });

  test('a merge that goes by the clock before the event time is lawful, and found out by two event times', () => {
    const row = codecOf({ kind: 'last-writer-wins' }, 'row', 'string');
    const byClock: Merge = (a, b) => ((a.compare(b, 8, b.length, 8) || a.compare(b)) < 0 ? 'replace' : 'keep');
    const { histories: _, ...alike } = explore(row, byClock, 'equal');
    assert.deepEqual(alike, { diverging: 0, undead: 0, unborn: 0, untimely: 0 });
    const told = explore(row, byClock, 'against the clock');
    assert.deepEqual([told.diverging, told.untimely > 0], [0, true]);
  });
});
