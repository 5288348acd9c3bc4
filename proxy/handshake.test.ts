// The handshake is written out here byte for byte: daemons and servers of other versions depend on them.
import t from "tap";
import { receivePacket, sendPacket } from "../linux/packet-connection.js";
import { closeDescriptor, connectUnix, packetSocket } from "../linux/socket.js";
import { PROTOCOL } from "./protocol.js";
import { ProxyProcess } from "./testing/process.js";
import { until } from "./testing/proxy.js";

t.test(
  "a proxy hands back what it holds to a daemon of any version, and drains when told to",
  { skip: process.getuid!() === 0 ? false : "needs root" },
  async (t) => {
    const proxy = new ProxyProcess(t);
    const before = await proxy.daemon();
    const target = { ip: "127.0.0.1", port: 9 };
    const listen = await before.open(target, { drainMs: 5 }, { id: "tcp 127.0.0.1 80" });

    const daemon = packetSocket();
    connectUnix(daemon, proxy.path);
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
    const publication =
      `{"id":"tcp 127.0.0.1 80","protocol":"tcp","listen":{"ip":"127.0.0.1","port":${listen.port}},` +
      '"target":{"ip":"127.0.0.1","port":9},"options":{"drainMs":5}}';
    const held = [
      { text: `{"kind":"hello","protocol":${PROTOCOL},"version":"test","pid":${proxy.child.pid}}`, descriptors: 0 },
      { text: `{"kind":"held","publication":${publication}}`, descriptors: 1 },
      { text: '{"kind":"held-all"}', descriptors: 0 },
    ];
    sendPacket(daemon, Buffer.from('{"kind":"hello","protocol":4711,"version":"0"}'));
    await until("it says what it holds", hear);
    t.same(heard.splice(0), held);

    sendPacket(daemon, Buffer.from('{"kind":"of another time","with":[1]}'), [daemon]);
    sendPacket(daemon, Buffer.from('{"kind":"hello","protocol":4711,"version":"0"}'));
    await until("it says so once more", hear);
    t.same(heard.splice(0), held, "what it does not understand it ignores");

    sendPacket(daemon, Buffer.from('{"kind":"drain"}'));
    await until("it ends, having nothing to finish", () => proxy.exitCode !== undefined);
    t.equal(proxy.exitCode, 0);
    closeDescriptor(daemon);
  },
);
