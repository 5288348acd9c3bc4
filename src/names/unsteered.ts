import { takeoverOf } from "./takeovers/namespace-rules.js";
import { pathOf } from "./takeovers/place.js";
import { namespaceInode } from "../../linux/netns.js";
import type { Decision } from "./records.js";

/** Looks which sandboxes are taken over. Changes nothing; what cannot be looked into counts as not taken over. */
export async function takenOver(decisions: Iterable<Decision>): Promise<Set<string>> {
  const found = new Set<string>();
  for (const decision of decisions) {
    if (decision.kind !== "serve") continue;
    const path = pathOf(decision.place);
    const takeover = await takeoverIn(path).catch(() => undefined);
    if (takeover?.armed === true) found.add(decision.sandbox.id);
  }
  return found;
}

async function takeoverIn(path: string) {
  return takeoverOf(path, namespaceInode(path));
}
