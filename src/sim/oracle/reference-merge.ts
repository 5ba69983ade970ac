import { readStored } from '#core/codec/stored-value';
import { ViewCodec } from '#core/codec/view-codec';
import type { FeatureValue, FeatureView } from '#core/model/feature-view';
import type { PlacedChange } from '#sim/oracle/decoded-frame';

/** Whether `a` outranks `b`: the later event time, then the later clock reading, then the origin (P9.2). */
export function outranks(a: PlacedChange, b: PlacedChange): boolean {
  if (a.eventTimeUs !== b.eventTimeUs) return a.eventTimeUs > b.eventTimeUs;
  if (a.wallMs !== b.wallMs) return a.wallMs > b.wallMs;
  if (a.counter !== b.counter) return a.counter > b.counter;
  if (a.origin.length !== b.origin.length) return a.origin.length > b.origin.length;
  return a.origin > b.origin;
}

/** One producer's totals, as a counter change carries them. */
interface Totals {
  readonly producer: string;
  readonly sequence: bigint;
  readonly row: Buffer;
}

/**
 * What stores must hold, worked out from all changes of a key together: by sorting them, not by merging two stored values
 * at a time as the engine does, and with the byte forms written down once more.
 */
export class ReferenceMerge {
  readonly #codecs: ReadonlyMap<string, ViewCodec>;

  constructor(views: readonly FeatureView[]) {
    this.#codecs = new Map(views.map((view) => [view.version, new ViewCodec(view)]));
  }

  /** The rows that all these changes together give: row key to stored bytes, hexadecimal. */
  rows(changes: Iterable<PlacedChange>): Map<string, string> {
    const byKey = new Map<string, PlacedChange[]>();
    for (const change of changes) {
      const held = byKey.get(change.rowKey);
      if (held === undefined) byKey.set(change.rowKey, [change]);
      else held.push(change);
    }
    return new Map([...byKey].map(([rowKey, ofKey]) => [rowKey, this.stored(ofKey)]));
  }

  /** What changes of one key give together; of one change, what it is stored as where nothing is yet. */
  stored(changes: readonly PlacedChange[]): string {
    const codec = this.#codecs.get(changes[0]?.version ?? '');
    if (codec === undefined) throw new Error(`no view has version ${changes[0]?.version}`);
    const { view } = codec;
    if (view.resolver.kind === 'counter') return counted(changes).toString('hex');
    if (view.granularity === 'row') return cell(winner(codec, undefined, changes), view).toString('hex');
    const cells = view.features.map((_, place) => {
      const touching = changes.filter((change) => touches(change, place));
      if (touching.length === 0) return Buffer.alloc(4);
      const best = winner(codec, place, touching);
      const bytes = cell({ ...best, row: featureBytes(codec, best, place) }, view);
      return Buffer.concat([u32(bytes.length), bytes]);
    });
    return Buffer.concat(cells).toString('hex');
  }

  /** Counters of which the engine would serve other sums than those of the totals that count. */
  wronglyServed(changes: readonly PlacedChange[]): string[] {
    const counters = changes.filter(({ version }) => this.#codecs.get(version)?.view.resolver.kind === 'counter');
    const wrong: string[] = [];
    for (const [rowKey, ofKey] of Map.groupBy(counters, (change) => change.rowKey)) {
      const codec = this.#codecs.get(ofKey[0]?.version ?? '') as ViewCodec;
      const { values } = readStored(codec, Buffer.from(this.stored(ofKey), 'hex'));
      const sums = totalsServed(codec, ofKey);
      if (values.length !== sums.length || !values.every((value, index) => Object.is(value, sums[index])))
        wrong.push(`counter ${rowKey} would be served as ${values.join()}, not as ${sums.join()}`);
    }
    return wrong;
  }
}

/** Nothing of a deleted counter; else for each feature the sum over producers, in the order of their names. */
function totalsServed(codec: ViewCodec, changes: readonly PlacedChange[]): FeatureValue[] {
  const live = lastGeneration(changes).filter(({ operation }) => operation === 'upsert');
  if (live.length === 0) return [];
  const rows = latestTotals(live).map(({ row }) => codec.decodeRow(row));
  const count = rows.reduce((sum, [counted]) => sum + (counted as bigint), 0n);
  const totals = rows.map(([, total]) => total).filter((total) => typeof total === 'number');
  return [count, totals.length === 0 ? null : totals.reduce((sum, total) => sum + total, 0)];
}

function touches({ operation, features }: PlacedChange, place: number): boolean {
  return operation === 'delete' || features === undefined || features.includes(place);
}

function featureBytes(codec: ViewCodec, change: PlacedChange, place: number): Buffer {
  if (change.operation === 'delete') return Buffer.alloc(0);
  return codec.encodeFeatures([place], [featureValue(codec, change, place)]);
}

function featureValue(codec: ViewCodec, { features, row }: PlacedChange, place: number): FeatureValue {
  if (features === undefined) return codec.decodeRow(row)[place] as FeatureValue;
  return codec.decodeFeatures(features, row)[features.indexOf(place)] as FeatureValue;
}

function lastGeneration(changes: readonly PlacedChange[]): PlacedChange[] {
  const last = Math.max(...changes.map(({ generation }) => generation));
  return changes.filter(({ generation }) => generation === last);
}

/** The change whose value stays; `place`: the feature in question, or undefined for the row as a whole. */
function winner(codec: ViewCodec, place: number | undefined, changes: readonly PlacedChange[]): PlacedChange {
  const { resolver, features } = codec.view;
  switch (resolver.kind) {
    case 'region-priority': {
      const rank = ({ origin }: PlacedChange): number => {
        const index = resolver.regions.indexOf(origin);
        return index < 0 ? resolver.regions.length : index;
      };
      const best = Math.min(...changes.map(rank));
      return latest(changes.filter((change) => rank(change) === best));
    }
    case 'max':
    case 'min': {
      const candidates = lastGeneration(changes);
      const live = candidates.filter(({ operation }) => operation === 'upsert');
      if (live.length === 0) return latest(candidates);
      const deciding = place ?? features.findIndex(({ name }) => name === resolver.by);
      const values = live.map((change) => featureValue(codec, change, deciding));
      const best = extreme(resolver.kind, values);
      return latest(live.filter((_, index) => Object.is(values[index], best)));
    }
    default:
      return latest(changes);
  }
}

function latest(changes: readonly PlacedChange[]): PlacedChange {
  return changes.reduce((best, change) => (outranks(change, best) ? change : best));
}

/** Numbers before NaN before null; text by its UTF-8 bytes, which is the order of code points. */
function extreme(kind: 'max' | 'min', values: readonly FeatureValue[]): FeatureValue {
  const known = values.filter((value) => value !== null);
  const comparable = known.filter((value) => !Number.isNaN(value));
  if (comparable.length === 0) return known[0] ?? null;
  const sorted = comparable.toSorted((a, b) => {
    if (typeof a === 'string' && typeof b === 'string') return Buffer.from(a).compare(Buffer.from(b));
    if (a === 0 && b === 0) return Number(Object.is(b, -0)) - Number(Object.is(a, -0));
    return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
  });
  return (kind === 'max' ? sorted[sorted.length - 1] : sorted[0]) as FeatureValue;
}

function counted(changes: readonly PlacedChange[]): Buffer {
  const candidates = lastGeneration(changes);
  const live = candidates.filter(({ operation }) => operation === 'upsert');
  if (live.length === 0) return head(latest(candidates), true);
  const components = latestTotals(live).map(({ producer, sequence, row }) => {
    const fixed = Buffer.alloc(9 + producer.length);
    fixed.writeUInt8(producer.length, 0);
    fixed.write(producer, 1, 'latin1');
    fixed.writeBigUInt64BE(sequence, 1 + producer.length);
    return Buffer.concat([u32(fixed.length + row.length), fixed, row]);
  });
  return Buffer.concat([head(latest(live), true), ...components]);
}

/** Of each producer the totals of the greatest sequence, of equal ones the greatest bytes; by name. */
function latestTotals(live: readonly PlacedChange[]): Totals[] {
  const best = new Map<string, Totals>();
  for (const { row: bytes } of live) {
    const nameEnd = 5 + bytes.readUInt8(4);
    const totals: Totals = {
      producer: bytes.toString('latin1', 5, nameEnd),
      sequence: bytes.readBigUInt64BE(nameEnd),
      row: bytes.subarray(nameEnd + 8),
    };
    const held = best.get(totals.producer);
    const later =
      held === undefined ||
      totals.sequence > held.sequence ||
      (totals.sequence === held.sequence && totals.row.compare(held.row) > 0);
    if (later) best.set(totals.producer, totals);
  }
  return [...best.values()].sort((a, b) => (a.producer < b.producer ? -1 : 1));
}

function cell(change: PlacedChange, { resolver }: FeatureView): Buffer {
  return Buffer.concat([head(change, resolver.kind === 'max' || resolver.kind === 'min'), change.row]);
}

/** All of a cell but its payload, by the description of the format alone. */
function head(change: PlacedChange, withGeneration: boolean): Buffer {
  const origin = Buffer.from(change.origin, 'utf8');
  const stamp = Buffer.alloc(19);
  stamp.writeBigUInt64BE(BigInt(change.eventTimeUs) + (1n << 63n), 0);
  stamp.writeUIntBE(change.wallMs, 8, 6);
  stamp.writeUInt32BE(change.counter, 14);
  stamp.writeUInt8(origin.length, 18);
  const flag = Buffer.from([change.operation === 'upsert' ? 1 : 0]);
  const id = Buffer.alloc(14);
  id.write(change.incarnation, 0, 'hex');
  id.writeUIntBE(change.seq, 8, 6);
  const generation = withGeneration ? u32(change.generation) : Buffer.alloc(0);
  return Buffer.concat([stamp, origin, flag, id, generation]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
