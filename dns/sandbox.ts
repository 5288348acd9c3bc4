import { canonicalForm, leadsToLoopback } from "../common/address.js";
import type { Poller, Watch } from "../linux/poller.js";
import { closeDescriptor, setTimeToLive } from "../linux/socket.js";
import { upstreamKey } from "./forward/upstreams.js";
import { DockerSilence, type DockerFlight } from "./forward/docker-silence.js";
import { ClientView } from "./table/lookup.js";
import { PacketCache, type SharedRoom } from "./cache/packet-cache.js";
import { Heartbeat, USUAL_TTL } from "./heartbeat.js";
import {
  LETTING_GO_TTL,
  RESOLVER_ADDRESS,
  RESOLVER_PORT,
  type Counters,
  type SandboxRecord,
  type Upstream,
} from "./protocol.js";
import { RecentNames } from "./cache/recent-names.js";
import { UdpChannel } from "./forward/udp-channel.js";
import type { SandboxPool } from "./forward/sandbox-pool.js";
import type { Zones } from "./table/zone.js";

/** Descriptors the daemon opened inside the sandbox's namespace. */
export interface SandboxSockets {
  /** Tells the namespace's end: its process's pidfd, or a descriptor of the namespace that its name is compared with. */
  readonly end: number;
  /** The namespace's name in the file system, if it is not known by a process. */
  readonly path: string | undefined;
  readonly udp: number;
  readonly tcp: number;
  /** Marked UDP socket that reaches Docker's resolver; undefined where there is none. */
  readonly dockerResolver: number | undefined;
  /** The port both listeners are bound to. */
  readonly port: number;
}

/**
 * A sandbox's life here: `waiting` for sockets or for the table to be complete, then `serving`; `releasing` finishes
 * what was asked without renewing the takeover, `draining` while another server reads the sockets.
 */
export type Phase = "waiting" | "serving" | "releasing" | "draining";

/** Questions of one sandbox under way. */
const questionsAtMost = 1024;
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

/** What is under way, and can be given up. */
export interface Running {
  cancel(): void;
}

/** A network namespace this server answers in, with everything it holds there. */
export class Sandbox {
  #phase: Phase = "waiting";
  readonly heartbeat = new Heartbeat();
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
  readonly #watches: Pick<Watch, "close">[] = [];
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
  readonly #questions = new Set<Running>();
  /** Questions to upstreams that use this sandbox's sockets, whoever waits for them. */
  readonly #flights = new Set<Running>();
  /** Open TCP connections of clients, the one idle for longest first; closed with the sandbox. */
  readonly #connections = new Set<ClientConnection>();

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

  /** Whether Docker's resolver answers in the namespace when this server does not, as far as is known. */
  get hasDockerResolver(): boolean {
    return this.sockets === undefined || this.sockets.dockerResolver !== undefined;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get isServing(): boolean {
    return this.#phase === "serving";
  }

  /** @returns the sockets to serve from now on; undefined when it is served already, is not to be served, or has none */
  startServing(): SandboxSockets | undefined {
    if (this.#phase !== "waiting" || !this.sockets) return undefined;
    this.#phase = "serving";
    return this.sockets;
  }

  /** Stops renewing the takeover, so that it can be ended without losing what was asked before. */
  release(): void {
    if (this.#phase === "releasing") return;
    this.#phase = "releasing";
    if (this.sockets) setTimeToLive(this.sockets.udp, LETTING_GO_TTL);
  }

  /** Renews again what was being let go of. @returns whether it was */
  resume(): boolean {
    if (this.#phase !== "releasing" || !this.sockets) return false;
    this.#phase = "serving";
    setTimeToLive(this.sockets.udp, USUAL_TTL);
    return true;
  }

  /** Another server reads the sockets from now on: nothing here is watched any more. */
  drain(): void {
    this.#phase = "draining";
    this.#unwatch();
  }

  /** Closes a watch with the sandbox, or when it is drained. */
  closeAtEnd(watch: Pick<Watch, "close">): void {
    this.#watches.push(watch);
  }

  #unwatch(): void {
    for (const watch of this.#watches.splice(0)) watch.close();
  }

  /** A question is being asked of others on its behalf. */
  began(question: Running): void {
    this.#questions.add(question);
  }

  ended(question: Running): void {
    this.#questions.delete(question);
  }

  /** A question to an upstream uses its sockets. */
  tookOff(flight: Running): void {
    this.#flights.add(flight);
  }

  landed(flight: Running): void {
    this.#flights.delete(flight);
  }

  /** How many questions are being asked of others on its behalf. */
  get questions(): number {
    return this.#questions.size;
  }

  /** How many questions to upstreams use its sockets. */
  get flights(): number {
    return this.#flights.size;
  }

  /** Whether one more question may be asked of others on its behalf. */
  get hasRoom(): boolean {
    return this.questions < questionsAtMost && this.flights < flightsAtMost;
  }

  /** Open TCP connections of clients, the one idle for longest first. */
  get connections(): ReadonlySet<ClientConnection> {
    return this.#connections;
  }

  /** A connection is open, and has just been used: those before it have been idle for longer. */
  used(connection: ClientConnection): void {
    this.#connections.delete(connection);
    this.#connections.add(connection);
  }

  closed(connection: ClientConnection): void {
    this.#connections.delete(connection);
  }

  /** Nothing that was asked is unfinished. */
  get isIdle(): boolean {
    return this.questions === 0 && this.#connections.size === 0;
  }

  isOn(network: string): boolean {
    return this.record.networks.some(({ id }) => id === network);
  }

  hold(poller: Poller, sockets: SandboxSockets): void {
    this.sockets = sockets;
    if (sockets.dockerResolver === undefined) return;
    this.dockerResolver = new UdpChannel(poller, sockets.dockerResolver);
    this.dockerResolver.connect({ ip: RESOLVER_ADDRESS, port: RESOLVER_PORT });
  }

  /** Closes every descriptor held in the namespace. Can be called twice. */
  letGo(): void {
    this.#unwatch();
    for (const connection of [...this.#connections]) connection.close();
    for (const question of [...this.#questions, ...this.#flights]) question.cancel();
    this.pool.close();
    this.cache.clear();
    const sockets = this.sockets;
    this.sockets = undefined;
    this.dockerResolver?.close();
    this.dockerResolver = undefined;
    if (sockets) for (const fd of [sockets.udp, sockets.tcp, sockets.end]) closeDescriptor(fd);
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
