import type { EndpointRecord, Forwarding, NetworkRecord, SandboxRecord } from "../../dns/protocol.js";
import type { ForwardingSettings } from "../docker/upstreams.js";
import type { Inventory } from "../inventory/inventory.js";
import { compareJoined, namesOf, type Joined } from "../inventory/naming.js";
import type { Container, Endpoint, NamespacePlace, Network, SandboxSource, SourceName } from "../inventory/types.js";

/** What pontoon does about one container's resolver, and why. */
export type Decision =
  | ServeDecision
  /** Docker's resolver keeps it. */
  | {
      readonly kind: "leave";
      readonly reason: string;
      /** Of the error for which it is left (docs/errors.md), if it is one. */ readonly code?: string;
    };

/** Pontoon answers in the container's sandbox. */
export interface ServeDecision {
  readonly kind: "serve";
  readonly sandbox: SandboxRecord;
  readonly place: NamespacePlace;
  /** Whether Docker's resolver answers there when pontoon does not. */
  readonly hasDockerResolver: boolean;
}

/** Label that leaves a container's resolver to Docker when it says `off`. */
const offLabel = "pontoon.dns";
/** Label with the TTL of a container's records, in seconds. */
const ttlLabel = "pontoon.dns.ttl";
const ttlAtMost = 86_400;

/** With whose news a record comes: what other hosts have is on networks of pontoon's own. */
function toldWith(source: SourceName): SandboxSource {
  return source === "docker" ? "docker" : "pontoon";
}

export function networkRecord(inventory: Inventory, network: Network): NetworkRecord {
  const { id, name } = network;
  return { id, source: toldWith(network.source), name, shared: inventory.hasMoreNames(network) };
}

/** What the networks of a container say about it: one record for each address it has. */
export function endpointRecords(inventory: Inventory, container: Container, defaultTtl: number): EndpointRecord[] {
  return joinedOf(inventory, container).map(({ endpoint, network }) => ({
    network: inventory.namesOf(network.id),
    source: toldWith(container.source),
    container: container.id,
    names: namesOf(container, endpoint),
    ipv4: endpoint.ipv4,
    ipv6: endpoint.ipv6,
    ports: container.ports,
    ttl: ttlOf(container, defaultTtl),
  }));
}

/** What the configuration says of names, for all containers. */
export interface NamePolicy {
  readonly singleLabel: "forward" | "local";
  readonly sharesAnswers: boolean;
}

/** Whether a container's resolver is taken over, and what it may then see and ask. */
export function decide(
  inventory: Inventory,
  container: Container,
  outside: ForwardingSettings,
  { singleLabel, sharesAnswers }: NamePolicy = { singleLabel: "forward", sharesAnswers: false },
): Decision {
  const leave = (reason: string): Decision => ({ kind: "leave", reason });
  if (!container.running) return leave("not running");
  if (container.networkMode.kind === "host") return leave("uses the host's network");
  if (container.networkMode.kind === "none") return leave("has no network");
  if (container.networkMode.kind === "container") return leave("shares another container's network");
  if (container.labels[offLabel] === "off") return leave(`label ${offLabel}=off`);
  if (container.excess) return { kind: "leave", reason: container.excess.reason, code: "CONTAINER_TOO_LARGE" };
  if (!container.sandbox) return leave("has no network namespace yet");
  const joined = joinedOf(inventory, container).sort(compareJoined);
  if (joined.length === 0) return leave(container.source === "docker" ? "on no user-defined network" : "on no network");
  const forwarding = forwardingOf(inventory, container, outside);
  // Its resolver must neither forward nor say no for names other hosts may have: only Docker's knows them.
  if (forwarding.kind === "never") {
    if (joined.some(({ network }) => network.shared))
      return leave("on internal networks only, one of them shared with other hosts");
    if (joined.some(({ network }) => inventory.hasMoreNames(network)))
      return leave("on internal networks only, one of them with more names than pontoon keeps");
  }
  const sandbox: SandboxRecord = {
    id: container.sandbox.id,
    source: toldWith(container.source),
    container: container.id,
    containerName: container.name,
    networks: joined.map(({ endpoint, network }) => ({
      id: inventory.namesOf(network.id),
      links: endpoint.links.map(([target, alias]) => [alias, target] as const),
    })),
    forwarding,
    singleLabels: singleLabel === "local" ? "deny" : outside.forwardSingleLabels ? "forward" : "no-data",
    sharesAnswers,
    search: outside.search,
  };
  return { kind: "serve", sandbox, place: container.sandbox, hasDockerResolver: container.source === "docker" };
}

/** TTL of a container's records, seconds. A label that is not a whole number of seconds is ignored. */
export function ttlOf(container: Container, defaultTtl: number): number {
  const label = container.labels[ttlLabel];
  if (label === undefined || !/^\d{1,9}$/.test(label)) return defaultTtl;
  return Math.min(Number(label), ttlAtMost);
}

/** The user-defined networks a container has an address on. */
function joinedOf(inventory: Inventory, container: Container): Joined[] {
  return container.endpoints.flatMap((endpoint) => {
    const network = inventory.networkOf(endpoint);
    return network && !network.predefined && hasAddress(endpoint) ? [{ endpoint, network }] : [];
  });
}

/** A container on internal networks only must not reach the outside by any path of ours. */
function forwardingOf(inventory: Inventory, container: Container, outside: ForwardingSettings): Forwarding {
  const reachesOutside = container.endpoints.some(
    (endpoint) => hasAddress(endpoint) && inventory.networkOf(endpoint)?.internal === false,
  );
  return reachesOutside ? { kind: "upstreams", upstreams: outside.upstreams } : { kind: "never" };
}

function hasAddress({ ipv4, ipv6 }: Endpoint): boolean {
  return ipv4 !== undefined || ipv6 !== undefined;
}
