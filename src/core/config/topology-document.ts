import { z } from 'zod';
import { endpointSchema } from '#core/config/endpoint';
import { nameSchema, regionNameSchema } from '#core/config/names';
import { durationSchema, sizeSchema } from '#core/config/units';

/** What this release can store in; the schema names it so that a wish for another engine gets a clear answer. */
const ENGINES = { log: ['lmdb'], online: ['lmdb'], offline: ['duckdb'] } as const;

const WORKERS_MAX = 64;
const PARTITIONS_MAX = 64;
const REGIONS_MAX = 32;
const MIB = 1024 * 1024;
const RETENTION_MS_MAX = 10 * 365 * 24 * 3600 * 1000;

const folder = (what: string) =>
  z.string().min(1, 'the path is empty').max(1024, 'the path is too long').describe(what);

const regionSchema = z
  .strictObject({
    place: z
      .string()
      .min(1, 'the place is empty')
      .max(128, 'the place is longer than 128 characters')
      .describe('Where the region is, for people: a city, a cloud region.'),
    link: endpointSchema.describe('host:port for other regions and serving processes; always mutual TLS.'),
    serve: endpointSchema.describe('host:port for clients and the dashboard.'),
    workers: z
      .int()
      .min(0)
      .max(WORKERS_MAX)
      .default(1)
      .describe("Serving processes. 0: the region's own process serves, and reads wait while it is busy."),
    data: folder("Folder of the region's logs and store; default .antipode/data/<region>.").optional(),
    promotable: z.boolean().default(true).describe('Whether the region may become hub.'),
    priority: z
      .int()
      .min(0)
      .max(1000)
      .default(100)
      .describe('Among equally advanced candidates the highest becomes hub.'),
  })
  .meta({ description: 'One region.' });

const namespaceSchema = z
  .strictObject({
    replication: z
      .enum(['active-passive', 'active-active'])
      .default('active-passive')
      .describe(
        'active-passive: one region, the hub, accepts writes. active-active: every region does, also when cut off; concurrent writes are merged.',
      ),
    hub: z.string().optional().describe('The region that holds the lease first. Required for active-passive only.'),
    partitions: z.int().min(1).max(PARTITIONS_MAX).default(1).describe('Fixed when the namespace is created.'),
    failover: z.enum(['automatic', 'manual']).optional().describe('Active-passive only. Default automatic.'),
    lease: durationSchema({ minMs: 500, maxMs: 600_000 })
      .optional()
      .describe(
        'How long a hub that cannot renew still accepts; the time to detect a lost hub. Active-passive only. Default 3s.',
      ),
    margin: durationSchema({ minMs: 50, maxMs: 60_000 })
      .optional()
      .describe('How much earlier the hub stops, and later others take over. Active-passive only. Default 500ms.'),
    tail: z
      .enum(['replay', 'keep'])
      .optional()
      .describe(
        'What becomes of changes a deposed hub holds beyond the seal: merged by the new hub, or kept for a decision. Active-passive only. Default replay.',
      ),
    acknowledge: z
      .union([
        z.literal('local'),
        z
          .int()
          .min(1, 'use local for writes that wait for no other region')
          .max(REGIONS_MAX - 1),
        z.array(z.string()).min(1, 'the list of regions is empty').max(REGIONS_MAX),
      ])
      .optional()
      .describe(
        'Where a write is durable before it is acknowledged: local, at the hub alone; a number of promotable regions beside the hub; or a list of promotable regions, those of them that are not the hub. Active-passive only. Default local.',
      ),
    acknowledgeWithin: durationSchema({ minMs: 100, maxMs: 10_000 })
      .optional()
      .describe(
        'How long an acknowledgement waits for other regions; then the outcome of the write is unknown. Active-passive only. Default 5s.',
      ),
    lossy: z
      .enum(['allow', 'refuse'])
      .optional()
      .describe(
        'Whether a region takes over when acknowledged writes may be left behind. Active-passive only. Default: allow with acknowledge local, else refuse.',
      ),
    retention: z
      .strictObject({
        age: durationSchema({ minMs: 60_000, maxMs: RETENTION_MS_MAX })
          .default(7 * 24 * 3600 * 1000)
          .describe('Frames older than this leave the logs once every region has them. Default 7d.'),
        bytes: sizeSchema({ minBytes: 64 * MIB, maxBytes: 1024 * 1024 * MIB })
          .default(10 * 1024 * MIB)
          .describe(
            'Bytes of frames that a log keeps of the namespace. Beyond them the oldest leave it even if a region lacks them, which is then filled from the store of another. Default 10GiB.',
          ),
      })
      .prefault({})
      .describe('How long changes stay in the log of a region.'),
  })
  .meta({ description: 'How a group of feature views is replicated.' });

const linkSchema = z
  .strictObject({
    from: z.string().describe('The region that dials.'),
    to: z.string().describe('The region it dials, or control.'),
    address: endpointSchema.describe("host:port to dial instead of the region's own."),
  })
  .meta({ description: 'Another way from one region to another, through a proxy or load balancer.' });

const engine = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values).default(values[0] as T[number]);

export const topologySchema = z.strictObject({
  version: z.literal(1).describe('Version of this file format.'),
  name: nameSchema.describe('Name of the topology; certificates are bound to it.'),
  project: nameSchema.optional().describe('Feast project name that clients use; default: the name of the topology.'),
  regions: z
    .record(regionNameSchema, regionSchema)
    .refine((regions) => Object.keys(regions).length >= 1, 'at least one region is needed')
    .refine((regions) => Object.keys(regions).length <= REGIONS_MAX, `at most ${REGIONS_MAX} regions are allowed`),
  control: z
    .strictObject({
      link: endpointSchema.describe('host:port of the control store; always mutual TLS.'),
      data: folder('Folder of the control store; default .antipode/data/control.').optional(),
      place: z.string().min(1, 'the place is empty').max(128).optional().describe('Where the control store is.'),
    })
    .meta({ description: 'The control store: a small process that holds leases, the witness of failovers.' }),
  links: z.array(linkSchema).default([]),
  namespaces: z
    .record(nameSchema, namespaceSchema)
    .refine((namespaces) => Object.keys(namespaces).length >= 1, 'at least one namespace is needed'),
  engines: z
    .strictObject({ log: engine(ENGINES.log), online: engine(ENGINES.online), offline: engine(ENGINES.offline) })
    .prefault({}),
  security: z
    .strictObject({
      reads: z
        .enum(['token', 'open'])
        .default('token')
        .describe('Whether reading features needs a token. Writing always does.'),
      tokens: folder('Tokens file that init writes.').default('.antipode/tokens.json'),
      certificates: folder('Folder of the certificates of regions and control store.').default(
        '.antipode/certificates',
      ),
      serving: z
        .strictObject({
          tls: z
            .strictObject({ cert: folder('PEM certificate chain.'), key: folder('PEM private key.') })
            .optional()
            .describe('Needed where a region serves beyond loopback.'),
        })
        .prefault({}),
    })
    .prefault({}),
  limits: z
    .strictObject({
      bodyBytes: sizeSchema({ minBytes: 1024, maxBytes: 64 * MIB })
        .default(4 * MIB)
        .describe('Largest request body. Default 4MiB.'),
      entitiesPerRequest: z.int().min(1).max(100_000).default(10_000),
    })
    .prefault({}),
});

export type TopologyDocument = z.output<typeof topologySchema>;
