// What processes cost, from /proc: Linux only, like the rest of these measurements.
import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks a second of /proc/PID/stat; fixed on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const KIB = 1024;

/** Seconds of processor time that the processes have used so far, in user and kernel mode, their ended children aside. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command, in parentheses, may hold anything; fields 14 and 15 of the line are the 12th and 13th after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

export interface Memory {
  /** Resident, bytes. */
  readonly resident: number;
  /** Resident and of no file: what is left when mapped files are not counted. */
  readonly anonymous: number;
}

export function memoryOf(pids: readonly number[]): Memory {
  let resident = 0;
  let anonymous = 0;
  for (const pid of pids) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    resident += kibOf(status, 'VmRSS');
    anonymous += kibOf(status, 'RssAnon');
  }
  return { resident: resident * KIB, anonymous: anonymous * KIB };
}

function kibOf(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN);
}

/** Processes that a process started, and those that they started. */
export function descendants(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );
  return children.flatMap((child) => [child, ...descendants(child)]);
}
