/** What a run of the active-active demo measured; the JSON of `--report` is exactly this. Times in milliseconds. */
export interface ActiveReport {
  readonly replication: 'active-active';
  readonly regions: number;
  readonly seconds: number;
  /** Rows that each region acknowledged, by region. */
  readonly rowsWritten: Readonly<Record<string, number>>;
  /** Of these, while no region could hear another. */
  readonly rowsWrittenCutOff: Readonly<Record<string, number>>;
  /** How long no region could hear another. */
  readonly partitionMs: number;
  /** From the heal until every region had applied everything. */
  readonly catchUpMs: number;
  /** Acknowledged rows that are in no log. */
  readonly ackedRowsLost: number;
  readonly rowsCompared: number;
  readonly rowsDiffering: number;
  readonly rowsPerRegion: Readonly<Record<string, number>>;
  /** Conflicts in the ledgers of all regions together, each once. */
  readonly conflictsListed: number;
  /** Rows that two regions wrote at once: pairs that the demo knows to be concurrent, from what it wrote and when. */
  readonly conflictsExpected: number;
  /** Expected and not listed. */
  readonly conflictsMissing: number;
  /** Listed, and neither expected nor a pair of a row that all regions wrote; or listed twice. */
  readonly conflictsUnexpected: number;
  /** Rows that all three regions wrote at once. Not all three pairs of such a row meet. */
  readonly rowsWrittenEverywhere: number;
  /** Conflicts listed of those rows. */
  readonly conflictsEverywhere: number;
  /** Writes of contested rows that are not the value stored in the end. */
  readonly writesLost: number;
  /** Of these, the ones that no ledger lists as the side that lost. */
  readonly writesLostUnlisted: number;
  /** Every write that lost is in some region's ledger. */
  readonly everyLoserListed: boolean;
  /** A few of those listed: key bytes, hexadecimal, and the two regions. */
  readonly conflictsSample: readonly string[];
  readonly reads: number;
  readonly readErrors: number;
  readonly lastReadError: string | null;
  readonly auditVerified: boolean;
}

/** The promises the demo holds itself to; those a run broke, in words. */
export function brokenActivePromises(report: ActiveReport): string[] {
  const broken: string[] = [];
  const expect = (kept: boolean, text: string): void => {
    if (!kept) broken.push(text);
  };
  for (const [region, rows] of Object.entries(report.rowsWrittenCutOff))
    expect(rows > 0, `${region} accepted nothing while it was cut off`);
  expect(report.rowsCompared > 0, 'no rows were compared');
  expect(report.rowsDiffering === 0, `${report.rowsDiffering} rows differ between regions`);
  expect(report.ackedRowsLost === 0, `${report.ackedRowsLost} acknowledged rows are in no log`);
  expect(report.conflictsExpected > 0, 'no conflict was brought about');
  expect(report.conflictsMissing === 0, `${report.conflictsMissing} conflicts are in no ledger`);
  expect(report.conflictsUnexpected === 0, `${report.conflictsUnexpected} conflicts are listed that are none`);
  expect(report.rowsWrittenEverywhere > 0, 'no row was written in all regions at once');
  expect(report.writesLost > 0, 'no write lost');
  expect(report.everyLoserListed, `${report.writesLostUnlisted} writes that lost are in no ledger`);
  expect(report.readErrors === 0, `${report.readErrors} reads failed; the last: ${report.lastReadError}`);
  expect(report.auditVerified, 'an audit log does not verify');
  return broken;
}

export function renderActiveReport(report: ActiveReport): string {
  const number = (value: number): string => value.toLocaleString('en-US');
  const lines: [string, string][] = [
    ...Object.entries(report.rowsWritten).map(([region, rows]): [string, string] => [
      `written in ${region}`,
      `${number(rows)} rows, ${number(report.rowsWrittenCutOff[region] ?? 0)} of them cut off from the others`,
    ]),
    ['no region heard another', `${number(report.partitionMs)} ms`],
    ['everything everywhere', `${number(report.catchUpMs)} ms after the heal`],
    ['reads', `${number(report.reads)}, ${number(report.readErrors)} failed`],
    ['acknowledged rows lost', number(report.ackedRowsLost)],
    ['rows compared', `${number(report.rowsCompared)} in each of ${report.regions} regions`],
    ['rows differing', number(report.rowsDiffering)],
    [
      'conflicts',
      `${number(report.conflictsListed)} in the ledgers: ${number(report.conflictsExpected)} expected of two regions, ${number(report.conflictsEverywhere)} of the ${number(report.rowsWrittenEverywhere)} rows that all wrote`,
    ],
    ['missing, unexpected', `${number(report.conflictsMissing)}, ${number(report.conflictsUnexpected)}`],
    ['writes that lost', `${number(report.writesLost)}, ${number(report.writesLostUnlisted)} of them in no ledger`],
  ];
  const width = Math.max(...lines.map(([label]) => label.length));
  return lines.map(([label, value]) => `  ${label.padEnd(width)}   ${value}`).join('\n');
}
