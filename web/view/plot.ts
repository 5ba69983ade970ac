import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { formatAxisDuration, formatClock, formatCompact } from '../format.ts';
import { COLOURS, greatest, plotColumns, type Sample, WINDOW_MS } from '../history.ts';
import { useWidth } from '../hooks.ts';
import { html, type VNode } from '../html.ts';
import { type PlotTheme, readPlotTheme } from '../theme.ts';

export interface PlotLine {
  readonly key: string;
  readonly name: string;
  readonly colour: number | 'error';
  readonly read: (sample: Sample) => number | null;
  /** Lets a line under this one show through where both are equal. */
  readonly dashed?: boolean;
}

/** A vertical line where something happened. */
export interface PlotMark {
  readonly atMs: number;
  readonly severity: 'warning' | 'error';
}

export interface PlotProps {
  readonly title: string;
  readonly note: string;
  /** Times are drawn logarithmically: a cut link's minutes and a healthy one's milliseconds stay readable together. */
  readonly scale: 'duration' | 'rate';
  readonly lines: readonly PlotLine[];
  readonly samples: readonly Sample[];
  readonly marks: readonly PlotMark[];
  readonly format: (value: number | null) => string;
  readonly empty: string;
  /** Changes with the colours of the page, which a canvas does not follow by itself. */
  readonly look: string;
}

const HEIGHT = 150;
/** Least value of the logarithmic scale; smaller ones, and negative ones of clocks that differ, lie on it. */
const DURATION_FLOOR_MS = 1;
const CURSOR_KEY = 'antipode';

export function Plot(props: PlotProps): VNode {
  const { title, note, lines, samples, format, empty } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const [hoveredS, setHoveredS] = useState<number | null>(null);
  const shape = `${props.look}|${lines.map((line) => `${line.key}:${line.colour}`).join('|')}`;
  useChart({ host: ref, props, width, shape, onHover: setHoveredS });

  const shown = hoveredS === null ? samples.at(-1) : nearest(samples, hoveredS * 1000);
  const id = `plot-${title.toLowerCase().replaceAll(' ', '-')}`;
  return html`<figure class="plot" aria-labelledby=${id}>
    <figcaption id=${id}><strong>${title}</strong> <span class="quiet">${note}</span></figcaption>
    <div class="plot-canvas" ref=${ref} role="img" aria-label=${summary(props)}></div>
    ${
      lines.length === 0
        ? html`<p class="empty">${empty}</p>`
        : html`<ul class="legend">
          ${lines.map(
            (line) => html`<li key=${line.key}>
              <i class=${`swatch series-${line.colour}`} aria-hidden="true"></i><span class="legend-name">${line.name}</span>
              <span class="number">${shown === undefined ? '' : format(line.read(shown))}</span>
            </li>`,
          )}
          ${hoveredS === null || shown === undefined ? null : html`<li class="legend-time number">at ${formatClock(shown.atMs)} UTC</li>`}
        </ul>`
    }
  </figure>`;
}

/** Keeps one chart in the host: made anew when its lines or colours change, else only given new data. */
function useChart(options: {
  readonly host: { readonly current: HTMLDivElement | null };
  readonly props: PlotProps;
  readonly width: number;
  readonly shape: string;
  readonly onHover: (seconds: number | null) => void;
}): void {
  const { host, props, width, shape, onHover } = options;
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const element = host.current;
    if (element === null || width === 0) return undefined;
    const made = new uPlot(chartOptions({ latest, width, onHover }), chartData(latest.current), element);
    chart.current = made;
    return () => {
      made.destroy();
      chart.current = null;
    };
  }, [shape, width === 0]);

  useEffect(() => {
    if (width > 0) chart.current?.setSize({ width, height: HEIGHT });
  }, [width]);

  useEffect(() => {
    chart.current?.setData(chartData(props));
  }, [props.samples, shape]);
}

function chartData(props: PlotProps): uPlot.AlignedData {
  const { samples, lines, scale } = props;
  const clamp = (value: number | null): number | null => (value === null ? null : Math.max(DURATION_FLOOR_MS, value));
  return plotColumns(
    samples,
    lines.map((line) => (sample) => (scale === 'duration' ? clamp(line.read(sample)) : line.read(sample))),
  );
}

function chartOptions(options: {
  readonly latest: { readonly current: PlotProps };
  readonly width: number;
  readonly onHover: (seconds: number | null) => void;
}): uPlot.Options {
  const { latest, width, onHover } = options;
  const { scale, lines } = latest.current;
  const theme = readPlotTheme(COLOURS);
  const axis = { stroke: theme.text, font: theme.font, grid: { stroke: theme.grid, width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: {
      drag: { x: false, y: false },
      sync: { key: CURSOR_KEY, setSeries: false },
      points: { size: 6 },
      y: false,
    },
    scales: {
      x: { time: false, range: () => timeRange(latest.current.samples) },
      y:
        scale === 'duration'
          ? { distr: 3, log: 10, range: (_, __, max) => durationRange(max) }
          : { range: (_, __, max) => rateRange(max) },
    },
    axes: [
      {
        ...axis,
        size: 26,
        splits: (_, __, min, max) => minutes(min, max),
        values: (_, splits) => splits.map((seconds) => formatClock(seconds * 1000).slice(0, 5)),
      },
      {
        ...axis,
        size: 54,
        gap: 4,
        ...(scale === 'duration'
          ? {
              // The default hides some powers of ten for want of room; these few always fit.
              filter: (_: uPlot, splits: number[]) => splits,
              splits: (_: uPlot, __: number, min: number, max: number) => powersOfTen(min, max),
              values: (_: uPlot, splits: number[]) => splits.map(formatAxisDuration),
            }
          : {
              splits: (_: uPlot, __: number, ___: number, max: number) => [0, max / 2, max],
              values: (_: uPlot, splits: number[]) =>
                splits.map((value) => (value === 0 ? '0' : `${formatCompact(value)}/s`)),
            }),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        stroke: line.colour === 'error' ? theme.error : (theme.series[line.colour] ?? theme.text),
        width: 1.6,
        ...(line.dashed === true ? { dash: [6, 5] } : {}),
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: {
      drawAxes: [(chart) => drawMarks(chart, latest.current.marks, theme)],
      setCursor: [
        (chart) => {
          const { left } = chart.cursor;
          onHover(left === undefined || left === null || left < 0 ? null : chart.posToVal(left, 'x'));
        },
      ],
    },
  };
}

function drawMarks(chart: uPlot, marks: readonly PlotMark[], theme: PlotTheme): void {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.lineWidth = Math.max(1, Math.round(window.devicePixelRatio));
  ctx.setLineDash([3 * ctx.lineWidth, 3 * ctx.lineWidth]);
  for (const { atMs, severity } of marks) {
    const x = Math.round(chart.valToPos(atMs / 1000, 'x', true)) + 0.5;
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = severity === 'error' ? theme.error : theme.warning;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function timeRange(samples: readonly Sample[]): [number, number] {
  const end = samples.at(-1)?.atMs ?? 0;
  return [(end - WINDOW_MS) / 1000, end / 1000];
}

/** Whole powers of ten, at least from 1 ms to 1 s, so that the axis rarely moves. */
function durationRange(max: number | null): [number, number] {
  return [DURATION_FLOOR_MS, 10 ** Math.max(3, Math.ceil(Math.log10(Math.max(1, max ?? 1))))];
}

/** From zero to a round number above the greatest value. */
function rateRange(max: number | null): [number, number] {
  const wanted = Math.max(10, (max ?? 0) * 1.08);
  const magnitude = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].find((candidate) => candidate * magnitude >= wanted) ?? 10;
  return [0, step * magnitude];
}

function powersOfTen(min: number, max: number): number[] {
  const powers: number[] = [];
  for (let value = min; value <= max * 1.001; value *= 10) powers.push(value);
  return powers;
}

function minutes(min: number, max: number): number[] {
  const splits: number[] = [];
  for (let at = Math.ceil(min / 60) * 60; at <= max; at += 60) splits.push(at);
  return splits;
}

function nearest(samples: readonly Sample[], atMs: number): Sample | undefined {
  let best: Sample | undefined;
  for (const sample of samples) {
    if (best === undefined || Math.abs(sample.atMs - atMs) < Math.abs(best.atMs - atMs)) best = sample;
  }
  return best;
}

/** The plot in words, for those who do not see it. */
function summary(props: PlotProps): string {
  const { title, lines, samples, format } = props;
  const parts = lines.map((line) => {
    const values = samples.map(line.read);
    return `${line.name} now ${format(values.at(-1) ?? null)}, at most ${format(greatest(values))}`;
  });
  return `${title}, last 5 minutes. ${parts.join('; ')}`;
}
