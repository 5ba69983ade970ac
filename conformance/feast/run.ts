// Feast's own SDK against two real regions: writes at one face, reads at the other region's.
//
//   node scripts/node.js conformance/feast/run.ts            installs feast 0.66 into a venv of its own (pip) and runs check.py
//   FEAST_PYTHON=/path/to/python node scripts/node.js …      uses a Python that has it already
//
// Not part of the default tests: it needs Python and PyPI.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadProject } from '#adapters/project-files/load-project';
import { clientToken } from '#cli/project/tokens';
import { Topology } from '#cli/topology';

const FEAST = 'feast==0.66.0';

const folder = mkdtempSync(join(tmpdir(), 'antipode-conformance-'));
const python = process.env['FEAST_PYTHON'] ?? makeVenv(join(import.meta.dirname, '.venv'));
cpSync(join(import.meta.dirname, 'project'), folder, { recursive: true });
const topology = new Topology({ project: await loadProject(folder) });
try {
  await topology.start();
  await topology.waitForHub('conformance', { timeoutMs: 30_000 });
  // Writes go to the region that is not the hub, so that they are forwarded; reads come from the hub's region.
  const { status } = spawnSync(python, [join(import.meta.dirname, 'check.py')], {
    stdio: 'inherit',
    env: {
      ...process.env,
      ANTIPODE_WRITE_URL: topology.url('far'),
      ANTIPODE_READ_URL: topology.url('near'),
      FEAST_OIDC_TOKEN: (await clientToken(topology.paths, 'write')) ?? '',
      FEAST_USAGE: 'False',
    },
  });
  process.exitCode = status ?? 1;
} finally {
  await topology.stop();
  rmSync(folder, { recursive: true, force: true });
}

function makeVenv(venv: string): string {
  const inside = join(venv, 'bin', 'python');
  if (existsSync(inside)) return inside;
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', venv],
    [inside, '-m', 'pip', 'install', '--quiet', FEAST],
  ] as const) {
    const { status } = spawnSync(command, args, { stdio: 'inherit' });
    if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
  }
  return inside;
}
