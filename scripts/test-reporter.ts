// Turns the events of Node's test runner into one JSON line each, for scripts/test.ts to count and print.
import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** One line of the report. Lines arrive in the order of the report, parents' starts before their children's ends. */
export type ReportLine =
  | { readonly kind: 'file-start' | 'file-end'; readonly file: string }
  | { readonly kind: 'start'; readonly file: string; readonly name: string; readonly nesting: number }
  | { readonly kind: 'output'; readonly file: string; readonly text: string }
  | ResultLine;

export interface ResultLine {
  readonly kind: 'result';
  /** The test file that ran. */
  readonly file: string;
  /** Where the test stands: a contract suite, where the test file runs one. */
  readonly declaredIn: string;
  readonly line: number;
  readonly name: string;
  readonly nesting: number;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** A suite or a parent: it counts only when it failed by itself, not through its children. */
  readonly container: boolean;
  /** The file as a whole rather than a test in it: it crashed, or it declared no test. */
  readonly wholeFile: boolean;
  readonly durationMs: number;
  readonly error: string;
}

const ERROR_LINES_MAX = 40;

/** What the runner says of where a test stands. The wrapper of a whole file is the one without an entry file. */
interface Placed {
  readonly file?: string | undefined;
  readonly entryFile?: string | undefined;
}

function placeOf(data: Placed): { file: string; declaredIn: string; wholeFile: boolean } {
  const declaredIn = data.file === undefined ? '' : resolve(data.file);
  const file = data.entryFile === undefined ? declaredIn : resolve(data.entryFile);
  return { file, declaredIn, wholeFile: data.entryFile === undefined };
}

/** The error that the test threw, without the frames that lie inside Node. */
function describeError(error: unknown): string {
  const thrown = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const text = typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 4, breakLength: 100 });
  const lines = text.split('\n').filter((line) => !/^\s+at .*\(?node:/.test(line));
  const cut = lines.length - ERROR_LINES_MAX;
  return cut > 0 ? [...lines.slice(0, ERROR_LINES_MAX), `… ${cut} more lines`].join('\n') : lines.join('\n');
}

function toLine(event: TestEvent): ReportLine | undefined {
  switch (event.type) {
    case 'test:dequeue':
    case 'test:complete': {
      const place = placeOf(event.data);
      if (!place.wholeFile) return undefined;
      return { kind: event.type === 'test:dequeue' ? 'file-start' : 'file-end', file: place.file };
    }
    case 'test:start': {
      const { name, nesting } = event.data;
      return { kind: 'start', file: placeOf(event.data).file, name, nesting };
    }
    case 'test:stdout':
    case 'test:stderr':
      return { kind: 'output', file: resolve(event.data.file), text: event.data.message };
    case 'test:pass':
    case 'test:fail': {
      const { line = 0, name, nesting, details, skip, todo } = event.data;
      const { file, declaredIn, wholeFile } = placeOf(event.data);
      const error = event.type === 'test:fail' ? event.data.details.error : undefined;
      const failureType = (error as { failureType?: string } | undefined)?.failureType;
      const set = (mark: string | boolean | undefined): boolean => mark !== undefined && mark !== false;
      const skipped = set(skip) || set(todo);
      return {
        kind: 'result',
        file,
        declaredIn,
        line,
        name,
        nesting,
        outcome: skipped ? 'skipped' : error === undefined ? 'passed' : 'failed',
        container: failureType === 'subtestsFailed' || (details.type === 'suite' && error === undefined),
        wholeFile,
        durationMs: details.duration_ms,
        error: error === undefined ? '' : describeError(error),
      };
    }
    default:
      return undefined;
  }
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const line = toLine(event);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}
