import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import dnsPacket from "dns-packet";
import { encodeIPv4 } from "../../common/address.js";
import { errorCode } from "../../common/errors.js";
import type { Upstream } from "../protocol.js";

/** A query as the fake upstream got it. */
export interface Received {
  readonly query: Buffer;
  /** Of the client. */
  readonly port: number;
  readonly transport: "udp" | "tcp";
  /** Sends bytes back, framed over TCP; resolves when they are with the client's kernel. */
  readonly reply: (bytes: Buffer) => Promise<void>;
}

export interface FakeUpstreamOptions {
  onUdp?: (received: Received) => void;
  /** The connection, for what framed replies cannot say. */
  onTcp?: (received: Received, connection: Socket) => void;
}

export interface TestLike {
  teardown(work: () => unknown): void;
}

/** A DNS server on 127.0.0.1 that does what the test says, over UDP and TCP on one port. Keeps what it was asked. */
export class FakeUpstream {
  readonly received: Received[] = [];
  readonly upstream: Upstream;
  readonly #connections = new Set<Socket>();

  private constructor(
    readonly udp: DatagramSocket,
    private readonly tcp: Server,
    options: FakeUpstreamOptions,
  ) {
    this.upstream = { ip: "127.0.0.1", port: udp.address().port, from: "host" };
    udp.on("message", (query, { port }) => {
      const received: Received = { query, port, transport: "udp", reply: (bytes) => this.sendTo(port, bytes) };
      this.received.push(received);
      options.onUdp?.(received);
    });
    tcp.on("connection", (connection) => this.#serve(connection, options));
  }

  static async start(t: TestLike, options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
    for (;;) {
      const tcp = createServer().listen(0, "127.0.0.1");
      await once(tcp, "listening");
      const udp = createSocket("udp4").bind((tcp.address() as { port: number }).port, "127.0.0.1");
      try {
        await once(udp, "listening");
      } catch (error) {
        tcp.close();
        if (errorCode(error) === "EADDRINUSE") continue; // the port was free for TCP only
        throw error;
      }
      const fake = new FakeUpstream(udp, tcp, options);
      t.teardown(() => fake.close());
      return fake;
    }
  }

  /** Sends a datagram from the server's port. */
  sendTo(port: number, bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) =>
      this.udp.send(bytes, port, "127.0.0.1", (error) => (error ? reject(error) : resolve())),
    );
  }

  /** Nobody listens there for TCP from now on. */
  refuseTcp(): void {
    this.tcp.close();
  }

  close(): void {
    for (const connection of this.#connections) connection.destroy();
    this.tcp.close();
    this.udp.close();
  }

  #serve(connection: Socket, options: FakeUpstreamOptions): void {
    this.#connections.add(connection);
    connection.on("close", () => this.#connections.delete(connection));
    connection.on("error", () => connection.destroy());
    let incoming = Buffer.alloc(0);
    connection.on("data", (chunk: Buffer) => {
      incoming = Buffer.concat([incoming, chunk]);
      while (incoming.length >= 2 && incoming.length >= 2 + incoming.readUInt16BE(0)) {
        const query = incoming.subarray(2, 2 + incoming.readUInt16BE(0));
        incoming = incoming.subarray(2 + query.length);
        const reply = (bytes: Buffer) =>
          new Promise<void>((resolve) => connection.write(framed(bytes), () => resolve()));
        const received: Received = { query, port: connection.remotePort ?? 0, transport: "tcp", reply };
        this.received.push(received);
        options.onTcp?.(received, connection);
      }
    });
  }
}

/** A port on 127.0.0.1 where nobody listens: datagrams to it are refused by ICMP, connections by reset. */
export async function deadUpstream(): Promise<Upstream> {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return { ip: "127.0.0.1", port, from: "host" };
}

export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** A query for an address, and where its question ends. */
export function queryFor(name: string): { query: Buffer; questionEnd: number } {
  const query = dnsPacket.encode({
    type: "query",
    id: 0x4242,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type: "A" }],
  });
  return { query, questionEnd: query.length };
}

export interface ReplyShape {
  rcode?: number;
  truncated?: boolean;
  ip?: string;
}

/** A reply to a query, with one address where all is well. */
export function replyTo(query: Buffer, { rcode = 0, truncated = false, ip = "10.0.0.1" }: ReplyShape = {}): Buffer {
  const hasAnswer = rcode === 0 && !truncated;
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...encodeIPv4(ip)]);
  const reply = hasAnswer ? Buffer.concat([query, record]) : Buffer.from(query);
  reply.writeUInt16BE(0x8180 | (truncated ? 0x0200 : 0) | rcode, 2);
  reply.writeUInt16BE(hasAnswer ? 1 : 0, 6);
  return reply;
}

/** The first address in a reply. */
export function addressIn(reply: Buffer): string | undefined {
  const answer = dnsPacket.decode(reply).answers?.[0];
  return answer?.type === "A" ? answer.data : undefined;
}
