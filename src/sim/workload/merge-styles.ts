import type { Feature, FeatureView, Granularity, Resolver, ScalarType } from '#core/model/feature-view';
import type { SeededRandom } from '#sim/kernel/seeded-random';

/** Ways in which a view's rows merge, each with features that suit it. */
export const MERGE_STYLES = [
  'last-writer-wins',
  'last-writer-wins by feature',
  'region-priority',
  'region-priority by feature',
  'max',
  'max by feature',
  'min',
  'min by feature',
  'counter',
] as const;
export type MergeStyle = (typeof MERGE_STYLES)[number];

/** Whole rows of which the last writer wins are most of what users have. */
const PLAIN_SHARE = 0.4;

export function drawMergeStyles(random: SeededRandom, count: number): MergeStyle[] {
  return Array.from({ length: count }, () =>
    random.chance(PLAIN_SHARE) ? 'last-writer-wins' : random.pick(MERGE_STYLES),
  );
}

function feature(name: string, scalar: ScalarType, nullable: boolean): Feature {
  return { name, type: { scalar, list: false }, nullable };
}

/** Names in the order in which views keep them. Upserts carry the name of their write, each half of a row its own. */
const PLAIN = [feature('padding', 'string', true), feature('write', 'string', false)];
const SCORED = [
  feature('padding', 'string', true),
  feature('score', 'float64', true),
  feature('write', 'string', false),
];
const HALVES = [
  feature('score_a', 'float64', true),
  feature('score_b', 'int64', true),
  feature('write_a', 'string', false),
  feature('write_b', 'string', false),
];
const TOTALS = [feature('count', 'int64', false), feature('total', 'float64', true)];

/** What of a view its style decides. `regions`: those of the namespace, of which some get a rank. */
export function mergePart(
  style: MergeStyle,
  regions: readonly string[],
): Pick<FeatureView, 'resolver' | 'granularity' | 'features'> {
  const granularity: Granularity = style.endsWith('by feature') ? 'feature' : 'row';
  const ranked = [...regions].reverse().slice(0, 2);
  const by = granularity === 'row' ? 'score' : null;
  const kind = style.replace(' by feature', '');
  const resolver: Resolver =
    kind === 'region-priority'
      ? { kind, regions: ranked }
      : kind === 'max' || kind === 'min'
        ? { kind, by }
        : { kind: kind === 'counter' ? kind : 'last-writer-wins' };
  const ofRows = style === 'counter' ? TOTALS : kind === 'max' || kind === 'min' ? SCORED : PLAIN;
  return { resolver, granularity, features: granularity === 'feature' ? HALVES : ofRows };
}
