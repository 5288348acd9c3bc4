import { PontoonError } from "../../common/errors.js";
import type { BandwidthRecord, NetworkRecord } from "./records.js";

// `10mbit/1mbit`: to a sandbox, and from it. Words for rates are those of tc(8) that mean bits; those of bytes differ from them in one
// letter only, and are refused.

const units = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 } as const;
const unlimited = "unlimited";
/** Bits a second. Below, one packet takes more than a second; above, no link of a host's is as fast. */
export const rates = { least: 8000, most: 2 ** 40 } as const;
const example = "10mbit for both ways, or 10mbit/1mbit to the sandbox and from it";

/** Throws BANDWIDTH_INVALID for what cannot be a rate, or two, or says nothing. */
export function parseBandwidth(text: string): BandwidthRecord {
  const [to = "", from = to, ...more] = text.split("/");
  if (more.length > 0) throw invalid(text, `has more than two rates; write ${example}`);
  const [toSandbox, fromSandbox] = [rateOf(to, text), rateOf(from, text)];
  if (toSandbox === undefined && fromSandbox === undefined)
    throw invalid(text, `limits nothing; leave it out, or write ${example}`);
  return {
    ...(toSandbox !== undefined && { toSandbox: { rate: toSandbox } }),
    ...(fromSandbox !== undefined && { fromSandbox: { rate: fromSandbox } }),
  };
}

function rateOf(text: string, whole: string): number | undefined {
  if (text === unlimited) return undefined;
  const [, number, unit = ""] = /^(\d{1,13}(?:\.\d{1,3})?)([a-z]+)$/.exec(text.toLowerCase()) ?? [];
  if (number === undefined || !Object.hasOwn(units, unit))
    throw invalid(
      whole,
      `is not a bandwidth; write a number and one of ${Object.keys(units).join(", ")} (bits a second), or ${unlimited}: ${example}`,
    );
  return requireRate(Number(number) * units[unit as keyof typeof units], whole);
}

/** @param rate bits a second @param text as somebody has written it. Throws BANDWIDTH_INVALID for one that is too small or too large. */
export function requireRate(rate: number, text: string): number {
  if (rate >= rates.least && rate <= rates.most) return Math.floor(rate);
  throw invalid(text, `is out of bounds; a rate is ${rateText(rates.least)} to ${rateText(rates.most)}`);
}

function invalid(text: string, what: string): PontoonError {
  const shown = text.slice(0, 100);
  return new PontoonError("BANDWIDTH_INVALID", shown, `the bandwidth ${shown || "(nothing)"} ${what}`);
}

/** As {@link parseBandwidth} takes it. */
export function bandwidthText({ toSandbox, fromSandbox }: BandwidthRecord): string {
  const [to, from] = [toSandbox, fromSandbox].map((limit) => (limit ? rateText(limit.rate) : unlimited));
  return to === from ? to! : `${to}/${from}`;
}

/** In the largest unit that leaves it whole. */
function rateText(rate: number): string {
  const [unit, size] = Object.entries(units).findLast(([, size]) => rate % size === 0)!;
  return `${rate / size}${unit}`;
}

/**
 * Throws BANDWIDTH_UNFIT for a network whose links have no end on the host: what is limited within a sandbox, somebody there can
 * free again.
 */
export function requireHostEnd({
  name,
  lan,
  pair,
  remote,
}: Pick<NetworkRecord, "name" | "lan" | "pair" | "remote">): void {
  if (remote)
    throw new PontoonError(
      "BANDWIDTH_UNFIT",
      name,
      `bandwidth cannot be limited on network ${name}: its links are those of the driver ${remote.driver}; ask it, or leave the bandwidth out`,
    );
  if (!lan && !pair) return;
  throw new PontoonError(
    "BANDWIDTH_UNFIT",
    name,
    `bandwidth cannot be limited on network ${name}: links ${lan ? `on ${lan.parent}` : "of a pair"} have no end on the host, and ` +
      "within a sandbox anybody could take the limit away; use a network on a bridge, or leave the bandwidth out",
  );
}
