import fc from "fast-check";
import t from "tap";
import { arpAnnouncement, arpProbe, tellsOfOther } from "./arp.js";

const [mac, other] = ["02:00:00:00:00:09", "02:00:00:00:00:08"];
const ip = "10.0.0.9";

t.test("a probe claims nothing, an announcement does", (t) => {
  const start = "0001080006040001" + "020000000009";
  t.equal(arpProbe(mac, ip).toString("hex"), start + "00000000" + "000000000000" + "0a000009");
  t.equal(arpAnnouncement(mac, ip).toString("hex"), start + "0a000009" + "000000000000" + "0a000009");
  t.end();
});

t.test("who has an address, or is about to take it", (t) => {
  const reply = arpAnnouncement(other, ip);
  reply[7] = 2;
  t.ok(tellsOfOther(reply, mac, ip), "it answers");
  t.ok(tellsOfOther(arpAnnouncement(other, ip), mac, ip), "it says so to all");
  t.ok(tellsOfOther(arpProbe(other, ip), mac, ip), "it probes, too");
  t.notOk(tellsOfOther(arpProbe(mac, ip), mac, ip), "our own");
  t.notOk(tellsOfOther(arpProbe(other, "10.0.0.8"), mac, ip));
  const asking = arpAnnouncement(other, "10.0.0.8");
  Buffer.from([10, 0, 0, 9]).copy(asking, 24);
  t.notOk(tellsOfOther(asking, mac, ip), "it only looks for whoever has it");
  t.notOk(tellsOfOther(reply.subarray(0, 27), mac, ip));
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      (bytes) => typeof tellsOfOther(Buffer.from(bytes), mac, ip) === "boolean",
    ),
  );
  t.end();
});
