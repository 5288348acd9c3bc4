import { readdirSync } from "node:fs";
import { until } from "../../integration/lab/until.js";

/** A link is not seen any more before the kernel has done with it; the next endpoint is not to wait for that, ms. */
export const settling = 50;

/** The links of the host this runs on. */
export function linksOfHost(): readonly string[] {
  return readdirSync("/sys/class/net");
}

/** Waits until the host has no link but these. */
export async function untilLinksAre(links: readonly string[]): Promise<void> {
  await until(() => linksOfHost().every((link) => links.includes(link)), {
    everyMs: 1,
    timeoutMs: 120_000,
    what: "the links of endpoints are gone",
  });
}
