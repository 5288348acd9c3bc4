import type { Poller, Watch } from "../src/linux/poller.js";
import { closeDescriptor } from "../src/linux/socket.js";
import { upstreamKey } from "./upstreams.js";
import { AskerView } from "./lookup.js";
import { PacketCache } from "./packet-cache.js";
import { RESOLVER_ADDRESS, type Counters, type SandboxRecord, type Upstream } from "./protocol.js";
import { UdpChannel } from "./udp-channel.js";
import type { SandboxPool } from "./sandbox-pool.js";
import type { Zones } from "./zone.js";

/** Descriptors the daemon opened inside the sandbox's namespace. */
export interface SandboxSockets {
  readonly pidfd: number;
  readonly udp: number;
  readonly tcp: number;
  /** Marked UDP socket that reaches Docker's resolver. */
  readonly bridge: number;
  /** The port both listeners are bound to. */
  readonly port: number;
}

/**
 * A sandbox's life here: `waiting` for sockets or for the table to be complete, then `serving`; `releasing` finishes
 * what was asked without renewing the takeover.
 */
export type Phase = "waiting" | "serving" | "releasing";

/** A network namespace this server answers in, with everything it holds there. */
export class Sandbox {
  phase: Phase = "waiting";
  /** Whether the last heartbeats came back through the takeover. */
  answering = false;
  heartbeatsMissed = 0;
  view: AskerView;
  /** Servers to ask, without those that are ourselves. */
  upstreams: readonly Upstream[];
  /** Sandboxes of which this is equal get the same answers from outside. */
  upstreamSet: string;
  sockets: SandboxSockets | undefined;
  bridge: UdpChannel | undefined;
  readonly watches: Watch[] = [];
  readonly cache = new PacketCache();
  readonly counters: Counters = { queries: 0, local: 0, cached: 0, forwarded: 0, bridged: 0, failed: 0, refused: 0, tcpConnections: 0 };
  /** Questions being asked of others on this sandbox's behalf. */
  readonly underWay = new Set<{ cancel(): void }>();
  /** Questions to upstreams that use this sandbox's sockets, whoever waits for them. */
  readonly flights = new Set<{ cancel(): void }>();
  /** Open TCP connections of clients; closed with the sandbox. */
  readonly connections = new Set<{ close(): void }>();

  constructor(
    public record: SandboxRecord,
    private readonly zones: Zones,
    /** Sockets inside the namespace, to forward from. */
    readonly pool: SandboxPool,
  ) {
    this.view = new AskerView(record, zones);
    this.upstreams = upstreamsOf(record);
    this.upstreamSet = this.upstreams.map(upstreamKey).join(",");
  }

  /** The asker's networks, links or policy have changed. */
  update(record: SandboxRecord): void {
    this.record = record;
    this.upstreams = upstreamsOf(record);
    this.upstreamSet = this.upstreams.map(upstreamKey).join(",");
    this.view = new AskerView(record, this.zones);
    this.cache.clear();
  }

  isOn(network: string): boolean {
    return this.record.networks.some(({ id }) => id === network);
  }

  hold(poller: Poller, sockets: SandboxSockets): void {
    this.sockets = sockets;
    this.bridge = new UdpChannel(poller, sockets.bridge);
    this.bridge.connect({ ip: "127.0.0.11", port: 53 });
  }

  /** Closes every descriptor held in the namespace. Can be called twice. */
  letGo(): void {
    for (const watch of this.watches.splice(0)) watch.close();
    for (const connection of [...this.connections]) connection.close();
    for (const question of [...this.underWay, ...this.flights]) question.cancel();
    this.pool.close();
    const sockets = this.sockets;
    this.sockets = undefined;
    this.bridge?.close();
    this.bridge = undefined;
    if (sockets) for (const fd of [sockets.udp, sockets.tcp, sockets.pidfd]) closeDescriptor(fd);
  }
}

/** A container that is told to ask 127.0.0.11 would ask us to ask ourselves. */
function upstreamsOf({ forwarding, id }: SandboxRecord): readonly Upstream[] {
  return forwarding.kind === "never" ? [] : forwarding.upstreams.filter(({ ip, from }) => ip !== RESOLVER_ADDRESS || from === "host").map((upstream) => withScope(upstream, id));
}

/** A loopback address is another server in every container. */
function withScope(upstream: Upstream, id: string): Upstream {
  return upstream.from === "container" && /^(127\.|::1$)/.test(upstream.ip) ? { ...upstream, scope: id } : upstream;
}
