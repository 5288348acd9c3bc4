import type { Family } from "../common/address.js";
import { EPOLLIN } from "../linux/constants.js";
import { NamespaceFiles } from "../linux/namespace-files.js";
import type { Reactor } from "../linux/reactor.js";
import { monotonicNow } from "../linux/timer-wheel.js";
import {
  type Explanation,
  type Gap,
  type Report,
  type SandboxRecord,
  type SandboxReport,
  type Settings,
  type SourceName,
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
/** What a server that another has replaced may take to finish, ms: longer than any question, as long as an idle connection. */
const drainTime = 10_000;
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
  readonly #namespaceFiles = new NamespaceFiles();
  readonly #udp: UdpService;
  readonly #tcp: TcpService;
  #settings: Settings = { orphanAfter: 60, queryLog: false, cacheSize: 0, patience: 2000 };

  constructor(
    readonly reactor: Pick<Reactor, "poller" | "timers">,
    private readonly events: ServerEvents,
  ) {
    const { poller, timers } = reactor;
    this.zones = new Zones((network) => this.#forgetAnswers(network));
    const fromHost = { ipv4: new HostSockets(poller, "ipv4"), ipv6: new HostSockets(poller, "ipv6") };
    this.#outside = new Forwarder({ poller, timers, health: this.#health }, fromHost, this.#cache);
    this.resolver = new Resolver(timers, this.#outside);
    this.#udp = new UdpService(poller, this.resolver, this.log, (sandbox) => this.#onHeartbeat(sandbox));
    this.#tcp = new TcpService({ poller, timers, resolver: this.resolver, log: this.log });
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
    this.#watchEnd(sandbox, sockets);
  }

  /** Has a sandbox as if it had just come: it was taken over anew, and nothing reaches the sockets that it has. */
  renew(sandbox: Sandbox): Sandbox {
    const { record } = sandbox;
    this.drop(sandbox);
    this.putSandbox(record);
    return this.sandboxes.get(record.id)!;
  }

  #watchEnd(sandbox: Sandbox, { end, path }: SandboxSockets): void {
    const onEnd = () => this.#onEnded(sandbox);
    sandbox.closeAtEnd(
      path === undefined
        ? this.reactor.poller.watch(end, EPOLLIN, onEnd)
        : this.#namespaceFiles.watch(path, end, onEnd),
    );
  }

  /** More sockets in a sandbox's namespace to forward from. */
  addForwardingSockets(id: string, family: Family, udp: readonly number[], tcp: readonly number[]): void {
    this.sandboxes.get(id)?.pool.add(family, udp, tcp);
  }

  /** The daemon is gone: what was asked of it will not come. */
  forgetDaemon(): void {
    for (const { pool } of this.sandboxes.values()) pool.forgetAsking();
  }

  /** Answers in every sandbox of a source that has sockets, and takes it over with a first heartbeat. */
  serveAll(source: SourceName): void {
    for (const sandbox of this.sandboxes.values()) {
      if (sandbox.record.source !== source) continue;
      if (sandbox.isServing) this.#tellAnswering(sandbox);
      else this.serve(sandbox);
    }
  }

  serve(sandbox: Sandbox): void {
    const sockets = sandbox.startServing();
    if (!sockets) return;
    this.#udp.serve(sandbox, sockets.udp);
    this.#tcp.serve(sandbox, sockets.tcp);
    this.#beat(sandbox);
  }

  /** Renews again what was being let go of. */
  resumeAll(): void {
    for (const sandbox of this.sandboxes.values()) if (sandbox.resume()) this.#beat(sandbox);
  }

  /**
   * Another server reads the sockets from now on: reads no more of them, and finishes what was asked before.
   * @param done called when all is finished, or has taken too long
   */
  drain(done: () => void): void {
    for (const sandbox of this.sandboxes.values()) {
      sandbox.drain();
      if (sandbox.sockets) this.#watchEnd(sandbox, sandbox.sockets);
    }
    const began = monotonicNow();
    const look = () => {
      const isDone = [...this.sandboxes.values()].every(({ isIdle }) => isIdle);
      if (isDone || monotonicNow() - began > drainTime) return done();
      this.reactor.timers.schedule(20, look);
    };
    look();
  }

  /** Finishes what is under way, then closes everything held for a sandbox. */
  close(sandbox: Sandbox): void {
    sandbox.release();
    const { id } = sandbox.record;
    const finish = () => {
      if (this.sandboxes.get(id) !== sandbox) return;
      if (sandbox.questions > 0) return void this.reactor.timers.schedule(20, finish);
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
    for (const { record, heartbeat, counters } of this.sandboxes.values())
      yield { id: record.id, answering: heartbeat.comesBack, counters };
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

  /** The container's first process has ended, or the namespace's name is gone: nothing of ours may keep the namespace. */
  #onEnded(sandbox: Sandbox): void {
    this.drop(sandbox);
    this.events.ended(sandbox.record.id);
  }

  #beatAll(): void {
    this.reactor.timers.schedule(heartbeatEvery, () => this.#beatAll());
    for (const sandbox of this.sandboxes.values()) if (sandbox.isServing) this.#beat(sandbox);
  }

  #beat(sandbox: Sandbox): void {
    if (sandbox.sockets && sandbox.heartbeat.send(sandbox.sockets.udp)) this.#tellAnswering(sandbox);
  }

  #onHeartbeat(sandbox: Sandbox): void {
    if (sandbox.heartbeat.cameBack()) this.#tellAnswering(sandbox);
  }

  #tellAnswering({ record, heartbeat }: Sandbox): void {
    this.events.answering(record.id, heartbeat.comesBack);
  }
}
