import { setTimeout as pause } from "node:timers/promises";
import { isNamespace } from "../../../linux/named-namespace.js";
import { linkNames } from "../host-facts.js";
import type { DockerEndpointRecord } from "./records.js";

/** The kernel removes links of a namespace that has ended a little later: it is waited for so long, ms. */
const usualPatience = 5000;
const lookEvery = 20; // ms

type Candidate = Pick<DockerEndpointRecord, "id" | "hostLink" | "path">;

/**
 * Ids of endpoints whose containers dockerd has ended in a crash of its own, and told nobody: they have joined, and dockerd does
 * not list them, or while it does not answer their namespaces and links are gone. Since Docker 26 a namespace may be left.
 * @param candidates all that may be, while none of them is just getting its links
 * @param listed ids of those that dockerd has; undefined when it does not answer, as while it starts
 */
export async function deadEndpoints(
  candidates: () => Promise<readonly Candidate[]>,
  listed: () => Promise<ReadonlySet<string> | undefined>,
  patience = usualPatience,
): Promise<string[]> {
  const joined = (await candidates()).filter(({ path }) => path !== undefined);
  if (joined.length === 0) return [];
  const known = await listed();
  if (known) return joined.filter(({ id }) => !known.has(id)).map(({ id }) => id);
  // One whose namespace is not there may be about to begin, or nobody sees it from here.
  const suspects = async () => (await candidates()).filter(({ path }) => path !== undefined && !isNamespace(path));
  if ((await suspects()).length === 0) return [];
  const begun = performance.now();
  for (;;) {
    const links = linkNames();
    const left = await suspects();
    const dead = left.filter(({ hostLink }) => !links.has(hostLink));
    if (dead.length === left.length || performance.now() - begun > patience) return dead.map(({ id }) => id);
    await pause(lookEvery);
  }
}
