import type { Counters, UpstreamReport, Forwarding } from "../dns/protocol.js";
import type { Report as ProxyReport } from "../proxy/protocol.js";
import type { FeedState } from "./docker/feed.js";
import type { LoopDelay } from "./loop-delay.js";
import type { Inventory } from "./inventory/inventory.js";
import { namesOf } from "./inventory/naming.js";
import type { Container, SourceName } from "./inventory/types.js";
import type { DnsState } from "./names/dns-state.js";
import type { ClusterStatus } from "./cluster/status.js";
import type { NetworksStatus } from "./networks/networks-status.js";

/** What `pontoon status --json` prints. */
export interface Status {
  readonly ready: boolean;
  readonly version: string;
  readonly pid: number;
  readonly observe: boolean;
  readonly stateDir: string;
  /** `none` on a host without Docker. */
  readonly docker: { readonly host: string; readonly state: FeedState["kind"] | "none"; readonly detail: string };
  readonly dns: {
    readonly state: string;
    readonly pid: number | undefined;
    readonly version: string | undefined;
    readonly detail: string;
    readonly residentMemory: number | undefined;
  };
  readonly ports: {
    readonly state: string;
    readonly pid: number | undefined;
    readonly version: string | undefined;
    readonly detail: string;
    readonly residentMemory: number | undefined;
    /** Published by pontoon itself, and handed over by dockerd's shims. */
    readonly published: number;
    readonly shims: number;
    readonly connections: number;
    readonly workers: number;
  };
  /** In firewall tables of others: chains with a rule of ours, and why there is none where one ought to be. Earlier daemons do not tell. */
  readonly firewall?: { readonly rules: readonly string[]; readonly troubles: readonly string[] };
  /** pontoon's own networks and sandboxes. Earlier daemons do not tell. */
  readonly backend?: NetworksStatus;
  /** The hosts that share a store with this one. Left out where there are none. */
  readonly cluster?: ClusterStatus;
  readonly networks: readonly NetworkStatus[];
  readonly containers: readonly ContainerStatus[];
  readonly upstreams: readonly UpstreamReport[];
  /** How long the daemon's event loop kept others waiting; only with PONTOON_WATCH_LOOP=1. */
  readonly loopDelay?: LoopDelay;
}

export interface NetworkStatus {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly internal: boolean;
  readonly shared: boolean;
  readonly endpoints: number;
}

/** Who answers 127.0.0.11 in a container or sandbox; one that uses another's network asks as that one. */
export interface ContainerStatus {
  readonly id: string;
  readonly source: SourceName;
  readonly name: string;
  readonly networks: readonly {
    readonly name: string;
    readonly ipv4: string | undefined;
    readonly ipv6: string | undefined;
    readonly names: readonly string[];
  }[];
  /** In an own sandbox there is no Docker resolver: nobody answers when pontoon does not. */
  readonly resolver: "pontoon" | "docker" | "nobody";
  readonly reason: string;
  /** Whether pontoon should answer here. */
  readonly wanted: boolean;
  /** Code of the error (docs/errors.md) for which it is not taken over although it should be; undefined when there was none. */
  readonly code: string | undefined;
  readonly upstreams: readonly string[];
  readonly counters: Counters | undefined;
}

interface ServerView {
  readonly kind: string;
  readonly pid?: number;
  readonly version?: string;
  readonly reason?: string;
  readonly adopted?: boolean;
}

interface PortsState {
  readonly server: ServerView;
  /** A pontoon-proxy of this run directory that this daemon does not steer. */
  readonly unsteered: number | undefined;
  /** Why it is not known what is to be published; undefined when it is. */
  readonly unread: string | undefined;
  readonly report: ProxyReport | undefined;
}

export interface StatusSources {
  /** dockerd is waited for, or followed, or there is none; and everybody who should be answered is, as far as is known. */
  readonly ready: boolean;
  readonly version: string;
  readonly observe: boolean;
  readonly dockerHost: string;
  readonly stateDir: string;
  readonly feed: FeedState | { readonly kind: "none" };
  readonly inventory: Inventory;
  readonly dns: { readonly enabled: boolean } & DnsState;
  readonly ports: { readonly enabled: boolean } & PortsState;
  readonly firewall: NonNullable<Status["firewall"]>;
  readonly backend: NetworksStatus;
  readonly cluster?: ClusterStatus | undefined;
  readonly loopDelay: LoopDelay | undefined;
}

/** Puts together what is known, for people and programs. */
export function statusOf(sources: StatusSources): Status {
  const { feed, inventory, dns, ports } = sources;
  const counters = new Map(dns.report?.sandboxes.map((sandbox) => [sandbox.id, sandbox.counters]));
  return {
    ready: sources.ready,
    version: sources.version,
    pid: process.pid,
    observe: sources.observe,
    stateDir: sources.stateDir,
    docker: { host: sources.dockerHost, state: feed.kind, detail: describeFeed(feed) },
    dns: {
      state: sources.observe ? "observing" : dns.enabled ? dns.server.kind : "off",
      ...serverStatus(dns.server, describeUnsteered(dns)),
      residentMemory: dns.report?.residentMemory,
    },
    ports: portsStatus(ports),
    firewall: sources.firewall,
    backend: sources.backend,
    ...(sources.cluster && { cluster: sources.cluster }),
    networks: networkStatuses(inventory),
    containers: runningContainers(inventory).map((container) => containerStatus(container, sources, counters)),
    upstreams: dns.report?.upstreams ?? [],
    ...(sources.loopDelay && { loopDelay: sources.loopDelay }),
  };
}

function serverStatus({ pid, version, reason, adopted }: ServerView, unsteered: string) {
  return { pid, version, detail: reason ?? (adopted ? "adopted" : unsteered) };
}

/** Whoever reads it must not take Docker's resolver for the one that answers. */
function describeUnsteered({ unsteered, takenOver }: DnsState): string {
  const where = `in ${takenOver.size === 1 ? "one container" : `${takenOver.size} containers`}`;
  if (unsteered !== undefined)
    return (
      `the pontoon-dns of an earlier daemon, pid ${unsteered}, still answers ${where}; ` +
      `a daemon that takes over adopts it, without one it soon gives back by itself`
    );
  return takenOver.size === 0 ? "" : `the pontoon-dns of another daemon answers ${where}`;
}

function portsStatus({ enabled, server, unsteered, unread, report }: StatusSources["ports"]): Status["ports"] {
  const shims = report?.shims ?? 0;
  const publications = report?.publications ?? [];
  return {
    state: enabled ? server.kind : "off",
    ...serverStatus(server, [unread ?? "", describeUnsteeredProxy(unsteered)].filter((text) => text !== "").join("; ")),
    residentMemory: report?.residentMemory,
    published: publications.length - shims,
    shims,
    connections: publications.reduce((sum, { connections }) => sum + connections, 0),
    workers: report?.workers ?? 0,
  };
}

function describeUnsteeredProxy(pid: number | undefined): string {
  if (pid === undefined) return "";
  return (
    `the pontoon-proxy of an earlier daemon, pid ${pid}, still serves; ` +
    `a daemon that publishes adopts it, \`kill ${pid}\` ends it`
  );
}

function networkStatuses(inventory: Inventory): NetworkStatus[] {
  return [...inventory.networks.values()]
    .filter((network) => !network.predefined)
    .map(({ id, name, driver, internal, shared }) => ({
      id,
      name,
      driver,
      internal,
      shared,
      endpoints: inventory.containersOn(id).length,
    }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

function runningContainers(inventory: Inventory): Container[] {
  return [...inventory.containers.values()]
    .filter(({ running, source }) => running && source !== "hosts")
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** @param counters by sandbox */
function containerStatus(
  container: Container,
  { dns, observe }: StatusSources,
  counters: ReadonlyMap<string, Counters>,
): ContainerStatus {
  const decision = dns.decisions.get(container.id);
  const sandbox = decision?.kind === "serve" ? decision.sandbox : undefined;
  const byOther = sandbox !== undefined && dns.takenOver.has(sandbox.id);
  const answers = sandbox !== undefined && dns.answering.has(sandbox.id);
  const failure = sandbox && dns.failures.get(sandbox.id);
  const reason = () => {
    if (byOther) return "by a pontoon-dns that this daemon does not steer";
    if (!dns.enabled) return "dns.enabled is false";
    if (decision?.kind === "leave") return decision.reason;
    return failure?.reason ?? (answers ? "" : observe ? "would be answered by pontoon" : "not taken over yet");
  };
  return {
    id: container.id,
    source: container.source,
    name: container.name,
    networks: container.endpoints.map((endpoint) => ({
      name: endpoint.networkName,
      ipv4: endpoint.ipv4,
      ipv6: endpoint.ipv6,
      names: namesOf(container, endpoint),
    })),
    resolver: answers || byOther ? "pontoon" : container.source === "docker" ? "docker" : "nobody",
    reason: reason(),
    wanted: dns.enabled && sandbox !== undefined,
    code: failure?.code ?? (decision?.kind === "leave" ? decision.code : undefined),
    upstreams: sandbox ? upstreamsOf(sandbox.forwarding) : [],
    counters: sandbox && counters.get(sandbox.id),
  };
}

function upstreamsOf(forwarding: Forwarding): string[] {
  if (forwarding.kind === "never") return [];
  return forwarding.upstreams.map(({ ip, from }) => (from === "host" ? `host(${ip})` : ip));
}

function describeFeed(state: StatusSources["feed"]): string {
  switch (state.kind) {
    case "following":
      return `Docker ${state.version}, followed since ${state.since.toISOString()}`;
    case "waiting":
      return state.reason;
    case "none":
      return "without Docker";
    case "listing":
    case "stopped":
      return "";
  }
}
