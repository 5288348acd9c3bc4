// A DNS server that answers as a test's script says, and remembers what it was asked.
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";
import { decode } from "dns-packet";
import { readEdns, readFlags } from "./dns-message.js";
import { answerRequests } from "./helper-child.js";
import { emptyScript, replies, type SeenQuery, type UpstreamScript } from "./upstream-script.js";

/** What a test can tell an upstream. */
export type UpstreamRequest =
  | { do: "listen"; address: string; port: number }
  | { do: "close" }
  | { do: "follow"; script: UpstreamScript }
  | { do: "recall" }
  | { do: "forget" };

let script = emptyScript();
let seen: SeenQuery[] = [];
let udp: UdpSocket | undefined;
let elsewhere: UdpSocket | undefined;
let tcp: Server | undefined;
const connections = new Set<TcpSocket>();

answerRequests(async (request: UpstreamRequest): Promise<SeenQuery[]> => {
  switch (request.do) {
    case "listen":
      await listen(request.address, request.port);
      break;
    case "close":
      await close();
      break;
    case "follow":
      script = request.script;
      break;
    case "recall":
      return seen;
    case "forget":
      seen = [];
  }
  return [];
});

async function listen(address: string, port: number): Promise<void> {
  const family = address.includes(":") ? "udp6" : "udp4";
  udp = createSocket(family, onDatagram);
  elsewhere = createSocket(family);
  tcp = createServer(onConnection);
  udp.bind(port, address);
  elsewhere.bind(0, address);
  tcp.listen(port, address);
  await Promise.all([udp, elsewhere, tcp].map((server) => once(server, "listening")));
}

async function close(): Promise<void> {
  const servers = [udp, elsewhere, tcp].filter((server) => server !== undefined);
  udp = elsewhere = tcp = undefined;
  for (const connection of connections) connection.destroy();
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
}

function onDatagram(query: Buffer, from: RemoteInfo): void {
  if (!remember(query, "udp", from.address, from.port)) return;
  setTimeout(() => {
    for (const { bytes, fromElsewhere } of replies(script, query, "udp"))
      (fromElsewhere ? elsewhere : udp)?.send(bytes, from.port, from.address);
  }, script.delayMs);
}

function onConnection(connection: TcpSocket): void {
  let received = Buffer.alloc(0);
  connections.add(connection);
  connection.on("close", () => connections.delete(connection));
  connection.on("error", () => connection.destroy()); // a client may hang up as it likes
  connection.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      onStreamQuery(connection, received.subarray(2, end));
      received = received.subarray(end);
    }
  });
}

function onStreamQuery(connection: TcpSocket, query: Buffer): void {
  if (!remember(query, "tcp", connection.remoteAddress!, connection.remotePort!)) return;
  setTimeout(() => {
    for (const { bytes } of replies(script, query, "tcp")) {
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(bytes.length);
      connection.write(Buffer.concat([prefix, bytes]));
    }
  }, script.delayMs);
}

/** Notes a query; returns whether it is one. */
function remember(bytes: Buffer, transport: "udp" | "tcp", from: string, fromPort: number): boolean {
  const packet = decodeOrNothing(bytes);
  const question = packet?.questions?.[0];
  seen.push({
    id: bytes.length >= 2 ? bytes.readUInt16BE(0) : 0,
    name: question?.name ?? "",
    type: question?.type ?? "malformed",
    transport,
    from,
    fromPort,
    at: Date.now(),
    flags: readFlags(bytes.length >= 4 ? bytes : Buffer.alloc(4)),
    edns: readEdns(packet?.additionals),
  });
  return question !== undefined;
}

function decodeOrNothing(bytes: Buffer): ReturnType<typeof decode> | undefined {
  try {
    return decode(bytes);
  } catch {
    return undefined; // noted as malformed
  }
}
