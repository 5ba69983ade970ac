// A serving process for tests: reads from a map, reaches its engine over the socket named in its arguments. With `late` it
// takes so long to start that its parent is gone before.
import { once } from 'node:events';
import { DEFAULT_LIMITS } from '#server/face-options';
import { runServingWorker } from '#server/serving-worker';
import { FakeReader } from '#server/testing/fake-reader';
import { DRIVERS, servingState } from '#server/testing/fixtures';
import { systemClock } from '#server/testing/system-clock';

const [port, enginePath, worker, late] = process.argv.slice(2) as [string, string, string, string?];
const silent = () => {};
const reader = new FakeReader();
reader.setState(servingState(Date.now()));
reader.put(DRIVERS, [1n], Date.now() * 1000, [0.5, BigInt(worker)]);

if (late !== undefined) await once(process, 'disconnect');
await runServingWorker({
  host: '127.0.0.1',
  port: Number(port),
  enginePath,
  reusePort: true,
  region: 'eu-west',
  project: 'demo',
  reader,
  tokens: null,
  reads: 'open',
  limits: DEFAULT_LIMITS,
  logger: { info: silent, warn: silent, error: silent },
  clock: systemClock,
  dashboard: null,
  worker,
});
