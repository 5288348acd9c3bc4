import type { Counters, UpstreamReport, Report, Forwarding } from "../dns/protocol.js";
import type { Report as ProxyReport } from "../proxy/protocol.js";
import type { FeedState } from "./docker/feed.js";
import type { LoopDelay } from "./loop-delay.js";
import type { Inventory } from "./inventory/inventory.js";
import { namesOf } from "./inventory/naming.js";
import type { Decision } from "./names/records.js";
import type { Failure } from "./names/takeovers/takeovers.js";
import type { Unsteered } from "./names/unsteered.js";

/** What `pontoon status --json` prints. */
export interface Status {
  readonly ready: boolean;
  readonly version: string;
  readonly pid: number;
  readonly observe: boolean;
  readonly stateDir: string;
  readonly docker: { readonly host: string; readonly state: FeedState["kind"]; readonly detail: string };
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

/** Who answers 127.0.0.11 in a container; one that uses another's network asks as that one. */
export interface ContainerStatus {
  readonly id: string;
  readonly name: string;
  readonly networks: readonly {
    readonly name: string;
    readonly ipv4: string | undefined;
    readonly ipv6: string | undefined;
    readonly names: readonly string[];
  }[];
  readonly resolver: "pontoon" | "docker";
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

export interface StatusSources {
  /** dockerd is waited for, or followed and every container that should be answered is. */
  readonly ready: boolean;
  readonly version: string;
  readonly observe: boolean;
  readonly dockerHost: string;
  readonly stateDir: string;
  readonly feed: FeedState;
  readonly dnsEnabled: boolean;
  readonly server: ServerView;
  readonly ports: { readonly enabled: boolean; readonly server: ServerView; readonly report: ProxyReport | undefined };
  readonly inventory: Inventory;
  readonly decisions: ReadonlyMap<string, Decision>;
  readonly failures: ReadonlyMap<string, Pick<Failure, "code" | "reason">>;
  readonly answering: ReadonlySet<string>;
  readonly unsteered: Unsteered;
  readonly report: Report | undefined;
  readonly loopDelay: LoopDelay | undefined;
}

/** Puts together what is known, for people and programs. */
export function statusOf(sources: StatusSources): Status {
  const { feed, server, inventory, report } = sources;
  const containers = containerStatuses(sources);
  return {
    ready: sources.ready,
    version: sources.version,
    pid: process.pid,
    observe: sources.observe,
    stateDir: sources.stateDir,
    docker: { host: sources.dockerHost, state: feed.kind, detail: describeFeed(feed) },
    dns: {
      state: sources.observe ? "observing" : sources.dnsEnabled ? server.kind : "off",
      pid: server.pid,
      version: server.version,
      detail: server.reason ?? (server.adopted ? "adopted" : describeUnsteered(sources.unsteered)),
      residentMemory: report?.residentMemory,
    },
    ports: portsStatus(sources.ports, sources.unsteered),
    networks: [...inventory.networks.values()]
      .filter((network) => !network.predefined)
      .map(({ id, name, driver, internal, shared }) => ({
        id,
        name,
        driver,
        internal,
        shared,
        endpoints: inventory.containersOn(id).length,
      }))
      .sort((a, b) => a.name.localeCompare(b.name)),
    containers,
    upstreams: report?.upstreams ?? [],
    ...(sources.loopDelay && { loopDelay: sources.loopDelay }),
  };
}

/** Whoever reads it must not take Docker's resolver for the one that answers. */
function describeUnsteered({ dns, answering }: Unsteered): string {
  const where = `in ${answering.size === 1 ? "one container" : `${answering.size} containers`}`;
  if (dns !== undefined)
    return (
      `the pontoon-dns of an earlier daemon, pid ${dns}, still answers ${where}; ` +
      "a daemon that takes over adopts it, without one it soon gives back by itself"
    );
  return answering.size === 0 ? "" : `the pontoon-dns of another daemon answers ${where}`;
}

function portsStatus({ enabled, server, report }: StatusSources["ports"], { proxy }: Unsteered): Status["ports"] {
  const shims = report?.shims ?? 0;
  const publications = report?.publications ?? [];
  return {
    state: enabled ? server.kind : "off",
    pid: server.pid,
    version: server.version,
    detail:
      server.reason ??
      (server.adopted
        ? "adopted"
        : proxy === undefined
          ? ""
          : `the pontoon-proxy of an earlier daemon, pid ${proxy}, still serves; a daemon that publishes adopts it, \`kill ${proxy}\` ends it`),
    residentMemory: report?.residentMemory,
    published: publications.length - shims,
    shims,
    connections: publications.reduce((sum, { connections }) => sum + connections, 0),
    workers: report?.workers ?? 0,
  };
}

function containerStatuses({
  inventory,
  decisions,
  failures,
  answering,
  unsteered,
  report,
  observe,
  dnsEnabled,
}: StatusSources): ContainerStatus[] {
  const counters = new Map(report?.sandboxes.map((sandbox) => [sandbox.id, sandbox.counters]));
  return [...inventory.containers.values()]
    .filter((container) => container.running)
    .map((container): ContainerStatus => {
      const decision = decisions.get(container.id);
      const sandbox = decision?.kind === "serve" ? decision.sandbox : undefined;
      const byOther = sandbox !== undefined && unsteered.answering.has(sandbox.id);
      const answers = sandbox !== undefined && answering.has(sandbox.id);
      const failure = sandbox && failures.get(sandbox.id);
      const reason = byOther
        ? "by a pontoon-dns that this daemon does not steer"
        : !dnsEnabled
          ? "dns.enabled is false"
          : decision?.kind === "leave"
            ? decision.reason
            : (failure?.reason ?? (answers ? "" : observe ? "would be answered by pontoon" : "not taken over yet"));
      return {
        id: container.id,
        name: container.name,
        networks: container.endpoints.map((endpoint) => ({
          name: endpoint.networkName,
          ipv4: endpoint.ipv4,
          ipv6: endpoint.ipv6,
          names: namesOf(container, endpoint),
        })),
        resolver: answers || byOther ? "pontoon" : "docker",
        reason,
        wanted: dnsEnabled && sandbox !== undefined,
        code: failure?.code ?? (decision?.kind === "leave" ? decision.code : undefined),
        upstreams: sandbox ? upstreamsOf(sandbox.forwarding) : [],
        counters: sandbox && counters.get(sandbox.id),
      };
    })
    .sort((a, b) => a.name.localeCompare(b.name));
}

function upstreamsOf(forwarding: Forwarding): string[] {
  if (forwarding.kind === "never") return [];
  return forwarding.upstreams.map(({ ip, from }) => (from === "host" ? `host(${ip})` : ip));
}

function describeFeed(state: FeedState): string {
  switch (state.kind) {
    case "following":
      return `Docker ${state.version}, followed since ${state.since.toISOString()}`;
    case "waiting":
      return state.reason;
    case "listing":
    case "stopped":
      return "";
  }
}
