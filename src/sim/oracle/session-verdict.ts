import type { FrameArchive } from '#sim/oracle/frame-archive';
import { checkHistory } from '#sim/oracle/history/check-history';
import type { History, HistoryContext, HistoryFinding, Operation } from '#sim/oracle/history/types';
import type { Oracle } from '#sim/oracle/violations';
import type { WriteRecord } from '#sim/workload/write-record';

/** Oracle of each promise of a history. */
const ORACLES: Readonly<Record<HistoryFinding['promise'], Oracle>> = {
  'no-phantom': 'phantom',
  session: 'I6',
  causal: 'I6',
  bounded: 'bounded',
  strong: 'strong',
  acknowledged: 'I1',
};

export interface SessionFinding {
  readonly oracle: Oracle;
  readonly text: string;
}

/** Judges what the sessions of a run recorded, with the stamps that the logs gave their writes. */
export function judgeSessions(options: {
  readonly history: History;
  readonly writes: readonly WriteRecord[];
  readonly archive: FrameArchive;
  readonly context: HistoryContext;
}): SessionFinding[] {
  const orders = ordersOf(options.archive);
  const rows = new Map(
    options.writes.map(({ name, request }) => [name, request.changes[0]?.row.toString('hex') ?? '']),
  );
  const history = options.history.map((operation) => withOrders(operation, rows, orders));
  return checkHistory(history, options.context).map(({ promise, text }) => ({ oracle: ORACLES[promise], text }));
}

/** By the bytes of a row: the order part of the stamp it got; null when it got several. */
function ordersOf(archive: FrameArchive): Map<string, string | null> {
  const orders = new Map<string, string | null>();
  for (const { changes } of archive.frames()) {
    for (const { row, operation, wallMs, counter, origin } of changes) {
      if (operation === 'delete') continue;
      const name = row.toString('hex');
      const order = orderOf(wallMs, counter, origin);
      orders.set(name, (orders.get(name) ?? order) === order ? order : null);
    }
  }
  return orders;
}

/** The byte form of a stamp from its clock reading on, hexadecimal. */
function orderOf(wallMs: number, counter: number, origin: string): string {
  const name = Buffer.from(origin, 'utf8');
  const head = Buffer.alloc(11);
  head.writeUIntBE(wallMs, 0, 6);
  head.writeUInt32BE(counter, 6);
  head.writeUInt8(name.length, 10);
  return Buffer.concat([head, name]).toString('hex');
}

function withOrders(
  operation: Operation,
  rows: ReadonlyMap<string, string>,
  orders: ReadonlyMap<string, string | null>,
): Operation {
  if (operation.kind === 'read') return operation;
  const changes = operation.changes.map((change) => {
    const order = change.value === null ? null : (orders.get(rows.get(operation.id) ?? '') ?? null);
    return { ...change, rank: { ...change.rank, order } };
  });
  return { ...operation, changes };
}
