// Finds a Node that can run Antipode and starts it. Plain JavaScript in old syntax: this has to run on any Node.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const MINIMUM_MAJOR = 24;

/** Makes `#layer/...` mean src/layer/... instead of dist/layer/..., see "imports" in package.json. */
export const SOURCE_CONDITION = '--conditions=antipode-source';

/** Whether the Node that runs this can run Antipode. */
export const isSupported = Number(process.versions.node.split('.')[0]) >= MINIMUM_MAJOR;

/** The Node that npm installed beside this, or undefined: a checkout has one, and whoever likes can add it to a package. */
export function bundledNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`);
    const path = fileURLToPath(new URL('bin/node', pathToFileURL(manifest)));
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

export function fail(message) {
  process.stderr.write(`antipode: ${message}\n`);
  process.exit(1);
}

export function failUnsupported() {
  const fromNpm =
    process.platform === 'linux' && ['arm64', 'x64'].includes(process.arch)
      ? `; one from npm will do (\`npm install node-linux-${process.arch}@${MINIMUM_MAJOR}\` beside antipode, \`npm ci\` in a checkout)`
      : '';
  fail(`needs Node ${MINIMUM_MAJOR} or newer, this is ${process.version}. Install Node ${MINIMUM_MAJOR}${fromNpm}.`);
}

/** Runs `node` with `args`: in place of this process where the platform can, else as a child that ends with it. */
export function replaceWith(node, args, env = process.env) {
  if (typeof process.execve === 'function' && process.platform !== 'win32') process.execve(node, [node, ...args], env);
  const child = spawn(node, args, { stdio: 'inherit', env });
  child.on('error', (error) => fail(`cannot start ${node}: ${error.message}`));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']) {
    process.on(signal, () => {
      // A terminal already delivers Ctrl+C to the whole foreground group; passing it on would deliver it twice.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  child.on('exit', (code, signal) => {
    process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1));
  });
}
