import { SystemClock } from '#adapters/system/system-clock';
import { AntipodeError } from '#core/errors';
import type { Clock } from '#ports/clock';
import type { Logger } from '#ports/host';

/**
 * For tests of wrong clocks only: milliseconds that the wall clock of this process is ahead of the machine's, or behind
 * when negative. Every process that has it set says so in its log when it starts.
 */
export const TEST_CLOCK_OFFSET_VARIABLE = 'ANTIPODE_TEST_CLOCK_OFFSET_MS';

/** The clock of a node of a topology. Throws CONFIG_INVALID when the offset of a test is not a whole number. */
export function machineClock(logger: Logger): Clock {
  const text = process.env[TEST_CLOCK_OFFSET_VARIABLE] ?? '';
  if (text === '') return new SystemClock();
  if (!/^-?\d{1,12}$/.test(text)) {
    throw new AntipodeError('CONFIG_INVALID', `${TEST_CLOCK_OFFSET_VARIABLE} is ${JSON.stringify(text)}`, {
      where: TEST_CLOCK_OFFSET_VARIABLE,
      remedy: 'Remove it from the environment; tests set it to a whole number of milliseconds.',
    });
  }
  logger.warn('test-clock-offset', { message: `the wall clock is made wrong by ${text} ms for a test` });
  return new SystemClock({ wallOffsetMs: Number(text) });
}
