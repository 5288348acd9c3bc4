// Plays pontoon-proxy where only its dealings with shims matter: `shims-child.js FOLDER` listens on FOLDER/proxy.sock,
// serves what it is handed through Node's own sockets, and writes a line for each event. SIGUSR2 releases every port.
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { mkdirSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { NodePoller } from "../../src/linux/node-poller.js";
import { DeadlineWheel } from "../../src/linux/wheel.js";
import { bindUnix, listenSocket, packetSocket } from "../../src/linux/socket.js";
import type { Publication } from "../../proxy/publication.js";
import { Shims } from "../../proxy/shims.js";

const [folder, keepTime] = process.argv.slice(2);
const say = (line: string) => process.stdout.write(`${line}\n`);
const open = new Map<string, Server | DatagramSocket>();

function openPublication(publication: Publication, descriptor: number): void {
  const { id, protocol, listen } = publication;
  const target = publication.target!;
  open.set(id, protocol === "tcp" ? serveTcp(publication, descriptor) : serveUdp(publication, descriptor));
  say(`open ${protocol} ${listen.ip} ${listen.port} ${target.ip} ${target.port}`);
}

function serveTcp(publication: Publication, fd: number): Server {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const target = publication.target!;
    const container = connect({ host: target.ip, port: target.port, allowHalfOpen: true });
    client.on("error", () => container.destroy()).pipe(container);
    container.on("error", () => client.destroy()).pipe(client);
  });
  return server.listen({ fd });
}

function serveUdp({ target: to, listen }: Publication, fd: number): DatagramSocket {
  const target = to!;
  const family = listen.ip.includes(":") ? "udp6" : "udp4";
  const socket = createSocket({ type: family, ipv6Only: true });
  socket.on("message", (bytes, from) => {
    const container = createSocket(target.ip.includes(":") ? "udp6" : "udp4");
    container.on("message", (reply) => socket.send(reply, from.port, from.address, () => container.close()));
    container.send(bytes, target.port, target.ip);
  });
  socket.bind({ fd });
  return socket;
}

function closePublication(id: string): void {
  const found = open.get(id);
  if (!open.delete(id)) return;
  found!.close();
  say(`close ${id}`);
}

const loop = new NodePoller();
const wheel = new DeadlineWheel();
setInterval(() => wheel.turn(), 20);
const shims = new Shims(loop.poller, wheel, { open: openPublication, close: closePublication }, { keepTime: Number(keepTime ?? 60_000), onDeclined: (reason) => say(`no ${reason}`) });
const listener = packetSocket();
const path = `${folder}/proxy.sock`;
mkdirSync(folder!, { recursive: true });
rmSync(path, { force: true });
bindUnix(listener, path);
listenSocket(listener, 512);
shims.listen(listener);
loop.start();
process.on("SIGUSR2", () => shims.release("pontoon leaves"));
say(`ready ${process.pid}`);
