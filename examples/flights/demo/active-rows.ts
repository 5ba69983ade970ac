import { DuckDbOfflineStore } from '#adapters/duckdb/duckdb-offline-store';
import type { Project } from '#adapters/project-files/load-project';
import { ViewCodec } from '#core/codec/view-codec';
import type { OfflineRow } from '#ports/offline-store';

export const ACTIVE_VIEW = 'route_daily';
const BATCH_ROWS = 2000;
/** Conflicts are kept up to a number; these leave room in every region's ledger. */
const SHARED_ROWS_MAX = 6000;
const HANDED_ROWS_MAX = 1500;
/** Of the shared rows one of so many is written in every region, the others in two. */
const EVERYWHERE_OF = 3;

/** One row for one region to write. */
export interface Assigned {
  readonly region: string;
  readonly row: OfflineRow;
}

/** What is written when; the demo knows from this alone which pairs of writes are concurrent. */
export interface Assignment {
  /** Before the partition; each row in one region only. */
  readonly before: readonly Assigned[];
  /** Of `before`, written once more in another region after everything has arrived everywhere: no conflict. */
  readonly handed: readonly Assigned[];
  /** During the partition, in one region only. */
  readonly during: readonly Assigned[];
  /**
   * During the partition, with other values in two regions that cannot hear each other: one conflict a row. Every third
   * row in all regions: as many conflicts as meet, and every value that lost is in one of them.
   */
  readonly shared: readonly (readonly Assigned[])[];
}

/** The first `count` rows of the view, computed from the flights. */
export async function flightRows(
  project: Project,
  count: number,
): Promise<{ codec: ViewCodec; rows: readonly OfflineRow[] }> {
  const view = project.views.find(({ name }) => name === ACTIVE_VIEW);
  if (view === undefined) throw new Error(`the project has no view ${ACTIVE_VIEW}`);
  const codec = new ViewCodec(view);
  const offline = await DuckDbOfflineStore.open({ projectFolder: project.folder });
  const rows: OfflineRow[] = [];
  try {
    const { batches } = await offline.compute({ codec, batchRows: BATCH_ROWS });
    for await (const batch of batches) {
      rows.push(...batch.rows.slice(0, count - rows.length));
      if (rows.length >= count) break;
    }
  } finally {
    await offline.close();
  }
  return { codec, rows };
}

export function assign(codec: ViewCodec, rows: readonly OfflineRow[], regions: readonly string[]): Assignment {
  const sharedCount = Math.min(SHARED_ROWS_MAX, Math.floor(rows.length / 5));
  const handedCount = Math.min(HANDED_ROWS_MAX, Math.floor(rows.length / 20));
  const regionAt = (index: number): string => regions[index % regions.length] as string;
  const own = rows.slice(sharedCount + handedCount).map((row, index) => ({ region: regionAt(index), row }));
  const handed = rows.slice(sharedCount, sharedCount + handedCount);
  const half = Math.floor(own.length / 2);
  return {
    before: [...own.slice(0, half), ...handed.map((row, index) => ({ region: regionAt(index), row }))],
    handed: handed.map((row, index) => changed(codec, row, regions, regionAt(index + 1))),
    during: own.slice(half),
    shared: rows.slice(0, sharedCount).map((row, index) => {
      // Which two regions write a row, and which value of all wins, does not follow the number of the row alike.
      const writers = index % EVERYWHERE_OF === 0 ? regions.length : 2;
      const first = Math.floor(index / EVERYWHERE_OF) + index;
      return Array.from({ length: writers }, (_, i) => changed(codec, row, regions, regionAt(first + i)));
    }),
  };
}

/** The same flights as one region counts them: its own number of flights, the same key and event time. */
function changed(codec: ViewCodec, row: OfflineRow, regions: readonly string[], region: string): Assigned {
  const values = codec.decodeRow(row.row);
  values[0] = Number(values[0]) + 1000 * (regions.indexOf(region) + 1);
  return { region, row: { ...row, row: codec.encodeRow(values) } };
}
