import type { Family } from "../common/address.js";
import { sendDatagram } from "../linux/datagram.js";
import { encodeAddress } from "../linux/address.js";
import { EPOLLIN } from "../linux/constants.js";
import type { Reactor } from "../linux/reactor.js";
import { setTimeToLive } from "../linux/socket.js";
import { monotonicNow } from "../linux/timer-wheel.js";
import {
  LETTING_GO_TTL,
  RESOLVER_ADDRESS,
  RESOLVER_PORT,
  type Explanation,
  type Gap,
  type Report,
  type SandboxRecord,
  type SandboxReport,
  type Settings,
} from "./protocol.js";
import type { NameKey } from "./wire/name.js";
import { QueryLog, describeSource } from "./serve/query-log.js";
import { readQuery } from "./wire/query.js";
import { Resolver } from "./resolve/resolve.js";
import { since } from "./resolve/resolved.js";
import { AnswerCache } from "./cache/answer-cache.js";
import { Forwarder } from "./resolve/forwarder.js";
import { HostSockets } from "./forward/forwarding-sockets.js";
import { Sandbox, type SandboxSockets } from "./sandbox.js";
import { SharedRoom } from "./cache/packet-cache.js";
import { SandboxPool } from "./forward/sandbox-pool.js";
import { TcpService } from "./serve/tcp-service.js";
import { UdpService } from "./serve/udp-service.js";
import { UpstreamHealth } from "./forward/upstreams.js";
import { Zones } from "./table/zone.js";

const heartbeatEvery = 2000; // ms; a third of the takeover's 6 s
/** What Linux gives a socket's packets (net.ipv4.ip_default_ttl). */
const USUAL_TTL = 64;
const heartbeatsMissedAtMost = 2;
/** What a server that another has replaced may take to finish, ms: longer than any question, as long as an idle connection. */
const drainTime = 10_000;
const ownResolver = encodeAddress({ ip: RESOLVER_ADDRESS, port: RESOLVER_PORT });

/** What the server tells whoever steers it. */
export interface ServerEvents {
  /** @returns false when there is nobody to ask */
  wantSockets(sandbox: string, family: Family, udp: number, tcp: number): boolean;
  ended(sandbox: string): void;
  released(sandbox: string): void;
  answering(sandbox: string, answering: boolean): void;
}

/** The DNS server: sandboxes, the table they see, and the services that answer in them. */
export class DnsServer {
  readonly sandboxes = new Map<string, Sandbox>();
  readonly zones: Zones;
  readonly log = new QueryLog();
  readonly resolver: Resolver;
  readonly #health = new UpstreamHealth(monotonicNow);
  readonly #cache = new AnswerCache(monotonicNow);
  readonly #outside: Forwarder;
  readonly #room = new SharedRoom();
  readonly #udp: UdpService;
  readonly #tcp: TcpService;
  #settings: Settings = { orphanAfter: 60, queryLog: false, cacheSize: 0, patience: 2000 };

  constructor(
    readonly reactor: Pick<Reactor, "poller" | "timers">,
    private readonly events: ServerEvents,
  ) {
    const { poller, timers: timers } = reactor;
    this.zones = new Zones((network) => this.#forgetAnswers(network));
    const fromHost = { ipv4: new HostSockets(poller, "ipv4"), ipv6: new HostSockets(poller, "ipv6") };
    this.#outside = new Forwarder({ poller, timers: timers, health: this.#health }, fromHost, this.#cache);
    this.resolver = new Resolver(timers, this.#outside);
    this.#udp = new UdpService(poller, this.resolver, this.log, (sandbox) => this.#onHeartbeat(sandbox));
    this.#tcp = new TcpService({ poller, timers: timers, resolver: this.resolver, log: this.log });
    timers.schedule(heartbeatEvery, () => this.#beatAll());
  }

  get settings(): Settings {
    return this.#settings;
  }

  set settings(settings: Settings) {
    this.#settings = settings;
    this.log.enabled = settings.queryLog;
    this.#cache.limit(settings.cacheSize);
    this.#health.patience = this.resolver.patience = settings.patience;
  }

  /** When the table may be behind Docker. Ready replies are forgotten when feeding stops, and when it begins again. */
  set gap(gap: Gap) {
    const isNew = gap.everywhere !== this.resolver.gap.everywhere;
    this.resolver.gap = gap;
    if (isNew) this.#forgetReplies();
  }

  /** Forgets what upstreams have said of a name, or of every name. @returns how many answers that was */
  flush(name: NameKey | undefined): number {
    this.#forgetReplies();
    return this.#outside.forget(name);
  }

  putSandbox(record: SandboxRecord): void {
    const known = this.sandboxes.get(record.id);
    if (known) return known.update(record);
    const pool = new SandboxPool(this.reactor.poller, (family, udp, tcp) =>
      this.events.wantSockets(record.id, family, udp, tcp),
    );
    this.sandboxes.set(record.id, new Sandbox(record, this.zones, pool, this.#room));
  }

  /** Takes the descriptors of a sandbox; serves once {@link serveAll} or {@link serve} is called. */
  giveSockets(id: string, sockets: SandboxSockets): void {
    const sandbox = this.sandboxes.get(id);
    if (!sandbox) throw new Error(`sockets for an unknown sandbox ${id}`);
    sandbox.hold(this.reactor.poller, sockets);
    this.#watchProcess(sandbox, sockets);
  }

  #watchProcess(sandbox: Sandbox, { pidfd }: SandboxSockets): void {
    sandbox.watches.push(this.reactor.poller.watch(pidfd, EPOLLIN, () => this.#onProcessEnded(sandbox)));
  }

  /** More sockets in a sandbox's namespace to forward from. */
  addForwardingSockets(id: string, family: Family, udp: readonly number[], tcp: readonly number[]): void {
    this.sandboxes.get(id)?.pool.add(family, udp, tcp);
  }

  /** The daemon is gone: what was asked of it will not come. */
  forgetDaemon(): void {
    for (const { pool } of this.sandboxes.values()) pool.forgetAsking();
  }

  /** Answers in every sandbox that has sockets, and takes it over with a first heartbeat. */
  serveAll(): void {
    for (const sandbox of this.sandboxes.values()) {
      if (sandbox.phase === "serving") this.events.answering(sandbox.record.id, sandbox.answering);
      else this.serve(sandbox);
    }
  }

  serve(sandbox: Sandbox): void {
    if (sandbox.phase !== "waiting" || !sandbox.sockets) return;
    sandbox.phase = "serving";
    this.#udp.serve(sandbox, sandbox.sockets.udp);
    this.#tcp.serve(sandbox, sandbox.sockets.tcp);
    this.#beat(sandbox);
  }

  /** Stops renewing the takeover, so that it can be ended without losing what was asked before. */
  release(sandbox: Sandbox): void {
    if (sandbox.phase === "releasing") return;
    sandbox.phase = "releasing";
    if (sandbox.sockets) setTimeToLive(sandbox.sockets.udp, LETTING_GO_TTL);
  }

  /** Renews again what was being let go of. */
  resumeAll(): void {
    for (const sandbox of this.sandboxes.values()) {
      if (sandbox.phase !== "releasing" || !sandbox.sockets) continue;
      sandbox.phase = "serving";
      setTimeToLive(sandbox.sockets.udp, USUAL_TTL);
      this.#beat(sandbox);
    }
  }

  /**
   * Another server reads the sockets from now on: reads no more of them, and finishes what was asked before.
   * @param done called when all is finished, or has taken too long
   */
  drain(done: () => void): void {
    for (const sandbox of this.sandboxes.values()) {
      sandbox.phase = "draining";
      for (const watch of sandbox.watches.splice(0)) watch.close();
      if (sandbox.sockets) this.#watchProcess(sandbox, sandbox.sockets);
    }
    const began = monotonicNow();
    const look = () => {
      const isDone = [...this.sandboxes.values()].every(
        ({ underWay, connections }) => underWay.size === 0 && connections.size === 0,
      );
      if (isDone || monotonicNow() - began > drainTime) return done();
      this.reactor.timers.schedule(20, look);
    };
    look();
  }

  /** Finishes what is under way, then closes everything held for a sandbox. */
  close(sandbox: Sandbox): void {
    this.release(sandbox);
    const { id } = sandbox.record;
    const finish = () => {
      if (this.sandboxes.get(id) !== sandbox) return;
      if (sandbox.underWay.size > 0) return void this.reactor.timers.schedule(20, finish);
      this.drop(sandbox);
      this.events.released(id);
    };
    // One more round first, for queries that are in the socket already.
    this.reactor.timers.schedule(1, finish);
  }

  /** Closes everything held for a sandbox, at once. */
  drop(sandbox: Sandbox): void {
    this.sandboxes.delete(sandbox.record.id);
    sandbox.letGo();
  }

  /** Asks on behalf of a sandbox, as its container would over UDP, and says where the answer came from. */
  explain(id: string, query: Buffer, done: (explanation: Explanation | undefined) => void): void {
    const sandbox = this.sandboxes.get(id);
    const question = readQuery(query, 0, query.length);
    if (!sandbox || question.kind !== "question") return done(undefined);
    const began = monotonicNow();
    const networks = sandbox.record.networks.map(
      (network) => this.zones.networks.get(network.id)?.record.name ?? network.id,
    );
    const steps = [`asked as ${sandbox.record.containerName}, on ${networks.join(", ")}`];
    const asked = { sandbox, question, message: query, transport: "udp", limit: 65535 } as const;
    const finish = ({ reply, source }: { reply: Buffer; source: Explanation["source"] }) => {
      if (source.kind !== "local") steps.push("no endpoint, link or address on these networks has that name");
      steps.push(`answered by ${describeSource(source)}`);
      done({ reply: reply.toString("base64"), source, took: since(began), steps });
    };
    const decided = this.resolver.decide(asked);
    if (decided) finish(decided);
    else this.resolver.ask(asked, finish);
  }

  /** One after the other: some may go meanwhile. */
  *sandboxReports(): Generator<SandboxReport, undefined> {
    for (const { record, answering, counters } of this.sandboxes.values()) yield { id: record.id, answering, counters };
    return undefined;
  }

  /** @param sandboxes the sandboxes to report  @param ofTheseAlone whether everything else comes in another part */
  report(sandboxes: readonly SandboxReport[], ofTheseAlone = false): Report {
    const networks = ofTheseAlone ? [] : [...this.zones.networks.values()];
    return {
      sandboxes,
      upstreams: ofTheseAlone ? [] : this.#health.report(),
      networks: networks.length,
      cache: { entries: this.#cache.size, bytes: this.#cache.bytes },
      endpoints: networks.reduce((sum, network) => sum + network.endpoints.size, 0),
      residentMemory: process.memoryUsage.rss(),
    };
  }

  #forgetReplies(): void {
    for (const sandbox of this.sandboxes.values()) sandbox.cache.clear();
  }

  #forgetAnswers(network: string): void {
    for (const sandbox of this.sandboxes.values()) if (sandbox.isOn(network)) sandbox.cache.clear();
  }

  /** The container's first process has ended: nothing of ours may keep its namespace. */
  #onProcessEnded(sandbox: Sandbox): void {
    this.drop(sandbox);
    this.events.ended(sandbox.record.id);
  }

  #beatAll(): void {
    this.reactor.timers.schedule(heartbeatEvery, () => this.#beatAll());
    for (const sandbox of this.sandboxes.values()) if (sandbox.phase === "serving") this.#beat(sandbox);
  }

  /**
   * One datagram to our own resolver address: on its way out it renews the takeover, and it comes back only if the
   * takeover works. Sent by this loop, so a hung server stops renewing by itself.
   */
  #beat(sandbox: Sandbox): void {
    if (!sandbox.sockets) return;
    // Said again as long as it lasts: one repair may fail, or come too late.
    if (sandbox.heartbeatsMissed >= heartbeatsMissedAtMost) {
      sandbox.heartbeatsMissed = 0;
      this.#setAnswering(sandbox, false);
    }
    // A server that was replaced may have been letting go meanwhile, and this is one socket in both.
    if (sandbox.heartbeatsMissed > 0) setTimeToLive(sandbox.sockets.udp, USUAL_TTL);
    sandbox.heartbeatsMissed++;
    sendDatagram(sandbox.sockets.udp, sandbox.heartbeat, ownResolver);
    // The first arms the takeover on its way out; the second is the first that can come back through it.
    if (!sandbox.answering) sendDatagram(sandbox.sockets.udp, sandbox.heartbeat, ownResolver);
  }

  #onHeartbeat(sandbox: Sandbox): void {
    sandbox.heartbeatsMissed = 0;
    if (!sandbox.answering) this.#setAnswering(sandbox, true);
  }

  #setAnswering(sandbox: Sandbox, answering: boolean): void {
    sandbox.answering = answering;
    this.events.answering(sandbox.record.id, answering);
  }
}
