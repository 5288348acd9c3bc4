import { rulesOf } from "../backend/namespace-rules.js";
import type { Status } from "../control/status.js";
import { describeError } from "../errors.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Container } from "../inventory/types.js";
import { namespaceInode } from "../linux/netns.js";
import { decide } from "../servers/dns-table.js";
import type { ContainerFacts, Seen } from "./facts.js";
import { holdersOf, listenersOf, type Holder } from "./sockets.js";

const dnsPort = 53;
const nobody = { upstreams: [], forwardSingleLabels: true, search: [] };

/** Who answers in each running container: as the daemon says, else worked out as a daemon would. */
export function probeContainers(inventory: Inventory | undefined, status: Status | undefined, isRoot: boolean): ContainerFacts[] {
  const told = new Map(status?.containers.map((container) => [container.id, container]));
  const known = [...(inventory?.containers.values() ?? [])].filter((container) => container.running);
  const toldOnly = [...told.values()].filter(({ id }) => !inventory?.containers.has(id));
  return [
    ...toldOnly.map((container): ContainerFacts => ({ name: container.name, resolver: asTold(container), holders: { kind: "unseen", reason: "dockerd does not answer" } })),
    ...known.map((container): ContainerFacts => {
      const status = told.get(container.id);
      return { name: container.name, resolver: status ? asTold(status) : workedOut(inventory!, container, isRoot), holders: holdersIn(container) };
    }),
  ].sort((a, b) => a.name.localeCompare(b.name));
}

function asTold({ resolver, reason, wanted, code }: Status["containers"][number]): ContainerFacts["resolver"] {
  if (resolver === "pontoon") return { kind: "pontoon" };
  if (code !== undefined) return { kind: "failed", code, reason };
  return { kind: wanted ? "waiting" : "left", reason };
}

function workedOut(inventory: Inventory, container: Container, isRoot: boolean): ContainerFacts["resolver"] {
  const decision = decide(inventory, container, nobody);
  if (decision.kind === "leave") return { kind: "left", reason: decision.reason };
  const foreign = isRoot ? foreignRuleIn(decision.pid) : undefined;
  if (foreign !== undefined) return { kind: "failed", code: "FOREIGN_DNS_RULES", reason: `the container redirects DNS with rules of its own (${foreign}); left to them` };
  return { kind: "waiting", reason: "pontoon would answer them" };
}

function foreignRuleIn(pid: number): string | undefined {
  const path = `/proc/${pid}/ns/net`;
  try {
    return rulesOf(path, namespaceInode(path)).foreign;
  } catch {
    return undefined; // it has just ended, or nftables does not work here, which is told elsewhere
  }
}

/** Only of a container with a network namespace of its own: the host's is looked at once. */
function holdersIn({ sandbox, networkMode }: Container): Seen<readonly Holder[]> {
  if (!sandbox || networkMode.kind !== "own") return { kind: "seen", value: [] };
  try {
    return { kind: "seen", value: holdersOf(listenersOf(sandbox.pid).filter(({ port }) => port === dnsPort)) };
  } catch (error) {
    return { kind: "unseen", reason: describeError(error) };
  }
}
