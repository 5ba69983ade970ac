// A thread of the pool: makes the runs it is given, one after the other.
import { parentPort } from 'node:worker_threads';
import { type Job, runJob } from '#sim/runner/job';

const port = parentPort;
if (port === null) throw new Error('this file runs in a worker thread; start src/sim/run.ts');
port.on('message', (job: Job) => {
  void runJob(job).then((report) => port.postMessage(report));
});
