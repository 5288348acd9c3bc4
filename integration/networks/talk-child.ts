// Runs in some network namespace, serves there and asks others.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { answerRequests } from "../lab/helper-child.js";

export type Transport = "tcp" | "udp";

export interface Target {
  readonly transport: Transport;
  readonly ip: string;
  readonly port: number;
  /** An address of the asking side. */
  readonly from?: string;
  readonly fromPort?: number;
}

export type TalkRequest =
  /** Answers at these ports, TCP and UDP, with a name and with whom it sees. */
  | { readonly kind: "serve"; readonly name: string; readonly ports: readonly number[] }
  /** Is answered with what the target says; with "" when nothing comes. */
  | { readonly kind: "ask"; readonly target: Target; readonly patience: number };

const askAgainAfter = 200; // ms; a datagram may be lost

answerRequests<TalkRequest, string>(async (request) => {
  if (request.kind === "ask")
    return request.target.transport === "tcp"
      ? askStream(request.target, request.patience)
      : askDatagram(request.target, request.patience);
  for (const port of request.ports) await serve(request.name, port);
  return "";
});

async function serve(name: string, port: number): Promise<void> {
  const seen = (address = "") => `${name} ${address.replace(/^::ffff:/, "")}`;
  const server = createServer((socket) => socket.on("error", () => undefined).end(seen(socket.remoteAddress)));
  await once(server.listen(port), "listening");
  for (const type of ["udp4", "udp6"] as const) {
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    socket.on("message", (_, from) => socket.send(seen(from.address), from.port, from.address, () => undefined));
    await once(socket.bind(port), "listening");
  }
}

function askStream({ ip, port, from, fromPort }: Target, patience: number): Promise<string> {
  const socket = connect({
    host: ip,
    port,
    ...(from !== undefined && { localAddress: from }),
    ...(fromPort !== undefined && { localPort: fromPort }),
  });
  return new Promise((resolve) => {
    let heard = "";
    const late = setTimeout(() => socket.destroy(), patience);
    socket.on("data", (bytes) => (heard += bytes.toString()));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(late);
      resolve(heard);
    });
  });
}

async function askDatagram({ ip, port, from, fromPort }: Target, patience: number): Promise<string> {
  const socket = createSocket(ip.includes(":") ? "udp6" : "udp4").on("error", () => undefined);
  if (from !== undefined || fromPort !== undefined)
    await once(socket.bind(fromPort ?? 0, from ?? (ip.includes(":") ? "::" : "0.0.0.0")), "listening");
  const ask = () => socket.send("who am I?", port, ip, () => undefined);
  const again = setInterval(ask, askAgainAfter);
  ask();
  const heard = await new Promise<string>((resolve) => {
    const late = setTimeout(() => resolve(""), patience);
    socket.on("message", (bytes) => {
      clearTimeout(late);
      resolve(bytes.toString());
    });
  });
  clearInterval(again);
  socket.close();
  return heard;
}
