// A history of real processes in the form of the checkers that simulated histories go through, too.

import { checkAcknowledged, checkHistory as checkOperations } from '#sim/oracle/history/check-history';
import type { HistoryContext, HistoryFinding, Operation } from '#sim/oracle/history/types';
import type { FinalLease, History, WriteAttempt } from './history.ts';

const NAMESPACE = 'default';
/** What the engine allows two wall clocks to stand apart, ms (P8). */
const CLOCK_BOUND_MS = 500;

/** What those checkers find. */
export function findingsOf(history: History): HistoryFinding[] {
  const operations = operationsOf(history);
  const [run] = history.of('run');
  const [lease] = history.of('lease');
  const context: HistoryContext = {
    lossyEpochs: { [NAMESPACE]: lease?.lossy ?? [] },
    clockExcessMs: Math.max(0, (run?.clockSkewMs ?? 0) - CLOCK_BOUND_MS),
  };
  const findings = checkOperations(operations, context);
  const regions = history.of('region');
  // A tail that is kept, as the policy says, is listed and not served.
  const kept =
    run?.tail === 'keep' ? regions.flatMap(({ tails }) => Object.keys(tails).map((write) => `write ${write}`)) : [];
  for (const { region, served } of regions) {
    const rows = new Map(
      Object.entries(served).map(
        ([key, write]) => [key, { register: key, value: String(write), rank: rankOf(write) }] as const,
      ),
    );
    findings.push(...checkAcknowledged(operations, { region, rows }, new Set(kept)));
  }
  return findings;
}

function operationsOf(history: History): Operation[] {
  const [lease] = history.of('lease');
  const operations: Operation[] = writesOf(history).map((attempts) => writeOf(attempts, lease));
  for (const [index, read] of history.of('read').entries()) {
    const served = read.outcome === 'ok' && read.status !== 'INVALID';
    operations.push({
      kind: 'read',
      id: `read ${index}`,
      session: read.token ? read.session : null,
      region: read.region,
      namespace: NAMESPACE,
      invokedMs: read.invokedMs,
      completedMs: read.completedMs,
      outcome: served ? 'ok' : 'refused',
      code: read.code,
      epoch: numberOf(read.headers['antipode-epoch']),
      level: read.level,
      maxStalenessMs: read.maxStalenessMs,
      stale: read.stale,
      rows: [
        {
          register: String(read.key),
          value: read.write === null ? null : String(read.write),
          rank: read.write === null ? null : rankOf(read.write),
        },
      ],
    });
  }
  return operations;
}

/** All attempts of a write are one operation: whichever of them was done, its value is the same. */
function writeOf(attempts: readonly WriteAttempt[], lease: FinalLease | undefined): Operation {
  const [first] = attempts as [WriteAttempt];
  const ok = attempts.filter(({ outcome }) => outcome === 'ok').sort((a, b) => a.completedMs - b.completedMs)[0];
  const refused = attempts.every(({ outcome }) => outcome === 'refused');
  return {
    kind: 'write',
    id: `write ${first.write}`,
    session: ok?.token === true ? ok.session : null,
    region: (ok ?? first).region,
    namespace: NAMESPACE,
    invokedMs: Math.min(...attempts.map(({ invokedMs }) => invokedMs)),
    completedMs: ok?.completedMs ?? null,
    outcome: ok !== undefined ? 'ok' : refused ? 'refused' : 'unknown',
    code: ok === undefined ? first.code : null,
    epoch: ok === undefined ? null : epochOf(ok, lease),
    changes: [
      {
        register: String(first.key),
        value: first.operation === 'delete' ? null : String(first.write),
        rank: rankOf(first.write),
      },
    ],
  };
}

function writesOf(history: History): WriteAttempt[][] {
  const grouped = new Map<number, WriteAttempt[]>();
  for (const attempt of history.of('write')) {
    const known = grouped.get(attempt.write);
    if (known === undefined) grouped.set(attempt.write, [attempt]);
    else known.push(attempt);
  }
  return [...grouped.values()];
}

/** Epoch of the streams that an answer names; null when the lease record does not know them. */
function epochOf({ positions }: WriteAttempt, lease: FinalLease | undefined): number | null {
  const [stream] = Object.keys(positions ?? {});
  if (stream === undefined || lease === undefined) return null;
  if (lease.streams.includes(stream)) return lease.epoch;
  const closed = Object.entries(lease.seals).find(([, seals]) => seals[stream] !== undefined);
  return closed === undefined ? null : Number(closed[0]);
}

/** Event times grow with the numbers of writes, so that the numbers rank like them. */
function rankOf(write: number): { readonly eventTimeUs: number; readonly order: null } {
  return { eventTimeUs: write, order: null };
}

function numberOf(text: string | undefined): number | null {
  return text === undefined ? null : Number(text);
}
