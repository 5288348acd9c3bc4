import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { SocketAddress } from "../../common/address.js";
import { SO_REUSEADDR, SOL_SOCKET } from "../../linux/constants.js";
import { Reactor } from "../../linux/reactor.js";
import { bindSocket, listenSocket, localAddress, setOption, tcpSocket, udpSocket } from "../../linux/socket.js";
import { noBulkTaker, type BulkTaker } from "../tcp/bulk.js";
import { Dialer } from "../dial/dial.js";
import { DescriptorWaiters } from "../tcp/descriptor-waiters.js";
import { Pipes } from "../tcp/pipes.js";
import type { Protocol, PublicationOptions } from "../publication/publication.js";
import { Publications } from "../publications.js";
import type { PublicationReport } from "../publication/relay.js";
import { SourcePorts } from "../dial/source-ports.js";

export interface TestLike {
  teardown(work: () => unknown): void;
}

const patience = 60_000; // ms; only a broken test waits that long

/** Waits until something holds, while the loops go on. @param what for the error, should it never */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + patience;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A proxy in the test's own process, with real sockets over loopback. */
export class TestProxy {
  readonly reactor = new Reactor();
  readonly descriptorWaiters = new DescriptorWaiters(this.reactor.poller, this.reactor.timers);
  readonly pipes: Pipes;
  readonly sourcePorts = new SourcePorts();
  /** Targets that no source port was left for. */
  readonly short: SocketAddress[] = [];
  readonly publications: Publications;

  constructor(
    t: TestLike,
    options: {
      bulk?: (reactor: Reactor) => BulkTaker;
      pipeBytes?: number;
      connectionsAtMost?: number;
      onFailedDials?: (publication: string, reason: string) => void;
    } = {},
  ) {
    this.pipes = new Pipes(options.pipeBytes ?? 8 << 20);
    const { poller, timers: timers } = this.reactor;
    const bulk = options.bulk?.(this.reactor) ?? noBulkTaker;
    this.publications = new Publications({
      poller,
      timers: timers,
      pipes: this.pipes,
      dialer: new Dialer(),
      descriptorWaiters: this.descriptorWaiters,
      bulk,
      sourcePorts: this.sourcePorts,
      onNoSourcePort: (_, target) => this.short.push(target),
      connectionsAtMost: options.connectionsAtMost ?? 10_000,
      ...(options.onFailedDials && { onFailedDials: options.onFailedDials }),
    });
    this.reactor.start();
    t.teardown(async () => {
      let idle = false;
      this.publications.closeAll(() => (idle = true));
      await until("the proxy is idle", () => idle);
      this.reactor.stop();
    });
  }

  /** Publishes a target on a free port of an address. @returns where */
  open(
    target: SocketAddress,
    options: PublicationOptions = {},
    { id = "web", protocol = "tcp", ip = "127.0.0.1" }: { id?: string; protocol?: Protocol; ip?: string } = {},
  ): SocketAddress {
    const fd = listener(protocol, { ip, port: 0 });
    const listen = localAddress(fd);
    this.publications.open({ id, protocol, listen, target, options: { drainMs: 0, ...options } }, fd);
    return listen;
  }

  report(id = "web"): PublicationReport {
    const found = [...this.publications.reports()].find((report) => report.id === id);
    if (!found) throw new Error(`no publication ${id}`);
    return found;
  }
}

export function listener(protocol: Protocol, address: SocketAddress): number {
  const family = address.ip.includes(":") ? "ipv6" : "ipv4";
  const fd = protocol === "tcp" ? tcpSocket(family) : udpSocket(family);
  if (protocol === "tcp") setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"); // as everybody does who publishes a port
  bindSocket(fd, address);
  if (protocol === "tcp") listenSocket(fd, 512);
  return fd;
}

/** A server that does what the test says with each connection. */
export class TestServer {
  readonly connections: Socket[] = [];

  private constructor(readonly server: Server) {}

  static async start(
    t: TestLike,
    onConnection: (socket: Socket) => void = () => undefined,
    ip = "127.0.0.1",
  ): Promise<TestServer> {
    const server = createServer({ allowHalfOpen: true });
    const started = new TestServer(server);
    server.on("connection", (socket) => {
      started.connections.push(socket);
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    server.listen(0, ip);
    await once(server, "listening");
    t.teardown(() => {
      for (const socket of started.connections) socket.destroy();
      server.close();
    });
    return started;
  }

  get address(): SocketAddress {
    const { address, port } = this.server.address() as AddressInfo;
    return { ip: address, port };
  }
}

/** A client's connection, with all it has received. */
export class TestClient {
  received = Buffer.alloc(0);
  ended = false;
  error: string | undefined;
  closed = false;

  constructor(
    t: TestLike,
    readonly socket: Socket,
  ) {
    socket.on("data", (bytes) => (this.received = Buffer.concat([this.received, bytes])));
    socket.on("end", () => (this.ended = true));
    socket.on("error", (error) => (this.error = (error as NodeJS.ErrnoException).code));
    socket.on("close", () => (this.closed = true));
    t.teardown(() => socket.destroy());
  }

  static to(t: TestLike, { ip, port }: SocketAddress): TestClient {
    return new TestClient(t, connect({ host: ip, port, allowHalfOpen: true, noDelay: true }));
  }

  get text(): string {
    return this.received.toString("latin1");
  }
}
