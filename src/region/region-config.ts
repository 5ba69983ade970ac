import type { FeatureView } from '#core/model/feature-view';
import type { ChangeLog } from '#ports/change-log';
import type { Clock } from '#ports/clock';
import type { ControlStore } from '#ports/control-store';
import type { Host, Logger } from '#ports/host';
import type { Journal } from '#ports/journal';
import type { LinkTransport } from '#ports/link-transport';
import type { OnlineStore } from '#ports/online-store';
import type { Random } from '#ports/random';
import type { Snapshots } from '#ports/snapshots';
import type { NamespaceSetup } from '#region/namespace-setup';

/** What a region is told about itself and the topology. */
export interface RegionConfig {
  readonly region: string;
  readonly place: string;
  /** The other regions of the topology. */
  readonly peers: readonly string[];
  readonly namespaces: readonly NamespaceSetup[];
  readonly views: readonly FeatureView[];
  /** Bytes of one chunk of a copy of the store; default 256 KiB in snapshots, 1 MiB between regions. */
  readonly copyChunkBytes?: number;
}

/** Everything a region touches outside itself. */
export interface RegionPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly host: Host;
  readonly logger: Logger;
  readonly changeLog: ChangeLog;
  readonly journal: Journal;
  readonly store: OnlineStore;
  readonly control: ControlStore;
  readonly transport: LinkTransport;
  readonly snapshots: Snapshots;
}
