// Runs in a container and sends back what it gets: `echo-child.js tcp:80 udp:53 tcp:20000-20009`.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

for (const word of process.argv.slice(2)) {
  const [, protocol, first, last] = /^(tcp|udp):(\d+)(?:-(\d+))?$/.exec(word)!;
  const echo = protocol === "tcp" ? echoStreams : echoDatagrams;
  for (let port = Number(first); port <= Number(last ?? first); port++) echo(port);
}

function echoStreams(port: number): void {
  createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => undefined).pipe(socket)).listen({
    port,
    backlog: 1024,
  });
}

function echoDatagrams(port: number): void {
  const socket = createSocket("udp4").on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
  socket.bind(port);
}
