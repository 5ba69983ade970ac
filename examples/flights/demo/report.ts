/** What a run of the demo measured; the JSON of `--report` is exactly this. Times in milliseconds. */
export interface DemoReport {
  readonly regions: number;
  readonly rowsIngested: number;
  readonly seconds: number;
  readonly rowsPerSecond: number;
  readonly lagAboveOneWayMs: {
    readonly p50: number;
    readonly p99: number;
    readonly byLink: Readonly<Record<string, { count: number; p50: number; p99: number }>>;
  };
  readonly reads: Readonly<
    Record<
      string,
      {
        readonly requests: number;
        readonly errors: number;
        readonly p50Ms: number | null;
        readonly p99Ms: number | null;
        readonly lastError: string | null;
      }
    >
  >;
  /** Failed reads in regions that were not killed. */
  readonly readErrors: number;
  readonly killedHub: string;
  readonly newHub: string;
  readonly timeToDetectMs: number | null;
  readonly timeToWritableMs: number;
  /** From the start of the returned region until it had rebuilt its store and applied everything the others had. */
  readonly catchUpMs: number;
  readonly ackedRowsLost: number;
  readonly tailRows: number;
  readonly tailRowsReplayed: number;
  readonly staleEpochWritesApplied: number;
  readonly rowsCompared: number;
  readonly rowsDiffering: number;
  readonly rowsPerRegion: Readonly<Record<string, number>>;
  readonly epochs: number;
  readonly auditVerified: boolean;
}

/** The promises the demo holds itself to; those a run broke, in words. */
export function brokenPromises(report: DemoReport): string[] {
  const broken: string[] = [];
  const expect = (kept: boolean, text: string): void => {
    if (!kept) broken.push(text);
  };
  expect(report.rowsIngested >= 300_000, `${report.rowsIngested} rows ingested, at least 300000 expected`);
  expect(report.rowsCompared >= 300_000, `${report.rowsCompared} rows compared, at least 300000 expected`);
  expect(report.rowsDiffering === 0, `${report.rowsDiffering} rows differ between regions`);
  expect(report.ackedRowsLost === 0, `${report.ackedRowsLost} acknowledged rows are in no region and no tail`);
  expect(report.staleEpochWritesApplied === 0, `${report.staleEpochWritesApplied} changes beyond a seal were applied`);
  expect(report.readErrors === 0, `${report.readErrors} reads failed in surviving regions`);
  expect(
    report.timeToWritableMs <= 10_000,
    `writable again after ${report.timeToWritableMs} ms, at most 10000 allowed`,
  );
  expect(
    report.tailRowsReplayed === report.tailRows,
    `${report.tailRows - report.tailRowsReplayed} rows of the tail were not taken over`,
  );
  expect(report.auditVerified, 'an audit log does not verify');
  return broken;
}

export function renderReport(report: DemoReport): string {
  const number = (value: number | null): string => (value === null ? '–' : value.toLocaleString('en-US'));
  const lines: [string, string][] = [
    [
      'rows ingested',
      `${number(report.rowsIngested)} in ${number(report.seconds)} s, ${number(report.rowsPerSecond)} rows/s`,
    ],
    [
      'lag above one-way delay',
      `p50 ${number(report.lagAboveOneWayMs.p50)} ms, p99 ${number(report.lagAboveOneWayMs.p99)} ms (worst link)`,
    ],
  ];
  for (const [link, lag] of Object.entries(report.lagAboveOneWayMs.byLink))
    lines.push([`  ${link}`, `p50 ${number(lag.p50)} ms, p99 ${number(lag.p99)} ms, ${number(lag.count)} changes`]);
  for (const [region, reads] of Object.entries(report.reads)) {
    lines.push([
      `reads in ${region}`,
      `${number(reads.requests)}, ${number(reads.errors)} failed${region === report.killedHub ? ' (killed on purpose)' : ''}, p50 ${reads.p50Ms?.toFixed(1) ?? '–'} ms, p99 ${reads.p99Ms?.toFixed(1) ?? '–'} ms`,
    ]);
  }
  lines.push(
    ['hub killed', `${report.killedHub} with SIGKILL, its lines cut; ${report.newHub} took over`],
    ['time to detect', `${number(report.timeToDetectMs)} ms`],
    ['time to writable', `${number(report.timeToWritableMs)} ms`],
    ['return of the old hub', `caught up ${number(report.catchUpMs)} ms after its start`],
    ['acknowledged rows lost', number(report.ackedRowsLost)],
    ['tail of the old hub', `${number(report.tailRows)} rows, ${number(report.tailRowsReplayed)} taken over`],
    ['written beyond a seal', number(report.staleEpochWritesApplied)],
    ['rows compared', `${number(report.rowsCompared)} in each of ${report.regions} regions`],
    ['rows differing', number(report.rowsDiffering)],
  );
  const width = Math.max(...lines.map(([label]) => label.length));
  return lines.map(([label, value]) => `  ${label.padEnd(width)}   ${value}`).join('\n');
}
