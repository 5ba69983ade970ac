import { formatDuration, formatRate, shortIncarnation } from '../format.ts';
import { type History, lineValue, type Sample, type StreamLine, streamLines } from '../history.ts';
import { h, html, type VNode } from '../html.ts';
import type { RegionEvent } from '../snapshot.ts';
import { Plot, type PlotLine, type PlotMark } from './plot.ts';

/** Live plots of the last five minutes. */
export function Plots(props: { readonly history: History; readonly look: string }): VNode {
  const { history, look } = props;
  const lines = streamLines(history);
  const marks = eventMarks(history.latest?.events ?? []);
  const shared = { samples: history.samples, marks, look };
  const names = streamNames(lines, history);
  const perStream = (measure: 'freshnessMs' | 'lagP99Ms'): PlotLine[] =>
    lines.map((line) => ({
      key: line.key,
      name: names.get(line.key) ?? line.key,
      colour: line.colour,
      read: (sample: Sample) => lineValue(sample, line, measure),
    }));
  const empty = 'No open stream yet.';
  return html`<section class="panel plots" aria-labelledby="plots-title">
    <h2 id="plots-title">Last 5 minutes</h2>
    <div class="plot-grid">
      ${h(Plot, { ...shared, title: 'Freshness', note: 'now minus watermark', scale: 'duration', lines: perStream('freshnessMs'), format: formatDuration, empty })}
      ${h(Plot, { ...shared, title: 'Lag p99', note: 'accepted at origin to visible here, since start', scale: 'duration', lines: perStream('lagP99Ms'), format: formatDuration, empty })}
      ${h(Plot, { ...shared, title: 'Ingest', note: 'rows accepted and applied here', scale: 'rate', lines: INGEST_LINES, format: rows, empty: '' })}
      ${h(Plot, { ...shared, title: 'Reads', note: 'answered by this region', scale: 'rate', lines: READ_LINES, format: reads, empty: '' })}
    </div>
  </section>`;
}

const rows = (value: number | null): string => formatRate(value, 'rows');
const reads = (value: number | null): string => formatRate(value, 'reads');

const INGEST_LINES: readonly PlotLine[] = [
  { key: 'applied', name: 'applied', colour: 0, read: (sample) => sample.appliedPerSecond },
  { key: 'accepted', name: 'accepted as hub', colour: 1, dashed: true, read: (sample) => sample.acceptedPerSecond },
];

const READ_LINES: readonly PlotLine[] = [
  { key: 'requests', name: 'reads', colour: 2, read: (sample) => sample.requestsPerSecond },
  { key: 'errors', name: 'errors', colour: 'error', read: (sample) => sample.readErrorsPerSecond },
];

/** Short names; the incarnation is added only where two streams would be called the same. */
function streamNames(lines: readonly StreamLine[], history: History): Map<string, string> {
  const namespaces = new Set(history.latest?.streams.map((stream) => stream.namespace));
  const short = (line: StreamLine): string => {
    const [namespace, partition, origin] = line.key.split('/');
    if (line.byOrigin || partition === undefined) return `${line.origin}, worst`;
    return namespaces.size > 1 ? `${origin} ${namespace}/${partition}` : `${origin} /${partition}`;
  };
  const names = lines.map(short);
  return new Map(
    lines.map((line, index) => {
      const name = names[index] ?? line.key;
      const ambiguous = names.filter((other) => other === name).length > 1;
      return [line.key, ambiguous ? `${name} ${shortIncarnation(line.key.split('/')[3] ?? '')}` : name];
    }),
  );
}

function eventMarks(events: readonly RegionEvent[]): PlotMark[] {
  return events.flatMap(({ atMs, severity }) => (severity === 'info' ? [] : [{ atMs, severity }]));
}
