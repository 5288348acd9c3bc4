// The handshake is written out here byte for byte: daemons and servers of other versions depend on them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { receivePacket, sendPacket } from "../linux/packet-connection.js";
import { bindUnix, closeDescriptor, connectUnix, listenSocket, packetSocket } from "../linux/socket.js";
import { TestLoop } from "../linux/testing/loop.js";
import { Control } from "./control.js";
import { DnsServer } from "./server.js";
import { PROTOCOL } from "./protocol.js";
import { giveSandbox } from "./testing/served-sandbox.js";

t.test(
  "a server hands back what it holds to a daemon of any version, and drains when told to",
  { skip: process.getuid!() === 0 ? false : "needs root" },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const [loop, listener, daemon, stopped] = [new TestLoop(), packetSocket(), packetSocket(), { times: 0 }];
    const nobody = { wantSockets: () => false, ended: () => {}, released: () => {}, answering: () => {} };
    const server = new DnsServer(loop, nobody);
    const control = new Control(server, { version: "1.2.3", stop: () => stopped.times++ });
    bindUnix(listener, join(folder, "dns.sock"));
    listenSocket(listener, 1);
    control.listen(listener);
    connectUnix(daemon, join(folder, "dns.sock"));
    const port = giveSandbox(server, "c0ffee");

    const heard: { text: string; descriptors: number }[] = [];
    const hear = () => {
      for (
        let packet = receivePacket(daemon);
        packet !== undefined && packet !== "closed";
        packet = receivePacket(daemon)
      ) {
        heard.push({ text: packet.bytes.toString(), descriptors: packet.descriptors.length });
        packet.descriptors.forEach(closeDescriptor);
      }
      return heard.at(-1)?.text === '{"kind":"held-all"}';
    };
    const held = [
      {
        text: `{"kind":"hello","protocol":${PROTOCOL},"version":"1.2.3","pid":${process.pid},"sandboxes":1}`,
        descriptors: 0,
      },
      { text: `{"kind":"held","sandbox":"c0ffee","port":${port}}`, descriptors: 3 },
      { text: '{"kind":"held-all"}', descriptors: 0 },
    ];
    sendPacket(daemon, Buffer.from('{"kind":"hello","protocol":4711,"version":"0"}'));
    await loop.until("it says what it holds", hear);
    t.same(heard.splice(0), held);

    sendPacket(daemon, Buffer.from('{"kind":"of another time","with":[1]}'), [daemon]);
    sendPacket(daemon, Buffer.from('{"kind":"hello","protocol":4711,"version":"0"}'));
    await loop.until("it says so once more", hear);
    t.same(heard.splice(0), held, "what it does not understand it ignores");

    t.equal(stopped.times, 0);
    sendPacket(daemon, Buffer.from('{"kind":"drain"}'));
    await loop.until("it ends, having nothing to finish", () => stopped.times === 1);
    for (const sandbox of [...server.sandboxes.values()]) server.drop(sandbox);
    [listener, daemon].forEach(closeDescriptor);
  },
);
