import type { DecodedFrame, PlacedChange } from '#sim/oracle/decoded-frame';
import { ackedChanges, type WriteRecord } from '#sim/workload/write-record';

export interface Finding {
  readonly oracle: 'I1' | 'once';
  readonly text: string;
}

/** Changes of each client's key, in the order of the log. */
function byKey(frames: readonly DecodedFrame[]): Map<string, PlacedChange[]> {
  const found = new Map<string, PlacedChange[]>();
  for (const frame of frames) {
    for (const { key, from, to } of frame.keys) {
      const changes = found.get(key) ?? [];
      changes.push(...frame.changes.slice(from - frame.from, to - frame.from));
      found.set(key, changes);
    }
  }
  return found;
}

/** Every change that a client was told is durable stands in a valid frame, or in `tails` where the policy keeps those (I1). */
export function lostChanges(options: {
  readonly namespace: string;
  readonly writes: readonly WriteRecord[];
  readonly valid: readonly DecodedFrame[];
  readonly tails: readonly DecodedFrame[];
}): Finding[] {
  const valid = byKey(options.valid);
  const tails = byKey(options.tails);
  const findings: Finding[] = [];
  for (const write of options.writes) {
    if (write.namespace !== options.namespace || write.ackedMs === undefined) continue;
    const { idempotencyKey } = write.request;
    const held = [...(valid.get(idempotencyKey) ?? []), ...(tails.get(idempotencyKey) ?? [])];
    for (const change of ackedChanges(write)) {
      const found = held.some(
        (placed) =>
          placed.version === write.version &&
          placed.operation === change.operation &&
          placed.key.equals(change.key) &&
          placed.row.equals(change.row) &&
          (change.operation === 'delete'
            ? placed.eventTimeUs >= change.eventTimeUs
            : placed.eventTimeUs === change.eventTimeUs),
      );
      if (!found) {
        findings.push({
          oracle: 'I1',
          text: `${idempotencyKey} was acknowledged at ${write.ackedMs.toFixed(0)} ms; its ${change.operation} is in no valid frame`,
        });
        break;
      }
    }
  }
  return findings;
}

/** No change is valid twice, under its own identity or under its client's key. */
export function repeatedChanges(valid: readonly DecodedFrame[], writes: readonly WriteRecord[]): Finding[] {
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
  const found = byKey(valid);
  for (const { request, heldBack } of writes) {
    const changes = found.get(request.idempotencyKey) ?? [];
    const most = request.changes.length;
    if (changes.length > most)
      findings.push({
        oracle: 'once',
        text: `${request.idempotencyKey} has ${most} changes (${heldBack.size} held back), ${changes.length} are valid: ${changes.map(({ id }) => id).join(', ')}`,
      });
  }
  return findings;
}
