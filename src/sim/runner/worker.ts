// A thread of the pool: makes the runs it is given, one after the other. Bugs that are changes of the source are put in
// before anything of the engine is loaded.
import { parentPort, workerData } from 'node:worker_threads';
import { installEdits, type SourceEdit } from '#sim/mutants/source-edit';
import type { Job } from '#sim/runner/job';

const port = parentPort;
if (port === null) throw new Error('this file runs in a worker thread; start src/sim/run.ts');
installEdits(workerData as readonly SourceEdit[]);
const { runJob } = await import('#sim/runner/job');
const framesOfStacks = Error.stackTraceLimit;
port.on('message', (job: Job) => {
  // Refusals are errors, and runs are full of them; whoever reads along wants to see where they come from.
  Error.stackTraceLimit = job.prints === true ? framesOfStacks : 0;
  const print = job.prints === true ? (line: string): void => port.postMessage({ line }) : undefined;
  void runJob(job, print).then((report) => port.postMessage({ report }));
});
