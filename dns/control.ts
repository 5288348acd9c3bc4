import { EPOLLIN } from "../src/linux/constants.js";
import { PacketChannel } from "../src/linux/packet-channel.js";
import type { Reactor } from "../src/linux/reactor.js";
import type { Deadline } from "../src/linux/wheel.js";
import { acceptSocket, closeDescriptor, peerCredentials, WOULD_BLOCK } from "../src/linux/socket.js";
import type { Family } from "./forwarding-sockets.js";
import { readFirstToServer, type HeldAll, type Hello } from "../src/first-words.js";
import { readToServer } from "./messages.js";
import { keyOfText } from "./name.js";
import { PROTOCOL, type Gap, type HeldSandbox, type SandboxReport, type ToDaemon, type ToServer } from "./protocol.js";
import { DnsServer } from "./server.js";

type Outgoing = (Hello & { readonly sandboxes: number }) | HeldSandbox | HeldAll | ToDaemon;

const logEvery = 100; // ms
/** A little longer than the takeover lasts without renewal, ms. */
const lapseTime = 7000;
/** How often it is looked whether the daemon has said that it lives, ms, and how many looks in vain it takes to say that it hangs. */
const turnEvery = 1000;
const silentTurnsAtMost = 4;
/** Sandboxes told of in one piece. */
const slice = 100;
const everywhere: Gap = { everywhere: true, networks: [] };

/** What was mentioned since a daemon said hello; the rest is gone when it says `synced`. */
class Mentioned {
  readonly networks = new Set<string>();
  readonly endpoints = new Set<string>();
  readonly sandboxes = new Set<string>();
}

/**
 * The server's end of the control socket. One daemon at a time steers it: the newest. Without one the server goes on
 * with what it last knew.
 */
export class Control {
  readonly server: DnsServer;
  #channel: PacketChannel<unknown, Outgoing> | undefined;
  /** As the daemon has told it. */
  #gap = everywhere;
  /** Turns since the daemon said that it lives, of which hello is the first sign; undefined while there is none that would. */
  #silentTurns: number | undefined;
  #mentioned: Mentioned | undefined;
  #synced = false;
  #orphaned: Deadline | undefined;
  /** Another server has taken over: this one only finishes what it was asked. */
  #draining = false;

  constructor(
    private readonly reactor: Pick<Reactor, "poller" | "wheel">,
    private readonly identity: { readonly version: string; readonly stop: () => void },
  ) {
    this.server = new DnsServer(reactor, {
      wantSockets: (sandbox, family, udp, tcp) => this.#tell({ kind: "want-sockets", sandbox, family, udp, tcp }),
      ended: (sandbox) => this.#tell({ kind: "ended", sandbox }),
      released: (sandbox) => this.#tell({ kind: "released", sandbox }),
      answering: (sandbox, answering) => this.#tell({ kind: "answering", sandbox, answering }),
    });
    this.server.log.onWaiting = () => this.#flushLogSoon();
    this.#turn();
  }

  /** Accepts daemons on a listening socket. */
  listen(fd: number): void {
    this.reactor.poller.watch(fd, EPOLLIN, () => {
      const accepted = acceptSocket(fd);
      if (accepted === WOULD_BLOCK) return;
      if (peerCredentials(accepted).uid !== 0) return closeDescriptor(accepted);
      this.#attach(accepted);
    });
  }

  #attach(fd: number): void {
    this.#channel?.close();
    this.#detached();
    this.#resume();
    this.#channel = new PacketChannel<unknown, Outgoing>(this.reactor.poller, fd, {
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      onClose: () => this.#detached(),
    });
  }

  /** A daemon is there. What was being let go of for want of one is kept: this one says what it wants of it. */
  #resume(): void {
    this.#orphaned?.cancel();
    this.#orphaned = undefined;
    this.server.resumeAll();
  }

  #detached(): void {
    this.#channel = undefined;
    this.#mentioned = undefined;
    this.#silentTurns = undefined;
    this.#gap = everywhere;
    this.#orphan();
  }

  /** No news any more: a name this table does not hold may be one that Docker knows by now. */
  #orphan(): void {
    if (this.#draining) return;
    this.server.forgetDaemon();
    this.server.gap = everywhere;
    this.#orphaned?.cancel();
    this.#orphaned = this.reactor.wheel.in(this.server.settings.orphanAfter * 1000, () => this.#letGoOfAll());
  }

  /**
   * A daemon that hangs brings no more news than one that is gone. Its silence is counted in turns of this process: one that
   * was itself kept from running for a while has not listened.
   */
  #turn(): void {
    this.reactor.wheel.in(turnEvery, () => this.#turn());
    if (this.#silentTurns !== undefined && ++this.#silentTurns === silentTurnsAtMost) this.#orphan();
  }

  /** Without news, and before the table is whole, it is behind Docker whatever was said. */
  #applyGap(): void {
    this.server.gap = this.#orphaned || this.#mentioned ? everywhere : this.#gap;
  }

  /** What the daemon told meanwhile it told before this. */
  #onAlive(): void {
    const hung = this.#silentTurns !== undefined && this.#silentTurns >= silentTurnsAtMost;
    this.#silentTurns = 0;
    if (!hung) return;
    this.#resume();
    this.#applyGap();
  }

  /**
   * Nobody has brought news for too long: frozen tables must not outlive their truth. Without renewals the takeovers
   * lapse; until then what is asked is still answered.
   */
  #letGoOfAll(): void {
    const sandboxes = [...this.server.sandboxes.values()];
    for (const sandbox of sandboxes) this.server.release(sandbox);
    this.#orphaned = this.reactor.wheel.in(lapseTime, this.identity.stop);
  }

  #tell(message: Outgoing, descriptors: readonly number[] = []): boolean {
    if (!this.#channel?.isOpen || this.#draining) return false;
    this.#channel.send(message, descriptors);
    return true;
  }

  #onMessage(value: unknown, descriptors: number[]): void {
    const { server } = this;
    const message = readFirstToServer(value) ?? readToServer(value);
    if (message?.kind === "sockets") return this.#onSockets(message, descriptors);
    if (message?.kind === "more-sockets") return this.#onMoreSockets(message, descriptors);
    descriptors.forEach(closeDescriptor);
    switch (message?.kind) {
      case "hello":
        return this.#onHello(message.protocol);
      case "settings":
        server.settings = message.settings;
        return;
      case "network":
        this.#mentioned?.networks.add(message.network.id);
        return server.zones.putNetwork(message.network);
      case "network-gone":
        return server.zones.removeNetwork(message.id);
      case "endpoint":
        this.#mentioned?.endpoints.add(endpointKey(message.endpoint.network, message.endpoint.container));
        return server.zones.putEndpoint(message.endpoint);
      case "endpoint-gone":
        return server.zones.removeEndpoint(message.network, message.container);
      case "sandbox":
        this.#mentioned?.sandboxes.add(message.sandbox.id);
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
        return this.#onSynced();
      case "explain": {
        const { request, sandbox, query } = message;
        return server.explain(
          sandbox,
          Buffer.from(query, "base64"),
          (explanation) => void this.#tell({ kind: "explained", request, explanation }),
        );
      }
      case "report":
        return this.#report(message.request);
      case "flush":
        return this.#flush(message);
      case "drain":
        return this.#drain();
      case "stop":
        return this.identity.stop();
      case undefined: // of a daemon of another version
        return;
    }
  }

  /** The channel stays open: its end tells the daemon that this server has ended. */
  #drain(): void {
    if (this.#draining) return;
    this.server.forgetDaemon();
    this.#draining = true;
    this.server.drain(this.identity.stop);
  }

  #onHello(protocol: number): void {
    this.#tell({
      kind: "hello",
      protocol: PROTOCOL,
      version: this.identity.version,
      pid: process.pid,
      sandboxes: this.server.sandboxes.size,
    });
    if (protocol === PROTOCOL) {
      this.#mentioned = new Mentioned();
      this.#silentTurns ??= 0;
    }
    for (const [id, { sockets }] of this.server.sandboxes)
      if (sockets)
        this.#tell({ kind: "held", sandbox: id, port: sockets.port }, [sockets.pidfd, sockets.udp, sockets.tcp]);
    this.#tell({ kind: "held-all" });
  }

  #onRelease(id: string): void {
    const sandbox = this.server.sandboxes.get(id);
    if (sandbox) this.server.release(sandbox);
    this.#tell({ kind: "releasing", sandbox: id });
  }

  #onClose(id: string): void {
    const sandbox = this.server.sandboxes.get(id);
    if (sandbox) this.server.close(sandbox);
    else this.#tell({ kind: "released", sandbox: id });
  }

  #onSockets(message: ToServer & { kind: "sockets" }, descriptors: number[]): void {
    const [pidfd, udp, tcp, bridge, ...forwarding] = descriptors;
    const sandbox = this.server.sandboxes.get(message.sandbox);
    const isWhole =
      pidfd !== undefined &&
      udp !== undefined &&
      tcp !== undefined &&
      bridge !== undefined &&
      forwarding.length === message.udp + message.tcp;
    if (!isWhole || !sandbox || sandbox.sockets) return descriptors.forEach(closeDescriptor);
    this.server.giveSockets(message.sandbox, { pidfd, udp, tcp, bridge, port: message.port });
    this.#addForwarding(message, forwarding);
    if (this.#synced) this.server.serve(sandbox);
  }

  #onMoreSockets(message: ToServer & { kind: "more-sockets" }, descriptors: number[]): void {
    const isWhole = descriptors.length === message.udp + message.tcp;
    if (isWhole && this.server.sandboxes.get(message.sandbox)?.sockets) this.#addForwarding(message, descriptors);
    else descriptors.forEach(closeDescriptor);
  }

  #report(request: number): void {
    const reports = this.server.sandboxReports();
    const channel = this.#channel;
    const go = () => {
      if (!channel || channel !== this.#channel) return;
      const sandboxes: SandboxReport[] = [];
      for (let next = reports.next(); next.value; next = reports.next()) if (sandboxes.push(next.value) >= slice) break;
      const more = sandboxes.length === slice;
      this.#tell({ kind: "reported", request, report: this.server.report(sandboxes, more), ...(more && { more }) });
      if (more) this.reactor.poller.soon(go);
    };
    go();
  }

  /** A name that cannot be one in DNS has no answers. */
  #flush({ request, name }: ToServer & { kind: "flush" }): void {
    const key = name === undefined ? undefined : keyOfText(name);
    const answers = name !== undefined && key === undefined ? 0 : this.server.flush(key);
    this.#tell({ kind: "flushed", request, answers });
  }

  #addForwarding(
    { sandbox, family = "ipv4", udp }: { sandbox: string; family?: Family; udp: number },
    descriptors: number[],
  ): void {
    this.server.addForwardingSockets(sandbox, family, descriptors.slice(0, udp), descriptors.slice(udp));
  }

  /** What the daemon did not mention is gone. From here on the table is complete, and what can be served is. */
  #onSynced(): void {
    const mentioned = this.#mentioned;
    this.#mentioned = undefined;
    this.#synced = true;
    if (mentioned) this.#sweep(mentioned);
    this.#applyGap();
    this.server.serveAll();
  }

  #sweep(mentioned: Mentioned): void {
    const { zones, sandboxes } = this.server;
    for (const sandbox of [...sandboxes.values()])
      if (!mentioned.sandboxes.has(sandbox.record.id)) this.server.drop(sandbox);
    for (const [id, network] of [...zones.networks]) {
      if (!mentioned.networks.has(id)) zones.removeNetwork(id);
      else
        for (const container of [...network.endpoints.keys()])
          if (!mentioned.endpoints.has(endpointKey(id, container))) zones.removeEndpoint(id, container);
    }
  }

  #flushLogSoon(): void {
    const { log } = this.server;
    this.reactor.wheel.in(logEvery, () => {
      log.flush((queries, dropped) => this.#channel?.sendOrDrop({ kind: "log", queries, dropped }) ?? false);
      if (log.isWaiting) this.#flushLogSoon(); // that some were lost is still to be told
    });
  }
}

function endpointKey(network: string, container: string): string {
  return `${network} ${container}`;
}
