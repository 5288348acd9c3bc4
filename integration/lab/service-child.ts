// A service for containers, which run it with the machine's own files: it echoes over TCP (port 80) and UDP (port 53), of
// both families, and begins with its name if it has one. Argument: the name.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const name = process.argv[2] ?? "";

createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {}); // a client that resets
  socket.write(name);
  socket.pipe(socket);
}).listen(80);

const echo = createSocket("udp6");
echo.on("message", (bytes, { port, address }) => echo.send(Buffer.concat([Buffer.from(name), bytes]), port, address));
echo.bind(53);
