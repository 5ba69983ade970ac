import type { Clock } from '#ports/clock';

/** The machine's clock, for tests with processes of their own. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  every: (ms, task) => {
    const timer = setInterval(task, ms);
    return () => clearInterval(timer);
  },
  yield: () => new Promise((resolve) => setImmediate(resolve)),
};
