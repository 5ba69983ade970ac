// Where the time went in processes that `npm run bench -- --profile DIR` profiled:
//
//   node scripts/node.js bench/top.ts DIR [LINES]
//
// By process: functions by their own time, then functions of this repository with all that they called, in percent of the
// time in which the process was not idle. Wall time: where more runs than there are cores, what waits for one counts, too.
import { globSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';

interface Node {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

interface Profile {
  readonly nodes: readonly Node[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

const LINES = 15;
/** A process that did less than this is not worth reading, seconds. */
const BUSY_SECONDS_MIN = 0.5;
const US_PER_SECOND = 1_000_000;

function nameOf({ callFrame }: Node): string {
  const place = callFrame.url.replace(/^.*\/(src|node_modules)\//, '$1/');
  return `${callFrame.functionName || '(anonymous)'} ${place}${place === '' ? '' : `:${callFrame.lineNumber + 1}`}`;
}

/** Serving processes and engines write into one folder; the modules they ran tell them apart. */
function kindOf({ nodes }: Profile): string {
  const ran = (name: string): boolean => nodes.some(({ callFrame }) => callFrame.functionName === name);
  return ran('run-worker') ? 'serving process' : ran('run-region') ? 'engine' : 'process';
}

function add(to: Map<string, number>, name: string, us: number): void {
  to.set(name, (to.get(name) ?? 0) + us);
}

function print(profile: Profile, title: string, lines: number): void {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const own = new Map<string, number>();
  const whole = new Map<string, number>();
  let busyUs = 0;
  for (const [at, id] of profile.samples.entries()) {
    const us = profile.timeDeltas[at] ?? 0;
    const node = nodes.get(id);
    if (node === undefined || node.callFrame.functionName === '(idle)') continue;
    busyUs += us;
    add(own, nameOf(node), us);
    const stack = new Set<string>();
    for (let place: number | undefined = id; place !== undefined; place = parents.get(place))
      stack.add(nameOf(nodes.get(place) as Node));
    for (const name of stack) if (name.includes(' src/')) add(whole, name, us);
  }
  if (busyUs < BUSY_SECONDS_MIN * US_PER_SECOND) return;
  console.log(`\n== ${title}, ${kindOf(profile)}: busy for ${(busyUs / US_PER_SECOND).toFixed(1)} s`);
  for (const [what, times] of [['own', own] as const, ['with callees', whole] as const]) {
    console.log(`  ${what}`);
    for (const [name, us] of [...times].sort((a, b) => b[1] - a[1]).slice(0, lines))
      console.log(`  ${((100 * us) / busyUs).toFixed(1).padStart(5)} %  ${name}`);
  }
}

const [folder, lines] = process.argv.slice(2);
if (folder === undefined) {
  console.error('node scripts/node.js bench/top.ts DIR [LINES], where DIR is what --profile wrote.');
  process.exitCode = 2;
} else {
  for (const file of globSync(`${folder}/**/*.cpuprofile`).sort())
    print(JSON.parse(readFileSync(file, 'utf8')) as Profile, basename(dirname(file)), Number(lines ?? LINES));
}
