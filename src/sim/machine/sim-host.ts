import type { Host, Logger } from '#ports/host';
import type { SimKernel } from '#sim/kernel/kernel';
import type { SimProcess } from '#sim/machine/sim-process';

/** Log lines of a process, counted by event and written to the trace. */
export function simLogger(options: {
  readonly kernel: SimKernel;
  readonly process: SimProcess;
  readonly onEvent: (event: string, level: 'info' | 'warn' | 'error', message: string) => void;
}): Logger {
  const { kernel, process, onEvent } = options;
  const log = (level: 'info' | 'warn' | 'error') => (event: string, fields?: Readonly<Record<string, unknown>>) => {
    if (!process.alive) return;
    const message = typeof fields?.['message'] === 'string' ? fields['message'] : '';
    const stack = typeof fields?.['stack'] === 'string' ? ` ${fields['stack']}` : '';
    kernel.note(process.name, `${event}: ${message}`);
    onEvent(event, level, message + stack);
  };
  return { info: log('info'), warn: log('warn'), error: log('error') };
}

/** The process asked to end; `onFatal` ends it. */
export function simHost(options: {
  readonly bootId: string;
  readonly freeBytes: () => number;
  readonly onFatal: (error: unknown) => void;
}): Host {
  return {
    bootId: () => options.bootId,
    freeBytes: options.freeBytes,
    fatal: (error) => {
      options.onFatal(error);
      throw error;
    },
  };
}
