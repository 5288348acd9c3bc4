import { once } from "node:events";
import { connect, type Socket } from "node:net";
import dnsPacket from "dns-packet";
import { bindSocket, closeDescriptor, listenSocket, localAddress, tcpSocket } from "../../linux/socket.js";
import type { SandboxRecord, Upstream } from "../protocol.js";
import { QueryLog } from "../serve/query-log.js";
import { Resolver } from "../resolve/resolve.js";
import type { Sandbox } from "../sandbox.js";
import type { ConnectionLimits } from "../serve/tcp-limits.js";
import { TcpService } from "../serve/tcp-service.js";
import { ForwarderBench } from "./forwarder.js";
import { framed, type TestLike } from "./upstream.js";

/** TCP served to sandboxes on ports of 127.0.0.1. Each knows `web` (one address) and `wide` (250 addresses). */
export class ServiceBench {
  readonly forwarder: ForwarderBench;
  readonly resolver: Resolver;
  readonly tcp: TcpService;
  readonly #ports = new Map<Sandbox, number>();

  constructor(
    private readonly t: TestLike,
    limits?: ConnectionLimits,
  ) {
    this.forwarder = new ForwarderBench(t);
    const { loop, zones } = this.forwarder;
    this.resolver = new Resolver(loop.timers, this.forwarder.forwarder);
    this.resolver.gap = { everywhere: false, networks: [] };
    this.tcp = new TcpService(
      { poller: loop.poller, timers: loop.timers, resolver: this.resolver, log: new QueryLog() },
      limits,
    );
    zones.putNetwork({ source: "docker", id: "front", name: "front", shared: false });
    for (let index = 0; index < 250; index++)
      zones.putEndpoint({
        source: "docker",
        network: "front",
        container: `c${index}`,
        names: index === 0 ? ["web", "wide"] : ["wide"],
        ipv4: `10.1.0.${index}`,
        ipv6: undefined,
        ports: [],
        ttl: 5,
      });
  }

  /** A sandbox that is served over TCP. */
  serve(id: string, upstreams: readonly Upstream[] = [], given: Partial<SandboxRecord> = {}): Sandbox {
    const sandbox = this.forwarder.sandbox(id, upstreams, { networks: [{ id: "front", links: [] }], ...given });
    const listener = tcpSocket();
    bindSocket(listener, { ip: "127.0.0.1", port: 0 });
    listenSocket(listener, 512);
    this.tcp.serve(sandbox, listener);
    this.#ports.set(sandbox, localAddress(listener).port);
    sandbox.closeAtEnd({ close: () => closeDescriptor(listener) }); // after it is watched no more
    return sandbox;
  }

  /** A client's connection that the service has accepted, or refused. */
  async connect(sandbox: Sandbox): Promise<StreamClient> {
    const socket = connect(this.#ports.get(sandbox)!, "127.0.0.1");
    const connected = once(socket, "connect");
    const { tcpConnections, refused } = sandbox.counters;
    await this.until(
      "the connection is taken",
      () => sandbox.counters.tcpConnections > tcpConnections || sandbox.counters.refused > refused,
    );
    await connected;
    const client = new StreamClient(socket);
    this.t.teardown(() => socket.destroy());
    return client;
  }

  until(what: string, holds: () => boolean): Promise<void> {
    return this.forwarder.loop.until(what, holds);
  }
}

/** What a client of TCP sees. */
export class StreamClient {
  /** Whole messages, in the order they came. */
  readonly replies: Buffer[] = [];
  /** The server has closed the connection, in good order or not. */
  closed = false;
  #incoming = Buffer.alloc(0);

  constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", () => (this.closed = true));
    for (const event of ["end", "close"]) socket.on(event, () => (this.closed = true));
  }

  /** Sends queries in one write. */
  ask(...queries: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(queries.map(framed)));
  }

  get ids(): number[] {
    return this.replies.map((reply) => reply.readUInt16BE(0));
  }

  #read(chunk: Buffer): void {
    this.#incoming = Buffer.concat([this.#incoming, chunk]);
    while (this.#incoming.length >= 2 && this.#incoming.length >= 2 + this.#incoming.readUInt16BE(0)) {
      const end = 2 + this.#incoming.readUInt16BE(0);
      this.replies.push(this.#incoming.subarray(2, end));
      this.#incoming = this.#incoming.subarray(end);
    }
  }
}

/** A query for addresses, under an id. */
export function ask(id: number, name = "web"): Buffer {
  return dnsPacket.encode({ type: "query", id, flags: dnsPacket.RECURSION_DESIRED, questions: [{ name, type: "A" }] });
}
