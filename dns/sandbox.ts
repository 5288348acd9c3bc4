import { randomBytes } from "node:crypto";
import { canonicalForm, leadsToLoopback } from "../common/address.js";
import type { Poller, Watch } from "../linux/poller.js";
import { closeDescriptor } from "../linux/socket.js";
import { upstreamKey } from "./forward/upstreams.js";
import { DockerSilence, type DockerFlight } from "./forward/docker-silence.js";
import { ClientView } from "./table/lookup.js";
import { PacketCache, type SharedRoom } from "./cache/packet-cache.js";
import { HEARTBEAT_SIZE, RESOLVER_ADDRESS, type Counters, type SandboxRecord, type Upstream } from "./protocol.js";
import { RecentNames } from "./cache/recent-names.js";
import { UdpChannel } from "./forward/udp-channel.js";
import type { SandboxPool } from "./forward/sandbox-pool.js";
import type { Zones } from "./table/zone.js";

/** Descriptors the daemon opened inside the sandbox's namespace. */
export interface SandboxSockets {
  readonly pidfd: number;
  readonly udp: number;
  readonly tcp: number;
  /** Marked UDP socket that reaches Docker's resolver. */
  readonly dockerResolver: number;
  /** The port both listeners are bound to. */
  readonly port: number;
}

/**
 * A sandbox's life here: `waiting` for sockets or for the table to be complete, then `serving`; `releasing` finishes
 * what was asked without renewing the takeover, `draining` while another server reads the sockets.
 */
export type Phase = "waiting" | "serving" | "releasing" | "draining";

/** Questions of one sandbox under way. */
const underWayAtMost = 1024;
/**
 * Questions to upstreams that use one sandbox's sockets. A searched label is up to thirteen of them, and one may go on
 * when nobody waits for it any more, so that its answer is cached.
 */
const flightsAtMost = 4096;
/** Milliseconds from when Docker's resolver knows a name to its event, with much to spare: dockerd writes to its disk in between. */
const FROM_GAP_LASTS = 3000;

/** A client's TCP connection. */
export interface ClientConnection {
  /** Whether a question of it is under way. */
  readonly isBusy: boolean;
  close(): void;
}

/** A network namespace this server answers in, with everything it holds there. */
export class Sandbox {
  phase: Phase = "waiting";
  /** Whether the last heartbeats came back through the takeover. */
  answering = false;
  heartbeatsMissed = 0;
  /** What it sends to itself. */
  readonly heartbeat = randomBytes(HEARTBEAT_SIZE);
  view: ClientView;
  /** Servers to ask, without those that are ourselves. */
  upstreams: readonly Upstream[];
  /** Sandboxes for which this is equal get the same answers from outside. */
  upstreamSet: string;
  sockets: SandboxSockets | undefined;
  dockerResolver: UdpChannel | undefined;
  readonly dockerSilence = new DockerSilence();
  /** What Docker's resolver is being asked. */
  readonly dockerFlights = new Map<string, DockerFlight>();
  /** Names Docker's resolver gave in a gap: it may have known them before the event that brings them to the table. */
  readonly fromGap = new RecentNames(FROM_GAP_LASTS);
  readonly watches: Watch[] = [];
  readonly cache: PacketCache;
  readonly counters: Counters = {
    queries: 0,
    local: 0,
    cached: 0,
    forwarded: 0,
    dockerResolver: 0,
    failed: 0,
    refused: 0,
    tcpConnections: 0,
  };
  /** Questions being asked of others on this sandbox's behalf. */
  readonly underWay = new Set<{ cancel(): void }>();
  /** Questions to upstreams that use this sandbox's sockets, whoever waits for them. */
  readonly flights = new Set<{ cancel(): void }>();
  /** Open TCP connections of clients, the one idle for longest first; closed with the sandbox. */
  readonly connections = new Set<ClientConnection>();

  constructor(
    public record: SandboxRecord,
    private readonly zones: Zones,
    /** Sockets inside the namespace, to forward from. */
    readonly pool: SandboxPool,
    /** For replies cached beyond a sandbox's own share. */
    room?: SharedRoom,
  ) {
    this.cache = new PacketCache(room);
    this.view = new ClientView(record, zones);
    this.upstreams = upstreamsOf(record);
    this.upstreamSet = this.upstreams.map(upstreamKey).join(",");
  }

  /** The client's networks, links or policy have changed. */
  update(record: SandboxRecord): void {
    this.record = record;
    this.upstreams = upstreamsOf(record);
    this.upstreamSet = this.upstreams.map(upstreamKey).join(",");
    this.view = new ClientView(record, this.zones);
    this.cache.clear();
  }

  /** Whether one more question may be asked of others on its behalf. */
  get hasRoom(): boolean {
    return this.underWay.size < underWayAtMost && this.flights.size < flightsAtMost;
  }

  isOn(network: string): boolean {
    return this.record.networks.some(({ id }) => id === network);
  }

  hold(poller: Poller, sockets: SandboxSockets): void {
    this.sockets = sockets;
    this.dockerResolver = new UdpChannel(poller, sockets.dockerResolver);
    this.dockerResolver.connect({ ip: RESOLVER_ADDRESS, port: 53 });
  }

  /** Closes every descriptor held in the namespace. Can be called twice. */
  letGo(): void {
    for (const watch of this.watches.splice(0)) watch.close();
    for (const connection of [...this.connections]) connection.close();
    for (const question of [...this.underWay, ...this.flights]) question.cancel();
    this.pool.close();
    this.cache.clear();
    const sockets = this.sockets;
    this.sockets = undefined;
    this.dockerResolver?.close();
    this.dockerResolver = undefined;
    if (sockets) for (const fd of [sockets.udp, sockets.tcp, sockets.pidfd]) closeDescriptor(fd);
  }
}

/** A container that is told to ask 127.0.0.11, in whatever spelling, would ask us to ask ourselves. */
function upstreamsOf(record: SandboxRecord): readonly Upstream[] {
  const { forwarding } = record;
  if (forwarding.kind === "never") return [];
  const upstreams = forwarding.upstreams.map((upstream) => ({ ...upstream, ip: canonicalForm(upstream.ip) }));
  return upstreams
    .filter(({ ip, from }) => ip !== RESOLVER_ADDRESS || from === "host")
    .map((upstream) => withScope(upstream, record));
}

/**
 * A server may answer by who asks, and a container may have routes of its own: what is asked from inside one is its own.
 * Where answers are to be shared, they are by containers on the same networks: what was asked from inside a container may
 * have been forged there (`CAP_NET_RAW` sees the question and its port), so it is believed only by those that the
 * container could deceive anyway. A loopback address, to which the unspecified one leads too, is another server in each.
 */
function withScope(upstream: Upstream, { id, networks, sharesAnswers }: SandboxRecord): Upstream {
  if (upstream.from === "host") return upstream;
  if (!sharesAnswers || leadsToLoopback(upstream.ip)) return { ...upstream, scope: id };
  return {
    ...upstream,
    scope: networks
      .map((network) => network.id)
      .sort()
      .join("+"),
  };
}
