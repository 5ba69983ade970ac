import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One file of the dashboard, ready to be answered. */
export interface DashboardAsset {
  readonly contentType: string;
  readonly body: Buffer;
  /** Strong entity tag with its quotes, a hash of `body`. */
  readonly etag: string;
}

/**
 * Headers of every dashboard answer. The policy has no inline script, no inline style, no data: address and no foreign
 * host: whatever the page shows came from this region.
 */
export const DASHBOARD_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
};

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/**
 * Third-party modules: bare specifier in our sources, file in the package that is served for it, and its address. An
 * import map would need an inline script, which the policy bars, so bare specifiers are replaced while loading.
 */
const VENDOR_MODULES: readonly { readonly specifier: string; readonly file: string; readonly address: string }[] = [
  { specifier: 'preact', file: 'preact', address: '/assets/vendor/preact.js' },
  { specifier: 'preact/hooks', file: 'preact/hooks', address: '/assets/vendor/preact-hooks.js' },
  { specifier: 'htm', file: 'htm', address: '/assets/vendor/htm.js' },
  { specifier: 'uplot', file: 'uplot/dist/uPlot.esm.js', address: '/assets/vendor/uplot.js' },
];

const VENDOR_STYLES = { file: 'uplot/dist/uPlot.min.css', address: '/assets/vendor/uplot.css' } as const;

/** The specifier of a static or dynamic import or of a re-export, in written or minified form. */
const IMPORT_SPECIFIER = /(\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'\s]+)\2/g;

/**
 * Reads all files of the dashboard into memory, keyed by the path they are served at; `/` is the page itself. In a source
 * checkout the modules of web/ are stripped of their types here; in the package they are read from dist/web.
 * Throws when a file is missing or a module imports something that is not served.
 */
export function loadDashboardAssets(): Map<string, DashboardAsset> {
  const assets = new Map<string, DashboardAsset>();
  for (const [path, file] of readPageFiles(pageFolder())) {
    assets.set(path === 'index.html' ? '/' : `/assets/${path}`, asset(path, file));
  }
  for (const { file, address } of VENDOR_MODULES) {
    assets.set(address, asset(address, rewriteImports(readVendorFile(file), address)));
  }
  assets.set(VENDOR_STYLES.address, asset(VENDOR_STYLES.address, readVendorFile(VENDOR_STYLES.file)));
  return assets;
}

/**
 * The page's own files as a browser gets them, keyed by path below /assets. What `web/dev/build.ts` writes to dist/web, so
 * that a package needs no TypeScript at run time.
 */
export function readPageFiles(folder: URL): Map<string, string> {
  const files = new Map<string, string>();
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(fileURLToPath(folder).length).replace(/^\//, ''))
    .sort();
  for (const name of names) {
    if (name.startsWith('dev/') || name.endsWith('.test.ts') || name.endsWith('.d.ts')) continue;
    const text = () => readFileSync(new URL(name, folder), 'utf8');
    if (name.endsWith('.ts')) files.set(name.replace(/\.ts$/, '.js'), rewriteImports(stripTypes(text()), name));
    else if (extname(name) in CONTENT_TYPES) files.set(name, text());
  }
  return files;
}

/** web/ beside src/, or dist/web beside dist/server. */
function pageFolder(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? '../../../web/' : '../../web/', import.meta.url);
}

function asset(path: string, text: string): DashboardAsset {
  const body = Buffer.from(text, 'utf8');
  const contentType = CONTENT_TYPES[extname(path)];
  if (contentType === undefined) throw new Error(`dashboard: no content type for ${path}`);
  return { contentType, body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"` };
}

function readVendorFile(file: string): string {
  const text = readFileSync(fileURLToPath(import.meta.resolve(file)), 'utf8');
  // The source maps are not served; asking for them would only put errors into the browser's console.
  return text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');
}

function rewriteImports(text: string, path: string): string {
  return text.replace(IMPORT_SPECIFIER, (_whole, lead: string, quote: string, specifier: string) => {
    if (specifier.startsWith('/assets/')) return `${lead}${quote}${specifier}${quote}`;
    if (specifier.startsWith('.')) return `${lead}${quote}${specifier.replace(/\.ts$/, '.js')}${quote}`;
    const vendor = VENDOR_MODULES.find((candidate) => candidate.specifier === specifier);
    if (vendor === undefined)
      throw new Error(`dashboard: ${path} imports ${specifier}, which is not served to browsers`);
    return `${lead}${quote}${vendor.address}${quote}`;
  });
}

/** Node announces type stripping as experimental once a process; a region's operator can do nothing with that. */
function stripTypes(text: string): string {
  const emitWarning = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}
