import { encodeComponent } from '#core/codec/counter-state';
import type { IngestChange } from '#region/engine-api';
import type { DecodedFrame, PlacedChange } from '#sim/oracle/decoded-frame';
import { ackedChanges, type WriteRecord } from '#sim/workload/write-record';

export interface Finding {
  readonly oracle: 'I1' | 'once';
  readonly text: string;
}

/**
 * Where the changes of clients stand among frames. An upsert is known by its row, which carries the name of its write; a
 * delete by its client's key.
 */
class ChangeIndex {
  readonly #upserts = new Map<string, PlacedChange[]>();
  readonly #byKey = new Map<string, PlacedChange[]>();

  constructor(frames: readonly DecodedFrame[]) {
    for (const frame of frames) {
      for (const change of frame.changes) {
        if (change.operation === 'upsert') add(this.#upserts, `${change.rowKey} ${textOf(change.row)}`, change);
      }
      for (const { key, from, to } of frame.keys)
        for (const change of frame.changes.slice(from - frame.from, to - frame.from)) add(this.#byKey, key, change);
    }
  }

  find(write: WriteRecord, change: IngestChange): readonly PlacedChange[] {
    if (change.operation === 'upsert') {
      const rowKey = write.version.slice(0, 16) + textOf(change.key);
      const { producer } = write.request;
      const row = producer === undefined ? change.row : encodeComponent(producer, change.row);
      return this.#upserts.get(`${rowKey} ${textOf(row)}`) ?? [];
    }
    return this.ofKey(write).filter(({ operation, key }) => operation === 'delete' && key.equals(change.key));
  }

  ofKey({ request }: WriteRecord): readonly PlacedChange[] {
    return this.#byKey.get(request.idempotencyKey ?? '') ?? [];
  }
}

const texts = new WeakMap<Buffer, string>();

/** Hexadecimal. The same rows are looked for again and again while regions catch up. */
function textOf(bytes: Buffer): string {
  let text = texts.get(bytes);
  if (text === undefined) {
    text = bytes.toString('hex');
    texts.set(bytes, text);
  }
  return text;
}

function add(map: Map<string, PlacedChange[]>, key: string, change: PlacedChange): void {
  const held = map.get(key);
  if (held === undefined) map.set(key, [change]);
  else held.push(change);
}

/** Every change that a client was told is durable stands in a valid frame, or in `tails` where the policy keeps those (I1). */
export function lostChanges(options: {
  readonly writes: readonly WriteRecord[];
  readonly valid: readonly DecodedFrame[];
  readonly tails: readonly DecodedFrame[];
}): Finding[] {
  const index = new ChangeIndex([...options.valid, ...options.tails]);
  const findings: Finding[] = [];
  for (const write of options.writes) {
    if (write.ackedMs === undefined) continue;
    const lost = ackedChanges(write).find(
      (change) =>
        !index
          .find(write, change)
          .some(({ eventTimeUs }) =>
            change.operation === 'delete' ? eventTimeUs >= change.eventTimeUs : eventTimeUs === change.eventTimeUs,
          ),
    );
    if (lost === undefined) continue;
    const text = `${write.name} was acknowledged at ${write.ackedMs.toFixed(0)} ms; its ${lost.operation} is in no valid frame`;
    findings.push({ oracle: 'I1', text });
  }
  return findings;
}

/**
 * No change is valid twice: under its own identity, by its content, or under its client's key. Where every region accepts, a
 * retry in a region that had not heard of the first try is accepted again: there it is once for each region (P10).
 */
export function repeatedChanges(
  valid: readonly DecodedFrame[],
  writes: readonly WriteRecord[],
  replication: 'active-passive' | 'active-active',
  unheard: ReadonlySet<string>,
): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, string>();
  for (const frame of valid) {
    const place = `${frame.stream} (${frame.from}, ${frame.to}]`;
    for (const { id } of frame.changes) {
      const before = seen.get(id);
      if (before !== undefined)
        findings.push({ oracle: 'once', text: `change ${id} is valid in ${before} and in ${place}` });
      seen.set(id, place);
    }
  }
  const origins = replication === 'active-active' ? new Set(valid.map(({ origin }) => origin)) : [undefined];
  for (const origin of origins) {
    if (origin !== undefined && unheard.has(origin)) continue;
    const index = new ChangeIndex(valid.filter((frame) => origin === undefined || frame.origin === origin));
    for (const write of writes) {
      const { changes, idempotencyKey, producer } = write.request;
      // Totals may be sent again without a key: a second copy merges with the first.
      if (idempotencyKey === undefined && producer !== undefined) continue;
      const ofKey = index.ofKey(write);
      const twice = changes.find((change) => change.operation === 'upsert' && index.find(write, change).length > 1);
      if (twice === undefined && ofKey.length <= changes.length) continue;
      const found = twice === undefined ? ofKey : index.find(write, twice);
      const text = `${write.name} has ${changes.length} changes, valid more than once: ${found.map(({ id }) => id).join(', ')}`;
      findings.push({ oracle: 'once', text });
    }
  }
  return findings;
}
