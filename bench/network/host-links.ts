import { readdirSync } from "node:fs";
import { until } from "../../integration/lab/until.js";

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
