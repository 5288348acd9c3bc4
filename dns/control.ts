import { DaemonLink, SLICE, taken, type HeldMessage, type Known } from "../server/daemon-link.js";
import { DaemonSilence } from "../server/daemon-silence.js";
import type { Family } from "../common/address.js";
import type { Timer } from "../linux/timer-wheel.js";
import { closeDescriptor } from "../linux/socket.js";
import { readToServer } from "./messages.js";
import { keyOfText } from "./wire/name.js";
import {
  PROTOCOL,
  sources,
  type Gap,
  type HeldSandbox,
  type SourceName,
  type ToDaemon,
  type ToServer,
} from "./protocol.js";
import type { DnsServer, ServerEvents } from "./server.js";

const logEvery = 100; // ms
/** A little longer than the takeover lasts without renewal, ms. */
const lapseTime = 7000;
const everywhere: Gap = { everywhere: true, networks: [] };

/** The server's end of the control socket. Without a daemon the server goes on with what it last knew. */
export class Control implements ServerEvents {
  readonly #daemon: DaemonLink<HeldSandbox, ToServer, ToDaemon>;
  readonly #silence: DaemonSilence;
  /** As the daemon has told it. */
  #gap = everywhere;
  /** Sources that some daemon has told completely: their sandboxes are served. */
  readonly #synced = new Set<SourceName>();
  /** Those that the present daemon has told completely. */
  readonly #told = new Set<SourceName>();
  #orphaned: Timer | undefined;
  /** Without a daemon for so long that only namespaces are served in which nobody else would answer. */
  #hasLetGo = false;
  /** Another server has taken over: this one only finishes what it was asked. */
  #draining = false;

  constructor(
    private readonly server: DnsServer,
    private readonly identity: { readonly version: string; readonly stop: () => void },
  ) {
    this.#daemon = new DaemonLink(server.reactor, {
      protocol: PROTOCOL,
      version: identity.version,
      about: () => ({ sandboxes: server.sandboxes.size }),
      held: () => this.#held(),
      read: readToServer,
      onAttached: () => this.#onAttached(),
      onHello: () => this.#onHello(),
      onDetached: () => this.#onDetached(),
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      drain: () => this.#drain(),
      stop: identity.stop,
    });
    this.server.log.onWaiting = () => this.#flushLogSoon();
    this.#silence = new DaemonSilence(server.reactor.timers, () => this.#orphan());
  }

  /** Accepts daemons on a listening socket. */
  listen(fd: number): void {
    this.#daemon.listen(fd);
  }

  wantSockets(sandbox: string, family: Family, udp: number, tcp: number): boolean {
    return this.#daemon.tell({ kind: "want-sockets", sandbox, family, udp, tcp });
  }

  ended(sandbox: string): void {
    this.#daemon.tell({ kind: "ended", sandbox });
    if (this.#hasLetGo) this.#stopIfIdle();
  }

  released(sandbox: string): void {
    this.#daemon.tell({ kind: "released", sandbox });
  }

  answering(sandbox: string, answering: boolean): void {
    this.#daemon.tell({ kind: "answering", sandbox, answering });
  }

  *#held(): Generator<HeldMessage<HeldSandbox>, undefined> {
    for (const [sandbox, { sockets, record }] of this.server.sandboxes)
      if (sockets) {
        const { port, path, end, udp, tcp } = sockets;
        const { source } = record;
        yield {
          message: {
            kind: "held",
            sandbox,
            port,
            ...(source !== "docker" && { source }), // as daemons know it that know only Docker's
            ...(path !== undefined && { path }),
          },
          descriptors: [end, udp, tcp],
        };
      }
    return undefined;
  }

  #onAttached(): void {
    this.#onDetached(); // the one before it
    this.#resume();
  }

  #onHello(): void {
    this.#told.clear();
    this.#silence.begin();
  }

  /** A daemon is there. What was being released for lack of one is kept: the daemon says which of it is wanted. */
  #resume(): void {
    this.#orphaned?.cancel();
    this.#orphaned = undefined;
    this.#hasLetGo = false;
    this.server.resumeAll();
  }

  #onDetached(): void {
    this.#silence.end();
    this.#gap = everywhere;
    this.#orphan();
  }

  /** There is no news any more: Docker may know names by now that this table does not hold. */
  #orphan(): void {
    if (this.#draining) return;
    this.server.forgetDaemon();
    this.server.gap = everywhere;
    this.#orphaned?.cancel();
    this.#orphaned = this.server.reactor.timers.schedule(this.server.settings.orphanAfter * 1000, () =>
      this.#letGoOfAll(),
    );
  }

  /** Without news, and until all of Docker's is told, the table counts as behind Docker whatever gap the daemon has told. */
  #applyGap(): void {
    this.server.gap = this.#orphaned || !this.#told.has("docker") ? everywhere : this.#gap;
  }

  /** Messages come in order, so all the daemon's news up to this pulse is here. */
  #onAlive(): void {
    if (!this.#silence.heard()) return;
    this.#resume();
    this.#applyGap();
  }

  /**
   * Nobody has brought news for too long, and what the table says may be true no more. Without renewals the takeovers
   * lapse; until then what is asked is still answered. Where nobody else would answer, this server goes on.
   */
  #letGoOfAll(): void {
    for (const sandbox of this.server.sandboxes.values()) if (sandbox.hasDockerResolver) sandbox.release();
    this.#orphaned = this.server.reactor.timers.schedule(lapseTime, () => {
      for (const sandbox of [...this.server.sandboxes.values()])
        if (sandbox.hasDockerResolver) this.server.drop(sandbox);
      this.#hasLetGo = true;
      this.#stopIfIdle();
    });
  }

  #stopIfIdle(): void {
    if (this.server.sandboxes.size === 0) this.identity.stop();
  }

  #onMessage(message: ToServer, descriptors: number[]): void {
    const { server } = this;
    if (message.kind === "sockets") return this.#onSockets(message, descriptors);
    if (message.kind === "more-sockets") return this.#onMoreSockets(message, descriptors);
    descriptors.forEach(closeDescriptor);
    switch (message.kind) {
      case "settings":
        server.settings = message.settings;
        return;
      case "network":
        this.#daemon.mention(networkKey(message.network.id));
        return server.zones.putNetwork(message.network);
      case "network-gone":
        return server.zones.removeNetwork(message.id);
      case "endpoint":
        this.#daemon.mention(endpointKey(message.endpoint.network, message.endpoint.container));
        return server.zones.putEndpoint(message.endpoint);
      case "endpoint-gone":
        return server.zones.removeEndpoint(message.network, message.container);
      case "sandbox":
        this.#daemon.mention(sandboxKey(message.sandbox.id));
        return server.putSandbox(message.sandbox);
      case "release":
        return this.#onRelease(message.sandbox);
      case "close":
        return this.#onClose(message.sandbox);
      case "gap":
        this.#gap = message.gap;
        return this.#applyGap();
      case "alive":
        return this.#onAlive();
      case "synced":
        return this.#onSynced(message.source);
      case "explain": {
        const { request, sandbox, query } = message;
        return server.explain(
          sandbox,
          Buffer.from(query, "base64"),
          (explanation) => void this.#daemon.tell({ kind: "explained", request, explanation }),
        );
      }
      case "report":
        return this.#report(message.request);
      case "flush":
        return this.#flush(message);
    }
  }

  #drain(): void {
    if (this.#draining) return;
    this.server.forgetDaemon();
    this.#draining = true;
    this.#daemon.fallSilent();
    this.server.drain(this.identity.stop);
  }

  #onRelease(id: string): void {
    const sandbox = this.server.sandboxes.get(id);
    if (sandbox) sandbox.release();
    this.#daemon.tell({ kind: "releasing", sandbox: id });
  }

  #onClose(id: string): void {
    const sandbox = this.server.sandboxes.get(id);
    if (sandbox) this.server.close(sandbox);
    else this.#daemon.tell({ kind: "released", sandbox: id });
  }

  #onSockets(message: ToServer & { kind: "sockets" }, descriptors: number[]): void {
    const { port, path, hasDockerResolver } = message;
    const [end, udp, tcp, ...rest] = descriptors;
    const [dockerResolver] = hasDockerResolver ? rest.splice(0, 1) : [];
    const known = this.server.sandboxes.get(message.sandbox);
    const isWhole =
      end !== undefined &&
      udp !== undefined &&
      tcp !== undefined &&
      (dockerResolver !== undefined) === hasDockerResolver &&
      rest.length === message.udp + message.tcp;
    if (!isWhole || !known) return descriptors.forEach(closeDescriptor);
    const sandbox = known.sockets ? this.server.renew(known) : known;
    this.server.giveSockets(message.sandbox, { end, path, udp, tcp, dockerResolver, port });
    this.#addForwarding(message, rest);
    if (this.#synced.has(sandbox.record.source)) this.server.serve(sandbox);
  }

  #onMoreSockets(message: ToServer & { kind: "more-sockets" }, descriptors: number[]): void {
    const isWhole = descriptors.length === message.udp + message.tcp;
    if (isWhole && this.server.sandboxes.get(message.sandbox)?.sockets) this.#addForwarding(message, descriptors);
    else descriptors.forEach(closeDescriptor);
  }

  #report(request: number): void {
    const reports = this.server.sandboxReports();
    this.#daemon.inSlices(() => {
      const sandboxes = taken(reports);
      const more = sandboxes.length === SLICE;
      const report = this.server.report(sandboxes, more);
      this.#daemon.tell({ kind: "reported", request, report, ...(more && { more }) });
      return !more;
    });
  }

  /** A name that cannot be one in DNS has no answers. */
  #flush({ request, name }: ToServer & { kind: "flush" }): void {
    const key = name === undefined ? undefined : keyOfText(name);
    const answers = name !== undefined && key === undefined ? 0 : this.server.flush(key);
    this.#daemon.tell({ kind: "flushed", request, answers });
  }

  #addForwarding(
    { sandbox, family = "ipv4", udp }: { sandbox: string; family?: Family; udp: number },
    descriptors: number[],
  ): void {
    this.server.addForwardingSockets(sandbox, family, descriptors.slice(0, udp), descriptors.slice(udp));
  }

  /** What of a source the daemon did not mention is gone. From here on the table has all of it, and what can be served is. */
  #onSynced(source: SourceName): void {
    this.#synced.add(source);
    this.#told.add(source);
    if (this.#told.size === sources.length) this.#daemon.allTold(this.#known(source));
    else this.#daemon.partTold(this.#known(source));
    this.#applyGap();
    this.server.serveAll(source);
  }

  *#known(source: SourceName): Generator<Known> {
    const { zones, sandboxes } = this.server;
    for (const [id, sandbox] of [...sandboxes])
      if (sandbox.record.source === source) yield { key: sandboxKey(id), forget: () => this.server.drop(sandbox) };
    for (const [id, network] of [...zones.networks]) {
      const endpoints = [...network.endpoints];
      if (network.record.source === source) yield { key: networkKey(id), forget: () => zones.removeNetwork(id) };
      for (const [container, { record }] of endpoints)
        if (record.source === source)
          yield { key: endpointKey(id, container), forget: () => zones.removeEndpoint(id, container) };
    }
  }

  #flushLogSoon(): void {
    const { log } = this.server;
    this.server.reactor.timers.schedule(logEvery, () => {
      log.flush((queries, dropped) => this.#daemon.tellOrDrop({ kind: "log", queries, dropped }));
      if (log.isWaiting) this.#flushLogSoon(); // that some were lost is still to be told
    });
  }
}

const sandboxKey = (id: string) => `sandbox ${id}`;
const networkKey = (id: string) => `network ${id}`;
const endpointKey = (network: string, container: string) => `endpoint ${network} ${container}`;
