import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { isAbsolute, join, resolve } from 'node:path';
import { isMap, isSeq, parseDocument, visit } from 'yaml';
import { WanProxy } from '../../support/wan-proxy.ts';

/** One-way delays between the regions, ms, by pair. */
const ONE_WAY_MS: Readonly<Record<string, number>> = {
  'eu-west us-east': 40,
  'ap-south eu-west': 60,
  'ap-south us-east': 110,
};
/** Bandwidth of each line in each direction, bytes per second (200 Mbit/s). */
const BYTES_PER_SECOND = 25_000_000;

export function oneWayMs(a: string, b: string): number {
  return ONE_WAY_MS[[a, b].sort().join(' ')] ?? 0;
}

export interface DemoProject {
  readonly folder: string;
  readonly regions: readonly {
    readonly name: string;
    readonly serve: { readonly host: string; readonly port: number };
  }[];
  /** The lines that a region dials or is dialled through. */
  linesOf(region: string): WanProxy[];
  stop(): Promise<void>;
}

/**
 * Copies the example project into `folder` for one run: free ports where the usual ones are taken, and every link between
 * regions led through a delaying proxy.
 */
export async function makeProject(options: {
  readonly base: string;
  readonly folder: string;
  /** Another way of replication than the example's. */
  readonly replication?: 'active-active';
}): Promise<DemoProject> {
  const { base, folder } = options;
  mkdirSync(join(folder, 'features'), { recursive: true });
  const document = parseDocument(readFileSync(join(base, 'antipode.yaml'), 'utf8'));
  const names = regionNames(document);
  const links: { from: string; to: string; address: string }[] = [];
  const proxies = new Map<string, WanProxy>();
  document.setIn(['control', 'link'], `127.0.0.1:${await nearPort(portOf(document.getIn(['control', 'link'])))}`);
  const linkPorts = new Map<string, number>();
  const regions: { name: string; serve: { host: string; port: number } }[] = [];
  for (const name of names) {
    linkPorts.set(name, await nearPort(portOf(document.getIn(['regions', name, 'link']))));
    const serve = await nearPort(portOf(document.getIn(['regions', name, 'serve'])));
    document.setIn(['regions', name, 'link'], `127.0.0.1:${linkPorts.get(name)}`);
    document.setIn(['regions', name, 'serve'], `127.0.0.1:${serve}`);
    regions.push({ name, serve: { host: '127.0.0.1', port: serve } });
  }
  for (const from of names) {
    for (const to of names) {
      if (from === to) continue;
      const proxy = new WanProxy({ target: { host: '127.0.0.1', port: linkPorts.get(to) as number } });
      proxy.shape({ delayMs: oneWayMs(from, to), bytesPerSecond: BYTES_PER_SECOND });
      proxies.set(`${from} ${to}`, proxy);
      links.push({ from, to, address: `127.0.0.1:${await proxy.start()}` });
    }
  }
  document.set('links', document.createNode(links));
  if (options.replication !== undefined)
    document.setIn(['namespaces', 'flights'], document.createNode({ replication: options.replication }));
  document.commentBefore = null;
  writeFileSync(join(folder, 'antipode.yaml'), document.toString());
  for (const file of readdirSync(join(base, 'features')))
    copyFeatures(join(base, 'features', file), join(folder, 'features', file), base);
  return {
    folder,
    regions,
    linesOf: (region) => [...proxies].filter(([pair]) => pair.split(' ').includes(region)).map(([, proxy]) => proxy),
    stop: async () => {
      for (const proxy of proxies.values()) await proxy.close();
    },
  };
}

function regionNames(document: ReturnType<typeof parseDocument>): string[] {
  const regions = document.get('regions');
  if (!isMap(regions)) throw new Error('antipode.yaml has no regions');
  return regions.items.map((item) => String(item.key));
}

/** Sources are relative to the project folder; the copy lies elsewhere, so they are made absolute. */
function copyFeatures(from: string, to: string, base: string): void {
  const document = parseDocument(readFileSync(from, 'utf8'));
  visit(document, {
    Pair(_, pair) {
      if (String(pair.key) !== 'sources' || !isSeq(pair.value)) return undefined;
      for (const source of pair.value.items) {
        const path = isMap(source) ? source.get('path') : undefined;
        if (isMap(source) && typeof path === 'string' && !isAbsolute(path)) source.set('path', resolve(base, path));
      }
      return visit.SKIP;
    },
  });
  document.commentBefore = null;
  writeFileSync(to, document.toString());
}

function portOf(endpoint: unknown): number {
  return Number(String(endpoint).split(':').at(-1));
}

/** The wished port when it is free, else any. */
async function nearPort(wished: number): Promise<number> {
  return (await free(wished)) ?? (await free(0)) ?? wished;
}

async function free(port: number): Promise<number | undefined> {
  return new Promise((done) => {
    const probe = createServer();
    probe.once('error', () => done(undefined));
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address !== null ? address.port : undefined));
    });
  });
}
