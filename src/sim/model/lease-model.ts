import {
  firstRecord,
  type Lease,
  type LeaseRecord,
  promisesForCleanPromotion,
  promotedRecord,
  type StreamStanding,
  sealOfPromises,
  standingOf,
} from '#core/failover/lease';
import { type EpochPromise, mayExtend, mayMirror, promiseLapses, promiseRefusal } from '#core/failover/promise';
import type { Model } from '#sim/model/explore';

const REGIONS = ['a', 'b', 'c'] as const;
type RegionName = (typeof REGIONS)[number];
const NAMES = REGIONS as readonly RegionName[];

/** The rules under exploration: the engine's own, unless a test puts a broken one in to see it found. */
export interface Rules {
  readonly promiseLapses: typeof promiseLapses;
  readonly promiseRefusal: typeof promiseRefusal;
  readonly mayExtend: typeof mayExtend;
  readonly mayMirror: typeof mayMirror;
  readonly sealOfPromises: typeof sealOfPromises;
  readonly promisesForCleanPromotion: typeof promisesForCleanPromotion;
  /** Whether a compare-and-set at `expected` succeeds on a record of revision `revision`. */
  readonly compares: (expected: number, revision: number) => boolean;
  /** Whether a candidate makes what the promises vouch for durable before it writes the record. */
  readonly fetches: boolean;
  /** Whether a promise survives the death of its process. */
  readonly promiseIsDurable: boolean;
}

export const ENGINE_RULES: Rules = {
  promiseLapses,
  promiseRefusal,
  mayExtend,
  mayMirror,
  sealOfPromises,
  promisesForCleanPromotion,
  compares: (expected, revision) => expected === revision,
  fetches: true,
  promiseIsDurable: true,
};

export interface Bounds {
  /** How many of the two other regions an acknowledgement waits for. */
  readonly syncReplicas: number;
  readonly writes: number;
  readonly promotions: number;
  readonly renewals: number;
  readonly crashes: number;
  /** Whether a promotion without enough promises takes place all the same, recorded as lossy. */
  readonly lossy: boolean;
  /** Whether candidates ask the holder too, as on a person's order: its promise hands everything over. */
  readonly planned: boolean;
  /** Whether messages about an earlier revision still arrive. Nothing may come of them; exploring that is dear. */
  readonly late: boolean;
}

interface Candidacy {
  readonly revision: number;
  /** Heads of the epoch's stream that regions promised, this one's included; -1: no promise. */
  readonly heads: readonly number[];
  readonly sent: boolean;
}

interface RegionState {
  /** Revision of the latest record it was told of. */
  readonly known: number;
  readonly promise: EpochPromise | undefined;
  /** By epoch: last seq of its stream held durably here; last one acknowledged to its origin. */
  readonly held: readonly number[];
  readonly acknowledged: readonly number[];
  /** Epoch in which it believes to be hub, whatever has become of that; 0: none. A pause may come at any point. */
  readonly holds: number;
  readonly candidacy: Candidacy | undefined;
}

/** All are about a change of the record as it stands at `revision`. */
type Message =
  | { readonly kind: 'renewal'; readonly revision: number }
  | { readonly kind: 'promise request'; readonly revision: number; readonly from: number; readonly to: number }
  | {
      readonly kind: 'promise';
      readonly revision: number;
      readonly from: number;
      readonly to: number;
      readonly head: number;
    }
  | { readonly kind: 'promotion'; readonly revision: number; readonly record: LeaseRecord };

/**
 * The whole system at one moment. Time does not occur in it: whoever believes to hold the lease may do so for any length of
 * time, which covers every pause; a message stays on its way for any length of time, may arrive twice, or never.
 *
 * Two things happen as early as they can, because later is never worse: a hub hears at once what is durable elsewhere, and
 * acknowledges at once what it may. What is acknowledged must be valid for ever, so a later acknowledgement is one less.
 */
export interface LeaseState {
  /** Records of the control store by revision, from 1; the last one stands. */
  readonly history: readonly Lease[];
  readonly regions: readonly RegionState[];
  readonly messages: readonly Message[];
  /** By epoch: the last write that a client was told is done. */
  readonly acknowledged: readonly number[];
  readonly renewals: number;
  readonly crashes: number;
  /** A region mirrored beyond a seal that it knew. */
  readonly beyondSeal: boolean;
}

function streamOf(epoch: number, holder: string): string {
  return `flights/0/${holder}/${String(epoch).padStart(16, '0')}`;
}

function replaced<T>(list: readonly T[], index: number, value: T): T[] {
  const copy = [...list];
  copy[index] = value;
  return copy;
}

/** Lease, promises, seals and promotion of one namespace in three regions (P3 to P6), with one stream in each epoch. */
export class LeaseModel implements Model<LeaseState> {
  readonly first: LeaseState;
  readonly #rules: Rules;
  readonly #bounds: Bounds;

  constructor(bounds: Bounds, rules: Rules = ENGINE_RULES) {
    this.#rules = rules;
    this.#bounds = bounds;
    const zeros = Array.from({ length: bounds.promotions + 2 }, () => 0);
    const record = firstRecord({ namespace: 'flights', holder: 'a', streams: [streamOf(1, 'a')] });
    const region = (name: string): RegionState => ({
      known: 1,
      promise: undefined,
      held: zeros,
      acknowledged: zeros,
      holds: name === 'a' ? 1 : 0,
      candidacy: undefined,
    });
    this.first = {
      history: [{ record, revision: 1 }],
      regions: NAMES.map(region),
      messages: [],
      acknowledged: zeros,
      renewals: 0,
      crashes: 0,
      beyondSeal: false,
    };
  }

  key(state: LeaseState): string {
    let key = `${state.renewals}${state.crashes}${state.beyondSeal}|${state.acknowledged.join('')}`;
    for (const { record } of state.history) key += `|${record.epoch}${record.holder}`;
    key += sealText(current(state).record);
    for (const { known, promise, held, acknowledged, holds, candidacy } of state.regions) {
      key += `|${known},${promise?.epoch},${promise?.revision},${held.join('')},${acknowledged.join('')},${holds}`;
      if (candidacy !== undefined) key += `,${candidacy.revision},${candidacy.heads.join('')},${candidacy.sent}`;
    }
    return `${key}|${state.messages.map(messageText).sort().join(' ')}`;
  }

  next(state: LeaseState): { label: string; state: LeaseState }[] {
    const steps: { label: string; state: LeaseState }[] = [];
    const step = (label: string, next: LeaseState | undefined): void => {
      if (next !== undefined) steps.push({ label, state: this.#acknowledge(next) });
    };
    for (let at = 0; at < NAMES.length; at++) {
      const name = NAMES[at];
      step(`${name} appends`, this.#append(state, at));
      for (let source = 0; source < NAMES.length; source++) {
        if (source === at) continue;
        for (let epoch = 1; epoch <= this.#bounds.promotions + 1; epoch++)
          step(`${name} mirrors epoch ${epoch} from ${NAMES[source]}`, this.#mirror(state, at, source, epoch));
      }
      step(`${name} reads the record`, this.#adopt(state, at, state.history.length));
      step(`${name} sends a renewal`, this.#sendRenewal(state, at));
      step(`${name} becomes a candidate`, this.#stand(state, at));
      step(`${name} sends its promotion`, this.#sendPromotion(state, at));
      step(`${name} crashes`, this.#crash(state, at));
    }
    for (const message of state.messages) step(`${message.kind} arrives`, this.#deliver(state, message));
    return steps;
  }

  broken(state: LeaseState): string | undefined {
    const { record } = current(state);
    if (state.beyondSeal) return 'a region mirrored beyond a seal that it knew';
    for (let epoch = 1; epoch < record.epoch; epoch++) {
      const acknowledged = state.acknowledged[epoch] ?? 0;
      const seal = sealOf(record, epoch) ?? 0;
      if (acknowledged > seal && !isLossy(record, epoch))
        return `write ${acknowledged} of epoch ${epoch} was acknowledged, the epoch is sealed at ${seal}`;
    }
    for (const [at, region] of state.regions.entries()) {
      if (region.holds === 0 || region.holds !== record.epoch) continue;
      if (record.holder !== NAMES[at]) return `${NAMES[at]} holds epoch ${region.holds} of ${record.holder}`;
      for (let epoch = 1; epoch < region.holds; epoch++) {
        const seal = sealOf(record, epoch) ?? 0;
        const held = region.held[epoch] ?? 0;
        if (held < seal) return `${NAMES[at]} accepts and holds epoch ${epoch} up to ${held}, its seal is ${seal}`;
      }
    }
    return undefined;
  }

  reached(state: LeaseState): string[] {
    const { record } = current(state);
    const found: string[] = [];
    if (record.epoch > this.#bounds.promotions) found.push('all promotions');
    if (sum(state.acknowledged) === this.#bounds.writes) found.push('all writes acknowledged');
    if (record.lossy.length > 0) found.push('lossy promotion');
    if (state.acknowledged.some((seq, epoch) => seq > 0 && epoch > 1)) found.push('acknowledged by a promoted hub');
    for (const region of state.regions) {
      for (let epoch = 1; epoch < record.epoch; epoch++) {
        if ((region.held[epoch] ?? 0) > (sealOf(record, epoch) ?? 0)) found.push('tail');
      }
      if (region.holds > 0 && region.holds < record.epoch) found.push('deposed hub that does not know');
      if (region.candidacy !== undefined && region.candidacy.revision < state.history.length)
        found.push('candidate that is too late');
      if (region.promise !== undefined && region.promise.epoch < record.epoch) found.push('promise outlives its epoch');
    }
    return found;
  }

  #lease(state: LeaseState, region: RegionState): Lease {
    return state.history[region.known - 1] as Lease;
  }

  #standing(state: LeaseState, region: RegionState, epoch: number): StreamStanding {
    const holder = state.history.find(({ record }) => record.epoch === epoch)?.record.holder;
    if (holder === undefined) return { kind: 'unknown' };
    return standingOf(this.#lease(state, region).record, streamOf(epoch, holder));
  }

  #with(state: LeaseState, at: number, change: Partial<RegionState>): LeaseState {
    return { ...state, regions: replaced(state.regions, at, { ...(state.regions[at] as RegionState), ...change }) };
  }

  #append(state: LeaseState, at: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const epoch = region.holds;
    if (epoch === 0 || this.#written(state) >= this.#bounds.writes) return undefined;
    if (!this.#rules.mayExtend(region.promise, epoch)) return undefined;
    return this.#with(state, at, { held: replaced(region.held, epoch, (region.held[epoch] ?? 0) + 1) });
  }

  /** All writes ever appended: the origin of each epoch holds all of its stream. */
  #written(state: LeaseState): number {
    return sum(state.acknowledged.map((_, epoch) => Math.max(...state.regions.map(({ held }) => held[epoch] ?? 0))));
  }

  #mirror(state: LeaseState, at: number, source: number, epoch: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const held = region.held[epoch] ?? 0;
    const to = held + 1;
    if (region.holds === epoch || (state.regions[source]?.held[epoch] ?? 0) < to) return undefined;
    const standing = this.#standing(state, region, epoch);
    if (!this.#rules.mayMirror({ standing, promise: region.promise, to, epoch, forPromotion: false })) return undefined;
    const acknowledged = standing.kind === 'sealed' ? region.acknowledged : replaced(region.acknowledged, epoch, to);
    const beyondSeal = state.beyondSeal || (standing.kind === 'sealed' && to > standing.seal);
    return { ...this.#with(state, at, { held: replaced(region.held, epoch, to), acknowledged }), beyondSeal };
  }

  /** Whoever believes to be hub acknowledges what enough others told it they hold. */
  #acknowledge(state: LeaseState): LeaseState {
    let { acknowledged } = state;
    for (const [at, { holds: epoch, held }] of state.regions.entries()) {
      if (epoch === 0) continue;
      const others = state.regions.filter((_, other) => other !== at).map((other) => other.acknowledged[epoch] ?? 0);
      const positions = [held[epoch] ?? 0, ...others.sort((a, b) => b - a)];
      const seq = Math.min(positions[0] ?? 0, positions[this.#bounds.syncReplicas] ?? 0);
      if (seq > (acknowledged[epoch] ?? 0)) acknowledged = replaced(acknowledged, epoch, seq);
    }
    return acknowledged === state.acknowledged ? state : { ...state, acknowledged };
  }

  #adopt(state: LeaseState, at: number, revision: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const lease = state.history[revision - 1] as Lease;
    const mine = lease.record.holder === NAMES[at];
    if (revision <= region.known) return undefined;
    const holds = lease.record.epoch === region.holds ? region.holds : 0;
    const lapses = region.promise !== undefined && this.#rules.promiseLapses(region.promise, lease);
    // After a renewal of its own under this epoch it accepts (P3.1): the record at `revision` is at least one later.
    const renewed = mine && lease.record.epoch === this.#lease(state, region).record.epoch;
    return this.#with(state, at, {
      known: revision,
      promise: lapses ? undefined : region.promise,
      holds: holds !== 0 ? holds : renewed ? lease.record.epoch : 0,
      candidacy: undefined,
    });
  }

  /** Also of a holder that was restarted, or finds that its own promotion succeeded: it accepts once this has. */
  #sendRenewal(state: LeaseState, at: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const { record, revision } = this.#lease(state, region);
    if (state.renewals >= this.#bounds.renewals || record.holder !== NAMES[at]) return undefined;
    if (!this.#rules.mayExtend(region.promise, record.epoch)) return undefined;
    const sent = this.#send(state, { kind: 'renewal', revision });
    return sent === state ? undefined : { ...sent, renewals: state.renewals + 1 };
  }

  /** Promises to itself first, and asks the one other region that is not the holder. */
  #stand(state: LeaseState, at: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const lease = current(state);
    const { record, revision } = lease;
    if (record.holder === NAMES[at] || record.epoch > this.#bounds.promotions) return undefined;
    if (region.candidacy?.revision === revision) return undefined;
    const asked = { epoch: record.epoch, revision };
    const read = region.known < revision ? (this.#adopt(state, at, revision) as LeaseState) : state;
    const { promise, held } = read.regions[at] as RegionState;
    if (this.#rules.promiseRefusal({ lease, promise }, asked) !== undefined) return undefined;
    const complete = this.#fetchEarlier(read, record, held);
    if (complete === undefined) return undefined;
    const heads = NAMES.map((_, index) => (index === at ? (held[record.epoch] ?? 0) : -1));
    const standing = this.#with(read, at, {
      promise: asked,
      held: complete,
      holds: 0,
      candidacy: { revision, heads, sent: false },
    });
    return NAMES.reduce((asking, name, to) => {
      if (to === at || (name === record.holder && !this.#bounds.planned)) return asking;
      return this.#send(asking, { kind: 'promise request', revision, from: at, to });
    }, standing);
  }

  /** What the candidate holds of closed epochs once it has asked everybody; undefined when nobody has the rest (P6.5). */
  #fetchEarlier(state: LeaseState, record: LeaseRecord, held: readonly number[]): number[] | undefined {
    const complete = [...held];
    for (let epoch = 1; epoch < record.epoch; epoch++) {
      const seal = sealOf(record, epoch) ?? 0;
      if ((complete[epoch] ?? 0) >= seal) continue;
      if (!state.regions.some((region) => (region.held[epoch] ?? 0) >= seal)) return undefined;
      complete[epoch] = seal;
    }
    return complete;
  }

  #sendPromotion(state: LeaseState, at: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const { candidacy } = region;
    if (candidacy === undefined || candidacy.sent) return undefined;
    const { record } = state.history[candidacy.revision - 1] as Lease;
    const stream = record.streams[0] as string;
    const promises = candidacy.heads.flatMap((head, index) =>
      head < 0 ? [] : [{ region: NAMES[index] as string, heads: { [stream]: head } }],
    );
    const needed = this.#rules.promisesForCleanPromotion({
      syncReplicas: this.#bounds.syncReplicas,
      promotableOthers: NAMES.length - 1,
    });
    const handedOver = (candidacy.heads[NAMES.indexOf(record.holder as RegionName)] ?? -1) >= 0;
    const counted = promises.filter((promise) => promise.region !== record.holder).length;
    const lossy = !handedOver && counted < needed;
    if (lossy && !this.#bounds.lossy) return undefined;
    const seal = this.#rules.sealOfPromises([stream], promises);
    const upTo = seal[stream] ?? 0;
    const held = this.#rules.fetches
      ? replaced(region.held, record.epoch, Math.max(upTo, region.held[record.epoch] ?? 0))
      : region.held;
    const name = NAMES[at] as string;
    const promoted = promotedRecord(record, {
      holder: name,
      streams: [streamOf(record.epoch + 1, name)],
      seal,
      promised: promises.map((promise) => promise.region),
      missing: [],
      lossy,
    });
    const sent = this.#with(state, at, { held, candidacy: { ...candidacy, sent: true } });
    return this.#send(sent, { kind: 'promotion', revision: candidacy.revision, record: promoted });
  }

  /** The process dies and is there again: what was not durable is gone, the record of its epoch is known as it began. */
  #crash(state: LeaseState, at: number): LeaseState | undefined {
    if (state.crashes >= this.#bounds.crashes) return undefined;
    const region = state.regions[at] as RegionState;
    const { epoch } = this.#lease(state, region).record;
    const began = state.history.findIndex(({ record }) => record.epoch === epoch) + 1;
    const crashed = this.#with(state, at, {
      known: began,
      promise: this.#rules.promiseIsDurable ? region.promise : undefined,
      holds: 0,
      candidacy: undefined,
    });
    return { ...crashed, crashes: state.crashes + 1 };
  }

  #send(state: LeaseState, message: Message): LeaseState {
    if (!this.#arrives(message, current(state).revision)) return state;
    const text = messageText(message);
    if (state.messages.some((other) => messageText(other) === text)) return state;
    return { ...state, messages: [...state.messages, message] };
  }

  /** A change of a record that has changed since is refused, and so nothing comes of the promises for it. */
  #arrives(message: Message, revision: number): boolean {
    return this.#bounds.late || this.#rules.compares(message.revision, revision);
  }

  #deliver(state: LeaseState, message: Message): LeaseState | undefined {
    const { record, revision } = current(state);
    switch (message.kind) {
      case 'renewal':
      case 'promotion':
        if (!this.#rules.compares(message.revision, revision)) return undefined;
        return this.#write(state, message.kind === 'promotion' ? message.record : record);
      case 'promise request':
        return this.#promise(state, message);
      case 'promise':
        return this.#collect(state, message);
    }
  }

  #write(state: LeaseState, record: LeaseRecord): LeaseState {
    const revision = current(state).revision + 1;
    const messages = state.messages.filter((other) => this.#arrives(other, revision));
    return { ...state, messages, history: [...state.history, { record, revision }] };
  }

  #promise(state: LeaseState, message: Extract<Message, { kind: 'promise request' }>): LeaseState | undefined {
    const { from, to, revision } = message;
    const region = state.regions[to] as RegionState;
    const asked = { epoch: (state.history[revision - 1] as Lease).record.epoch, revision };
    const { promise } = region;
    if (this.#rules.promiseRefusal({ lease: this.#lease(state, region), promise }, asked) !== undefined)
      return undefined;
    const promised = this.#with(state, to, { promise: asked, holds: region.holds === asked.epoch ? 0 : region.holds });
    return this.#send(promised, { kind: 'promise', from: to, to: from, revision, head: region.held[asked.epoch] ?? 0 });
  }

  #collect(state: LeaseState, message: Extract<Message, { kind: 'promise' }>): LeaseState | undefined {
    const { candidacy } = state.regions[message.to] as RegionState;
    if (candidacy === undefined || candidacy.sent || candidacy.revision !== message.revision) return undefined;
    if ((candidacy.heads[message.from] ?? -1) >= message.head) return undefined;
    const heads = replaced(candidacy.heads, message.from, message.head);
    return this.#with(state, message.to, { candidacy: { ...candidacy, heads } });
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function messageText(message: Message): string {
  const about = `${message.kind}@${message.revision}`;
  if (message.kind === 'renewal') return about;
  if (message.kind === 'promotion')
    return `${about} ${message.record.holder}${message.record.epoch}${sealText(message.record)}`;
  return `${about} ${message.from}>${message.to}${message.kind === 'promise' ? ` ${message.head}` : ''}`;
}

function current(state: LeaseState): Lease {
  return state.history[state.history.length - 1] as Lease;
}

function sealOf(record: LeaseRecord, epoch: number): number | undefined {
  const seals = record.seals[String(epoch)];
  return seals === undefined ? undefined : Object.values(seals)[0];
}

function isLossy(record: LeaseRecord, epoch: number): boolean {
  return record.lossy.some((loss) => loss.epoch === epoch);
}

function sealText(record: LeaseRecord): string {
  let text = record.lossy.map(({ epoch }) => `!${epoch}`).join('');
  for (let epoch = 1; epoch < record.epoch; epoch++) text += `,${sealOf(record, epoch)}`;
  return text;
}
