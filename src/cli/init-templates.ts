/** The files of a new project. */

export const GITIGNORE = `# Data, certificates, keys and tokens of the regions on this machine.
.antipode/
`;

const HOUR_MS = 3_600_000;

export function topologyTemplate(options: { readonly name: string; readonly basePort: number }): string {
  const { name, basePort } = options;
  const region = (region: string, place: string, at: number): string => `  ${region}:
    place: ${place}
    link: 127.0.0.1:${basePort + at}      # other regions dial this; always mutual TLS
    serve: 127.0.0.1:${basePort + 100 + at}     # clients and the dashboard`;
  return `# The topology: regions, control store, namespaces. \`antipode up\` runs all of it on this machine.
# yaml-language-server: $schema=./node_modules/antipode/schemas/antipode.schema.json
version: 1
name: ${name}

regions:
${region('us-east', 'Virginia', 1)}
${region('eu-west', 'Dublin', 2)}
${region('ap-south', 'Mumbai', 3)}

# A small process that holds the leases. In production it runs in a place of its own.
control:
  link: 127.0.0.1:${basePort}

# Each feature view belongs to a namespace, which says how it is replicated.
namespaces:
  default:
    replication: active-passive
    hub: us-east            # accepts writes first; the other regions forward to it
    failover: automatic     # another region takes over when the hub is gone for \`lease\` and \`margin\`
    lease: 3s
    tail: replay            # what a lost hub had not shipped is merged when it is back
  # profiles:
  #   replication: active-active   # every region accepts writes, also when cut off; concurrent writes are merged

security:
  reads: token              # or: open. Writing always needs a token
`;
}

export function exampleFeatures(): string {
  return `# yaml-language-server: $schema=../node_modules/antipode/schemas/features.schema.json
entities:
  - name: driver
    joinKeys:
      - { name: driver_id, type: int64 }

featureViews:
  - name: driver_stats
    namespace: default
    entities: [driver]
    owner: team@example.com
    description: How drivers did, by day.
    ttl: 30d
    features:
      - { name: trips, type: int64 }
      - { name: rating, type: float32 }
      - { name: city, type: string }
    sources:
      - { name: driver_stats_csv, path: sources/driver_stats.csv }
    # DuckDB SQL; one column for each join key and feature, and the event time.
    sql: |
      SELECT driver_id, trips, rating, city, event_timestamp
      FROM driver_stats_csv
      ORDER BY event_timestamp
`;
}

/** Twelve rows of the last day, so that none is beyond its time to live. */
export function exampleSource(nowMs: number): string {
  const cities = ['Dublin', 'Mumbai', 'Richmond'];
  const lines = Array.from({ length: 12 }, (_, index) => {
    const at = new Date(nowMs - (12 - index) * HOUR_MS).toISOString().replace(/\.\d+Z$/, 'Z');
    return `${1001 + index},${20 + ((index * 7) % 23)},${(3.5 + ((index * 13) % 15) / 10).toFixed(1)},${cities[index % 3]},${at}`;
  });
  return `driver_id,trips,rating,city,event_timestamp\n${lines.join('\n')}\n`;
}
