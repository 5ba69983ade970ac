import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';
import type { OnlineReader } from '#ports/online-store';
import type { RegionEngine } from '#region/engine-api';
import type { TokenSet } from '#server/access/tokens';
import type { DashboardAsset } from '#server/dashboard/assets';

/** Bounds of one request. Beyond any of them the answer is REQUEST_TOO_LARGE (413). */
export interface FaceLimits {
  /** Bytes of a body. */
  readonly bodyBytes: number;
  /** Entity rows of a read, rows of a write. */
  readonly entitiesPerRequest: number;
  /** Features of a read. */
  readonly featuresPerRequest: number;
}

export const DEFAULT_LIMITS: FaceLimits = {
  bodyBytes: 4 * 1024 * 1024,
  entitiesPerRequest: 4096,
  featuresPerRequest: 1024,
};

/** Values of one answer (entity rows times features): a read is answered in one go, and others wait meanwhile. */
export const CELLS_PER_REQUEST_MAX = 500_000;

export interface TlsMaterial {
  /** PEM. */
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

export interface FaceOptions {
  readonly region: string;
  /** Name of the project, as in Feast's messages. */
  readonly project: string;
  readonly engine: RegionEngine;
  readonly reader: OnlineReader;
  /**
   * Storage keys, hexadecimal, of rows that `reader` found damaged since the last call; the engine is told of them. Absent
   * where the reader is the engine's own store.
   */
  readonly damagedRows?: (() => readonly string[]) | undefined;
  /** Null: no token is valid, so that writes and administration are refused to everybody. */
  readonly tokens: TokenSet | null;
  /** Whether reads (features, status, metrics) need a token. */
  readonly reads: 'token' | 'open';
  readonly limits: FaceLimits;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The dashboard's files by the path they are served at (`loadDashboardAssets`); null: this face has no dashboard. */
  readonly dashboard: ReadonlyMap<string, DashboardAsset> | null;
  readonly tls?: TlsMaterial;
  /** Signs browser sessions; all serving processes of a region need the same. Random when absent. */
  readonly sessionKey?: Buffer;
  /** Tells the serving processes of a region apart in metrics. */
  readonly worker?: string;
}
