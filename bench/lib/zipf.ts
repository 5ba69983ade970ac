/** How unequal: the exponent that YCSB uses. */
const THETA = 0.99;

/**
 * Draws from 0 to `count` - 1, number k about 1 / (k + 1)^0.99 as often as number 0; the popular ones are spread over the
 * whole range. After Gray et al., Quickly Generating Billion-Record Synthetic Databases, SIGMOD 1994.
 */
export function zipf(count: number, random: () => number): () => number {
  let zeta = 0;
  for (let rank = 1; rank <= count; rank++) zeta += 1 / rank ** THETA;
  const alpha = 1 / (1 - THETA);
  const eta = (1 - (2 / count) ** (1 - THETA)) / (1 - (1 + 0.5 ** THETA) / zeta);
  return () => {
    const u = random();
    const rank = u * zeta < 1 ? 0 : u * zeta < 1 + 0.5 ** THETA ? 1 : Math.floor(count * (eta * u - eta + 1) ** alpha);
    return (Math.imul(rank, 2_654_435_761) >>> 0) % count;
  };
}
