import { shown } from './report.ts';

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** Least and greatest of the rounds. */
  readonly from: number;
  readonly to: number;
  /** This system and not a peer. */
  readonly own: boolean;
}

const WIDTH = 900;
const LABEL_WIDTH = 430;
const VALUE_WIDTH = 90;
const BAR_HEIGHT = 22;
const TITLE_HEIGHT = 40;

/** Horizontal bars as SVG, readable on light and dark pages; a thin line shows from the least to the greatest round. */
export function barChart(title: string, bars: readonly Bar[]): string {
  const greatest = Math.max(...bars.map((bar) => bar.to));
  const scale = (value: number): number => (value / greatest) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH);
  const height = TITLE_HEIGHT + bars.length * BAR_HEIGHT + 10;
  const lines = bars.flatMap((bar, at) => {
    const top = TITLE_HEIGHT + at * BAR_HEIGHT;
    const middle = top + BAR_HEIGHT / 2;
    const [from, to] = [bar.from, bar.to].map((value) => (LABEL_WIDTH + scale(value)).toFixed(1));
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${escaped(bar.label)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${top + 3}" width="${scale(bar.value).toFixed(1)}" height="${BAR_HEIGHT - 6}" fill="${bar.own ? '#2f6fde' : '#9aa4b2'}"/>`,
      `<path d="M${from} ${middle}H${to}" stroke="#d9822b" stroke-width="2"/>`,
      `<text x="${Number(to) + 6}" y="${middle + 4}">${shown(bar.value)}</text>`,
    ];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#6b7480">
<title>${escaped(title)}</title>
<text x="8" y="22" font-size="15" font-weight="600">${escaped(title)}</text>
${lines.join('\n')}
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
