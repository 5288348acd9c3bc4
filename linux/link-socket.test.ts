import t from "tap";
import { broadcastMac, LinkSocket, linkProtocols, macBytes, macText } from "./link-socket.js";
import { changeLink } from "./netlink/rtnetlink/links.js";
import { Rtnetlink } from "./netlink/rtnetlink/rtnetlink.js";
import { insideNewNamespace } from "./netns.js";

const root = process.getuid?.() === 0 ? {} : { skip: "needs root" };
const loopback = 1;
const nowhere = "00:00:00:00:00:00";

function onLoopback<Result>(work: () => Result): Result {
  return insideNewNamespace(() => {
    const rtnetlink = new Rtnetlink();
    try {
      rtnetlink.request(changeLink("lo", { isUp: true }));
      return work();
    } finally {
      rtnetlink.close();
    }
  });
}

t.test("packets of a link", root, (t) => {
  // Takes what begins with 0x45: ldb [0]; jeq #0x45; ret #0xffff; ret #0
  const filter = [
    [0x30, 0, 0, 0],
    [0x15, 0, 1, 0x45],
    [0x06, 0, 0, 0xffff],
    [0x06, 0, 0, 0],
  ] as const;
  const { one, other, arp } = onLoopback(() => ({
    one: new LinkSocket(loopback, linkProtocols.ipv4, filter),
    other: new LinkSocket(loopback, linkProtocols.ipv4),
    arp: new LinkSocket(loopback, linkProtocols.arp),
  }));
  t.equal(one.receive(), undefined, "nothing yet");
  for (const text of ["46000000", "45ffff"]) other.send(Buffer.from(text, "hex"), nowhere);
  t.match(one.receive(), { mac: nowhere, lacksChecksum: false, bytes: Buffer.from("45ffff", "hex") });
  t.equal(one.receive(), undefined, "what the filter does not take");
  t.same([other.receive()?.bytes[0], other.receive()?.bytes[0], other.receive()], [0x46, 0x45, undefined]);
  other.send(Buffer.alloc(4000, 0x45), nowhere);
  t.equal(one.receive()?.bytes.length, 2048, "no more than there is room for");
  arp.send(Buffer.from("00", "hex"), broadcastMac);
  t.equal(one.receive(), undefined, "another protocol");
  for (const socket of [one, other, arp]) socket.close();
  t.end();
});

t.test("a link that is not there, or down", root, (t) => {
  t.throws(() => insideNewNamespace(() => new LinkSocket(77, linkProtocols.ipv4)), { code: "ENODEV" });
  const down = insideNewNamespace(() => new LinkSocket(loopback, linkProtocols.ipv4));
  t.throws(() => down.send(Buffer.from("45", "hex"), nowhere), { code: "ENETDOWN" });
  down.close();
  t.end();
});

t.test("MAC addresses", (t) => {
  t.equal(macText(macBytes("02:42:0a:59:00:02")), "02:42:0a:59:00:02");
  t.end();
});
