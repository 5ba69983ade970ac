import { isMet } from '#core/failover/acknowledge';
import {
  firstRecord,
  type Lease,
  type LeaseRecord,
  promotedRecord,
  type StreamStanding,
  sealOfPromises,
  standingOf,
} from '#core/failover/lease';
import { cleanliness, intactPromises, isWholeEpoch, withParticipants } from '#core/failover/participants';
import { mayExtend, mayMirror, promiseLapses, promiseRefusal } from '#core/failover/promise';
import type { Model } from '#sim/model/explore';
import {
  current,
  isLossy,
  type LeaseState,
  logText,
  type Message,
  messageText,
  NAMES,
  type RegionName,
  type RegionState,
  recordText,
  replaced,
  sealsOf,
  streamsOf,
  sum,
} from '#sim/model/lease-state';

/** The rules under exploration: the engine's own, unless a test puts a broken one in to see it found. */
export interface Rules {
  readonly promiseLapses: typeof promiseLapses;
  readonly promiseRefusal: typeof promiseRefusal;
  readonly mayExtend: typeof mayExtend;
  readonly mayMirror: typeof mayMirror;
  readonly sealOfPromises: typeof sealOfPromises;
  readonly intactPromises: typeof intactPromises;
  readonly cleanliness: typeof cleanliness;
  readonly withParticipants: typeof withParticipants;
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
  intactPromises,
  cleanliness,
  withParticipants,
  compares: (expected, revision) => expected === revision,
  fetches: true,
  promiseIsDurable: true,
};

export interface Bounds {
  /** Keys of as many partitions are written: each epoch has so many streams. */
  readonly partitions: number;
  /** How many of the two other regions an acknowledgement waits for. */
  readonly syncReplicas: number;
  readonly writes: number;
  readonly promotions: number;
  readonly renewals: number;
  readonly crashes: number;
  /** How often a region other than the holder comes back with an empty disk. */
  readonly wipes: number;
  /** Whether a promotion without enough promises takes place all the same, recorded as lossy. */
  readonly lossy: boolean;
  /** Whether candidates ask the holder too, as on a person's order: its promise hands everything over. */
  readonly planned: boolean;
  /** Whether messages about an earlier revision still arrive. Nothing may come of them; exploring that is dear. */
  readonly late: boolean;
}

/** Lease, promises, seals and promotion of one namespace in three regions (P3 to P6). */
export class LeaseModel implements Model<LeaseState> {
  readonly first: LeaseState;
  readonly #rules: Rules;
  readonly #bounds: Bounds;

  constructor(bounds: Bounds, rules: Rules = ENGINE_RULES) {
    this.#rules = rules;
    this.#bounds = bounds;
    const zeros = Array.from({ length: (bounds.promotions + 2) * bounds.partitions }, () => 0);
    // The first epoch is under way: both others take part in it.
    const took = { log: logText(1), held: 0 };
    const created = firstRecord({
      namespace: 'flights',
      holder: 'a',
      streams: streamsOf(1, 'a', bounds.partitions),
      acknowledge: { count: bounds.syncReplicas, regions: [] },
    });
    const record = { ...created, participants: { b: took, c: took } };
    const region = (name: string): RegionState => ({
      known: 1,
      promise: undefined,
      log: 1,
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
      wipes: 0,
      beyondSeal: false,
    };
  }

  key(state: LeaseState): string {
    let key = `${state.renewals}${state.crashes}${state.wipes}${state.beyondSeal}|${state.acknowledged.join('')}`;
    for (const { record } of state.history) key += `|${recordText(record)}`;
    for (const { known, promise, log, held, acknowledged, holds, candidacy } of state.regions) {
      key += `|${known},${promise?.epoch},${promise?.revision},${log},${held.join('')},${acknowledged.join('')},${holds}`;
      if (candidacy === undefined) continue;
      const promises = candidacy.promises.map((promised) => `${promised?.log}.${promised?.heads.join('.')}`);
      key += `,${candidacy.revision},${promises.join(',')},${candidacy.sent}`;
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
      for (const partition of this.#partitions)
        step(`${name} appends to ${partition}`, this.#append(state, at, partition));
      for (let source = 0; source < NAMES.length; source++) {
        if (source === at) continue;
        for (let epoch = 1; epoch <= this.#bounds.promotions + 1; epoch++)
          for (const partition of this.#partitions) {
            const label = `${name} mirrors ${partition} of epoch ${epoch} from ${NAMES[source]}`;
            step(label, this.#mirror(state, at, { source, epoch, partition }));
          }
      }
      step(`${name} reads the record`, this.#adopt(state, at, state.history.length));
      step(`${name} sends a renewal`, this.#sendRenewal(state, at));
      step(`${name} becomes a candidate`, this.#stand(state, at));
      step(`${name} sends its promotion`, this.#sendPromotion(state, at));
      step(`${name} crashes`, this.#crash(state, at));
      step(`${name} loses its disk`, this.#wipe(state, at));
    }
    for (const message of state.messages) step(`${message.kind} arrives`, this.#deliver(state, message));
    return steps;
  }

  broken(state: LeaseState): string | undefined {
    const { record } = current(state);
    if (state.beyondSeal) return 'a region mirrored beyond a seal that it knew';
    for (let epoch = 1; epoch < record.epoch; epoch++) {
      for (const [partition, acknowledged] of this.#of(state.acknowledged, epoch).entries()) {
        const seal = sealsOf(record, epoch)?.[partition] ?? 0;
        if (acknowledged > seal && !isLossy(record, epoch))
          return `write ${acknowledged} of epoch ${epoch} was acknowledged, the epoch is sealed at ${seal}`;
      }
    }
    for (const [at, region] of state.regions.entries()) {
      if (region.holds === 0 || region.holds !== record.epoch) continue;
      if (record.holder !== NAMES[at]) return `${NAMES[at]} holds epoch ${region.holds} of ${record.holder}`;
      for (let epoch = 1; epoch < region.holds; epoch++) {
        for (const [partition, held] of this.#of(region.held, epoch).entries()) {
          const seal = sealsOf(record, epoch)?.[partition] ?? 0;
          if (held < seal) return `${NAMES[at]} accepts and holds epoch ${epoch} up to ${held}, its seal is ${seal}`;
        }
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
    if (state.acknowledged.some((seq, slot) => seq > 0 && slot >= 2 * this.#bounds.partitions))
      found.push('acknowledged by a promoted hub');
    if (this.#of(state.acknowledged, record.epoch).some((seq) => seq > 0) && record.epoch > this.#bounds.promotions)
      found.push('acknowledged by the last hub');
    if (state.acknowledged.filter((seq) => seq > 0).length > 1) found.push('acknowledged in two streams');
    for (const region of state.regions) {
      for (let epoch = 1; epoch < record.epoch; epoch++) {
        const seals = sealsOf(record, epoch) ?? [];
        if (this.#of(region.held, epoch).some((held, partition) => held > (seals[partition] ?? 0))) found.push('tail');
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

  get #partitions(): readonly number[] {
    return Array.from({ length: this.#bounds.partitions }, (_, partition) => partition);
  }

  /** Where the stream of a partition stands among those of all epochs. */
  #slot(epoch: number, partition: number): number {
    return epoch * this.#bounds.partitions + partition;
  }

  /** What concerns the streams of one epoch, by partition. */
  #of(slots: readonly number[], epoch: number): number[] {
    return this.#partitions.map((partition) => slots[this.#slot(epoch, partition)] ?? 0);
  }

  #standing(state: LeaseState, region: RegionState, epoch: number, partition: number): StreamStanding {
    const holder = state.history.find(({ record }) => record.epoch === epoch)?.record.holder;
    if (holder === undefined) return { kind: 'unknown' };
    const stream = streamsOf(epoch, holder, this.#bounds.partitions)[partition] as string;
    return standingOf(this.#lease(state, region).record, stream);
  }

  #with(state: LeaseState, at: number, change: Partial<RegionState>): LeaseState {
    return { ...state, regions: replaced(state.regions, at, { ...(state.regions[at] as RegionState), ...change }) };
  }

  #append(state: LeaseState, at: number, partition: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const epoch = region.holds;
    const written = this.#written(state);
    // Partitions differ by name alone: the first write of all goes to the first one.
    if (epoch === 0 || written >= this.#bounds.writes || (written === 0 && partition > 0)) return undefined;
    if (!this.#rules.mayExtend(region.promise, epoch)) return undefined;
    const slot = this.#slot(epoch, partition);
    return this.#with(state, at, { held: replaced(region.held, slot, (region.held[slot] ?? 0) + 1) });
  }

  /** All writes ever appended: the origin of each epoch holds all of its stream. */
  #written(state: LeaseState): number {
    return sum(state.acknowledged.map((_, slot) => Math.max(...state.regions.map(({ held }) => held[slot] ?? 0))));
  }

  #mirror(
    state: LeaseState,
    at: number,
    { source, epoch, partition }: { source: number; epoch: number; partition: number },
  ): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const slot = this.#slot(epoch, partition);
    const to = (region.held[slot] ?? 0) + 1;
    if (region.holds === epoch || (state.regions[source]?.held[slot] ?? 0) < to) return undefined;
    const standing = this.#standing(state, region, epoch, partition);
    if (!this.#rules.mayMirror({ standing, promise: region.promise, to, epoch, forPromotion: false })) return undefined;
    const acknowledged = standing.kind === 'sealed' ? region.acknowledged : replaced(region.acknowledged, slot, to);
    const beyondSeal = state.beyondSeal || (standing.kind === 'sealed' && to > standing.seal);
    return { ...this.#with(state, at, { held: replaced(region.held, slot, to), acknowledged }), beyondSeal };
  }

  /** Whoever believes to be hub acknowledges what enough participants told it they hold, as the record it knows has them. */
  #acknowledge(state: LeaseState): LeaseState {
    let { acknowledged } = state;
    for (const region of state.regions) {
      const { holds: epoch, held } = region;
      if (epoch === 0) continue;
      const { acknowledge, participants } = this.#lease(state, region).record;
      for (const partition of this.#partitions) {
        const slot = this.#slot(epoch, partition);
        let seq = acknowledged[slot] ?? 0;
        const durableIn = (upTo: number): string[] =>
          Object.entries(participants)
            .filter(([name, { log }]) => this.#told(state, name, log, slot) >= upTo)
            .map(([name]) => name);
        while (seq < (held[slot] ?? 0) && isMet(acknowledge, durableIn(seq + 1))) seq += 1;
        if (seq > (acknowledged[slot] ?? 0)) acknowledged = replaced(acknowledged, slot, seq);
      }
    }
    return acknowledged === state.acknowledged ? state : { ...state, acknowledged };
  }

  /** What a region acknowledged of a stream from a disk of this name. */
  #told(state: LeaseState, name: string, log: string, slot: number): number {
    const region = state.regions[NAMES.indexOf(name as RegionName)] as RegionState;
    return logText(region.log) === log ? (region.acknowledged[slot] ?? 0) : 0;
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
      holds: holds !== 0 ? holds : renewed && this.#complete(lease.record, region) ? lease.record.epoch : 0,
      candidacy: undefined,
    });
  }

  /** A hub accepts only when it holds every closed epoch up to its seal. */
  #complete(record: LeaseRecord, { held }: RegionState): boolean {
    return !this.#rules.fetches || held.every((seq, slot) => seq >= this.#sealAt(record, slot));
  }

  /** Of a stream by its place; 0 while it is open. */
  #sealAt(record: LeaseRecord, slot: number): number {
    const { partitions } = this.#bounds;
    return sealsOf(record, Math.floor(slot / partitions))?.[slot % partitions] ?? 0;
  }

  /** Also of a holder that was restarted, or finds that its own promotion succeeded: it accepts once this has. */
  #sendRenewal(state: LeaseState, at: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const { record, revision } = this.#lease(state, region);
    if (state.renewals >= this.#bounds.renewals || record.holder !== NAMES[at]) return undefined;
    if (!this.#rules.mayExtend(region.promise, record.epoch)) return undefined;
    const byStream = (slots: readonly number[]): Record<string, number> =>
      Object.fromEntries(
        this.#of(slots, record.epoch).map((seq, partition) => [record.streams[partition] as string, seq]),
      );
    const owed = byStream(region.held);
    const peers = state.regions.flatMap(({ log, acknowledged }, index) => {
      const durable = byStream(acknowledged);
      const peer = { log: logText(log), durable, peak: durable, owed };
      return index === at ? [] : [[NAMES[index] as string, peer] as const];
    });
    const renewed = this.#rules.withParticipants(record, new Map(peers));
    const sent = this.#send(state, { kind: 'renewal', revision, record: renewed });
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
    const own = { log: region.log, heads: this.#of(held, record.epoch) };
    const promises = NAMES.map((_, index) => (index === at ? own : undefined));
    const standing = this.#with(read, at, {
      promise: asked,
      held: complete,
      holds: 0,
      candidacy: { revision, promises, sent: false },
    });
    return NAMES.reduce((asking, name, to) => {
      if (to === at || (name === record.holder && !this.#bounds.planned)) return asking;
      return this.#send(asking, { kind: 'promise request', revision, from: at, to });
    }, standing);
  }

  /** What the candidate holds of closed epochs once it has asked everybody; undefined when nobody has the rest (P6.5). */
  #fetchEarlier(state: LeaseState, record: LeaseRecord, held: readonly number[]): number[] | undefined {
    const complete = [...held];
    for (let slot = 0; slot < held.length; slot++) {
      const seal = this.#sealAt(record, slot);
      if ((complete[slot] ?? 0) >= seal) continue;
      if (!state.regions.some((region) => (region.held[slot] ?? 0) >= seal)) return undefined;
      complete[slot] = seal;
    }
    return complete;
  }

  #sendPromotion(state: LeaseState, at: number): LeaseState | undefined {
    const region = state.regions[at] as RegionState;
    const { candidacy } = region;
    if (candidacy === undefined || candidacy.sent) return undefined;
    const { record } = state.history[candidacy.revision - 1] as Lease;
    const { streams } = record;
    const promises = candidacy.promises.flatMap((promised, index) => {
      if (promised === undefined) return [];
      const heads = Object.fromEntries(promised.heads.map((head, partition) => [streams[partition] as string, head]));
      return [{ region: NAMES[index] as string, log: logText(promised.log), heads }];
    });
    const handedOver = isWholeEpoch(record) && promises.some((promise) => promise.region === record.holder);
    const verdict = this.#rules.cleanliness(record, this.#rules.intactPromises(record, promises));
    const lossy = !handedOver && verdict.kind !== 'clean';
    if (lossy && !this.#bounds.lossy) return undefined;
    const seal = this.#rules.sealOfPromises(streams, promises);
    const held = [...region.held];
    for (const partition of this.#rules.fetches ? this.#partitions : []) {
      const slot = this.#slot(record.epoch, partition);
      held[slot] = Math.max(seal[streams[partition] as string] ?? 0, held[slot] ?? 0);
    }
    const name = NAMES[at] as string;
    const promoted = promotedRecord(record, {
      holder: name,
      streams: streamsOf(record.epoch + 1, name, this.#bounds.partitions),
      seal,
      promised: promises.map((promise) => promise.region),
      missing: [],
      lossy,
      acknowledge: record.acknowledge,
      logs: Object.fromEntries(
        promises.filter((promise) => promise.region !== record.holder).map((promise) => [promise.region, promise.log]),
      ),
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

  /** It comes back with nothing, not even its promise, and with a log of another name. */
  #wipe(state: LeaseState, at: number): LeaseState | undefined {
    if (state.wipes >= this.#bounds.wipes || current(state).record.holder === NAMES[at]) return undefined;
    const { log } = state.regions[at] as RegionState;
    const wiped = { ...(this.first.regions[at] as RegionState), holds: 0, log: log + 1 };
    return { ...state, regions: replaced(state.regions, at, wiped), wipes: state.wipes + 1 };
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
    const { revision } = current(state);
    switch (message.kind) {
      case 'renewal':
      case 'promotion':
        if (!this.#rules.compares(message.revision, revision)) return undefined;
        return this.#write(state, message.record);
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
    const word = { log: region.log, heads: this.#of(region.held, asked.epoch) };
    return this.#send(promised, { kind: 'promise', from: to, to: from, revision, promised: word });
  }

  #collect(state: LeaseState, message: Extract<Message, { kind: 'promise' }>): LeaseState | undefined {
    const { candidacy } = state.regions[message.to] as RegionState;
    if (candidacy === undefined || candidacy.sent || candidacy.revision !== message.revision) return undefined;
    if (candidacy.promises[message.from] !== undefined) return undefined;
    const promises = replaced(candidacy.promises, message.from, message.promised);
    return this.#with(state, message.to, { candidacy: { ...candidacy, promises } });
  }
}
