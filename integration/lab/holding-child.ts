// Runs in the network namespace of a container and holds connections to its resolver in every way that costs the other
// end something. Ends when all of them have been closed.
import { connect, type Socket } from "node:net";
import { encodeQuery } from "./dns-message.js";

const idle = 150;
const halfSent = 30;
const neverRead = 30;

let open = idle + halfSent + neverRead;
const query = framed(encodeQuery("quiet", "A"));
// What pontoon refuses takes as long to send as what it answers, and 3,000 replies are more than both ends buffer.
const many = Buffer.concat(Array.from({ length: 3000 }, () => framed(encodeQuery("quiet", "ANY", { edns: {} }))));

for (let index = 0; index < neverRead; index++) hold().pause().write(many);
for (let index = 0; index < halfSent; index++) {
  const socket = hold();
  let sent = 0;
  setInterval(() => socket.writable && socket.write(query.subarray(sent, ++sent)), 700);
}
for (let index = 0; index < idle; index++) hold();

function hold(): Socket {
  const socket = connect(53, "127.0.0.11");
  let closed = false;
  const onClosed = () => {
    if (closed) return;
    closed = true;
    socket.destroy();
    if (--open > 0) return;
    process.stdout.write("all closed\n", () => process.exit());
  };
  for (const event of ["end", "error", "close"]) socket.on(event, onClosed);
  // A socket that is not read does not see the end; only a write tells.
  const probe = setInterval(
    () => (closed ? clearInterval(probe) : socket.isPaused() && socket.write(Buffer.alloc(1))),
    1000,
  );
  return socket;
}

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
