/** The middle of the values; between the two middle ones when their number is even. */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that at least this share (0 to 1) of all values do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  return percentiles(values, [share])[0]!;
}

/** The same for several shares. */
export function percentiles(values: readonly number[], shares: readonly number[]): number[] {
  const sorted = ascending(values);
  return shares.map((share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!);
}

/** How far the values lie apart, as a share of their median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

function ascending(values: readonly number[]): number[] {
  if (values.length === 0) throw new Error("no values to make statistics of");
  return [...values].sort((a, b) => a - b);
}
