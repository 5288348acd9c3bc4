// A client of TCP and UDP services somewhere in a host, steered by requests.
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { errorCode } from "../../common/errors.js";
import { answerRequests } from "./helper-child.js";

export interface Place {
  readonly ip: string;
  readonly port: number;
}

export type ClientRequest =
  /** Sends a text over TCP, closes its direction, and reads to the end. */
  | ({ readonly kind: "talk"; readonly text: string } & Place)
  /** Keeps a TCP connection open; answered with its number. */
  | ({ readonly kind: "connect" } & Place)
  /** Sends a text over a kept connection and waits until as many bytes have come back. */
  | { readonly kind: "say"; readonly connection: number; readonly text: string }
  /** How a kept connection is: `open`, `ended`, or the code of what broke it. */
  | { readonly kind: "state"; readonly connection: number }
  | { readonly kind: "hang-up"; readonly connection: number }
  /** Sends `size` bytes over UDP from a port that stays the same, and waits for what comes back. */
  | ({ readonly kind: "datagram"; readonly from: number; readonly size: number; readonly waitMs: number } & Place)
  /** Talks again and again until told to stop. */
  | ({ readonly kind: "knock" } & Place)
  | { readonly kind: "knocked" }
  /** Holds a port; answered with "" or with why it cannot. */
  | ({ readonly kind: "occupy"; readonly protocol: "tcp" | "udp" } & Place)
  | { readonly kind: "vacate" };

export interface DatagramReply {
  /** Bytes that came back; -1 when none did in time. */
  readonly size: number;
  /** All but the bytes that were sent: what the service put in front. */
  readonly front: string;
  readonly from: string;
  /** What the kernel said instead. */
  readonly error: string;
}

/** Outcomes of attempts: `ok`, or codes of errors, and how often. */
export type Tally = Record<string, number>;

const connections = new Map<number, { socket: Socket; received: number; state: string }>();
const datagramSockets = new Map<string, DatagramSocket>();
const occupied: { close(): unknown }[] = [];
let lastConnection = 0;
let knocking: Promise<Tally> | undefined;
let stopKnocking = false;

/** @returns what came back, or the code of an error */
function talk({ ip, port }: Place, text: string): Promise<{ answer: string; error: string }> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(port, ip, () => socket.end(text));
    socket.setEncoding("latin1").on("data", (chunk: string) => (answer += chunk));
    socket.setTimeout(20_000, () => socket.destroy(Object.assign(new Error("late"), { code: "LATE" })));
    socket.on("error", (error) => resolve({ answer, error: errorCode(error) ?? error.message }));
    socket.on("end", () => resolve({ answer, error: "" }));
  });
}

async function keep({ ip, port }: Place): Promise<number> {
  const socket = connect(port, ip);
  await once(socket, "connect");
  const entry = { socket, received: 0, state: "open" };
  socket.on("data", (bytes: Buffer) => (entry.received += bytes.length));
  socket.on("error", (error) => (entry.state = errorCode(error) ?? error.message));
  socket.on("end", () => (entry.state = "ended"));
  connections.set(++lastConnection, entry);
  return lastConnection;
}

async function say(connection: number, text: string): Promise<string> {
  const entry = connections.get(connection)!;
  const wanted = entry.received + text.length;
  entry.socket.write(text);
  for (let waited = 0; waited < 10_000 && entry.state === "open" && entry.received < wanted; waited += 5)
    await new Promise((resolve) => setTimeout(resolve, 5));
  return entry.received >= wanted ? "heard" : entry.state;
}

/** Connected, as most clients are, so that it hears nobody else, and what the kernel says. */
async function datagramSocket({ ip, port }: Place, from: number): Promise<DatagramSocket> {
  const key = `${from} ${ip} ${port}`;
  const known = datagramSockets.get(key);
  if (known) return known;
  const socket = createSocket({ type: ip.includes(":") ? "udp6" : "udp4", ipv6Only: ip.includes(":") });
  datagramSockets.set(key, socket);
  socket.bind(from);
  await once(socket, "listening");
  socket.connect(port, ip);
  await once(socket, "connect");
  socket.setSendBufferSize(1 << 20);
  socket.setRecvBufferSize(1 << 20);
  return socket;
}

async function datagram(place: Place, from: number, size: number, waitMs: number): Promise<DatagramReply> {
  const socket = await datagramSocket(place, from);
  const sent = Buffer.alloc(size, "x");
  const nothing = { size: -1, front: "", from: "" };
  return new Promise((resolve) => {
    const timer = setTimeout(() => done({ ...nothing, error: "" }), waitMs);
    const onMessage = (bytes: Buffer, { address, port }: { address: string; port: number }) => {
      const end = bytes.subarray(-size);
      done({
        size: bytes.length,
        front: bytes.subarray(0, -size).toString(),
        from: `${address} ${port}`,
        error: end.equals(sent) ? "" : "GARBLED",
      });
    };
    const onError = (error: Error) => done({ ...nothing, error: errorCode(error) ?? error.message });
    const done = (reply: DatagramReply) => {
      clearTimeout(timer);
      socket
        .off("message", onMessage)
        .off("error", onError)
        .on("error", () => {});
      resolve(reply);
    };
    socket.removeAllListeners("error").on("message", onMessage).on("error", onError);
    socket.send(sent, (error) => error && onError(error));
  });
}

async function knock(place: Place): Promise<Tally> {
  const tally: Tally = {};
  for (let round = 0; !stopKnocking; round++) {
    const { answer, error } = await talk(place, `${round}`);
    const outcome = error !== "" ? error : answer.endsWith(`${round}`) ? "ok" : "cut";
    tally[outcome] = (tally[outcome] ?? 0) + 1;
  }
  return tally;
}

function occupy(protocol: "tcp" | "udp", { ip, port }: Place): Promise<string> {
  return new Promise((resolve) => {
    const socket =
      protocol === "tcp"
        ? createServer()
        : createSocket({ type: ip.includes(":") ? "udp6" : "udp4", ipv6Only: ip.includes(":") });
    socket.on("error", (error: Error) => resolve(errorCode(error) ?? error.message));
    socket.on("listening", () => {
      occupied.push(socket);
      resolve("");
    });
    if ("listen" in socket) socket.listen({ host: ip, port, ipv6Only: true, exclusive: true });
    else socket.bind({ address: ip, port, exclusive: true });
  });
}

async function vacate(): Promise<void> {
  for (const socket of occupied.splice(0))
    await new Promise<void>((resolve) => socket.close.call(socket, ...([() => resolve()] as unknown as [])));
}

async function handle(request: ClientRequest): Promise<unknown> {
  switch (request.kind) {
    case "talk":
      return talk(request, request.text);
    case "connect":
      return keep(request);
    case "say":
      return say(request.connection, request.text);
    case "state":
      return connections.get(request.connection)!.state;
    case "hang-up":
      return void connections.get(request.connection)!.socket.destroy();
    case "datagram":
      return datagram(request, request.from, request.size, request.waitMs);
    case "knock":
      stopKnocking = false;
      knocking = knock(request);
      return;
    case "knocked":
      stopKnocking = true;
      return knocking;
    case "occupy":
      return occupy(request.protocol, request);
    case "vacate":
      return vacate();
  }
}

answerRequests(handle);
