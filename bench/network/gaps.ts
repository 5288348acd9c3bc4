/** A datagram that was sent. */
export interface Sent {
  /** ms */
  readonly at: number;
  readonly answered: boolean;
}

/**
 * The longest time, ms, between the sending of two datagrams that were answered, with none in between that was. What was
 * sent before the first answer, and after the last, counts too.
 */
export function longestGap(sent: readonly Sent[]): number {
  const kept = sent.filter(({ answered }, index) => answered || index === 0 || index === sent.length - 1);
  return kept.slice(1).reduce((longest, { at }, index) => Math.max(longest, at - kept[index]!.at), 0);
}
