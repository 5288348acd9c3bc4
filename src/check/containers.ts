import { foreignLegacyRule } from "../names/takeovers/legacy-rules.js";
import { rulesOf } from "../names/takeovers/namespace-rules.js";
import type { Status } from "../status.js";
import { describeError, PontoonError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Container, NamespacePlace } from "../inventory/types.js";
import { pathOf } from "../names/takeovers/place.js";
import { namespaceInode } from "../../linux/netns.js";
import { decide } from "../names/records.js";
import type { ContainerFacts, Seen } from "./facts.js";
import { heldBy, holdersOf, listenersAt, type Listener } from "../../linux/listening-sockets.js";

const dnsPort = 53;
const nobody = { upstreams: [], forwardSingleLabels: true, search: [] };

/** Who answers in each running container: as the daemon says, else worked out as a daemon would. */
export async function probeContainers(
  inventory: Inventory | undefined,
  status: Status | undefined,
  isRoot: boolean,
): Promise<ContainerFacts[]> {
  const told = new Map(status?.containers.map((container) => [container.id, container]));
  const known = [...(inventory?.containers.values() ?? [])].filter((container) => container.running);
  const toldOnly = [...told.values()].filter(({ id }) => !inventory?.containers.has(id));
  const listeners: Seen<readonly Listener[]>[] = [];
  for (const container of known) listeners.push(await listenersOf(container));
  const owners = await holdersOf(listeners.flatMap((seen) => (seen.kind === "seen" ? seen.value : [])));
  const facts = toldOnly.map((container): ContainerFacts => ({
    name: container.name,
    resolver: asTold(container),
    holders:
      container.source === "pontoon"
        ? { kind: "seen", value: [] } // what listens there is its own affair
        : { kind: "unseen", reason: "dockerd does not answer" },
  }));
  for (const [index, container] of known.entries()) {
    const status = told.get(container.id);
    const seen = listeners[index]!;
    const holders = seen.kind === "seen" ? { kind: seen.kind, value: heldBy(seen.value, owners) } : seen;
    facts.push({
      name: container.name,
      resolver: status ? asTold(status) : await workedOut(inventory!, container, isRoot),
      holders,
    });
  }
  return facts.sort((a, b) => a.name.localeCompare(b.name));
}

function asTold({ resolver, reason, wanted, code }: Status["containers"][number]): ContainerFacts["resolver"] {
  if (resolver === "pontoon") return { kind: "pontoon" };
  if (code !== undefined) return { kind: "failed", code, reason };
  return { kind: wanted ? "waiting" : "left", reason };
}

async function workedOut(
  inventory: Inventory,
  container: Container,
  isRoot: boolean,
): Promise<ContainerFacts["resolver"]> {
  const decision = decide(inventory, container, nobody);
  if (decision.kind === "leave")
    return decision.code === undefined
      ? { kind: "left", reason: decision.reason }
      : { kind: "failed", code: decision.code, reason: decision.reason };
  return (
    (isRoot ? await failureIn(decision.place) : undefined) ?? { kind: "waiting", reason: "pontoon would answer them" }
  );
}

/** Why a daemon would leave a container to its own rules. */
async function failureIn(place: NamespacePlace): Promise<ContainerFacts["resolver"] | undefined> {
  const path = pathOf(place);
  try {
    const inode = namespaceInode(path);
    const foreign = (await rulesOf(path, inode)).foreign ?? (await foreignLegacyRule(path, inode));
    return foreign === undefined
      ? undefined
      : {
          kind: "failed",
          code: "FOREIGN_DNS_RULES",
          reason: `the container redirects DNS with rules of its own (${foreign}); left to them`,
        };
  } catch (error) {
    if (error instanceof PontoonError) return { kind: "failed", code: error.code, reason: error.message };
    return undefined; // it has just ended, or nftables does not work here, which is told elsewhere
  }
}

/** Only of a container with a network namespace of its own: the host's is looked at once. */
async function listenersOf({ sandbox, networkMode }: Container): Promise<Seen<readonly Listener[]>> {
  if (sandbox?.kind !== "process" || networkMode.kind !== "own") return { kind: "seen", value: [] };
  try {
    return { kind: "seen", value: await listenersAt(dnsPort, sandbox.pid) };
  } catch (error) {
    return { kind: "unseen", reason: describeError(error) };
  }
}
