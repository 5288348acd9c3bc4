import t from "tap";
import { bandwidthText, parseBandwidth, requireHostEnd, requireRate } from "./bandwidth.js";
import { networkRecord } from "./testing/records.js";

const both = (toSandbox: number, fromSandbox: number) => ({
  toSandbox: { rate: toSandbox },
  fromSandbox: { rate: fromSandbox },
});

t.test("one rate is for both ways, two are to the sandbox and from it", (t) => {
  t.same(parseBandwidth("10mbit"), both(10e6, 10e6));
  t.same(parseBandwidth("10mbit/1mbit"), both(10e6, 1e6));
  t.same(parseBandwidth("8000bit/1.5Gbit"), both(8000, 1.5e9));
  t.same(parseBandwidth("8kbit/unlimited"), { toSandbox: { rate: 8000 } });
  t.same(parseBandwidth("unlimited/1099gbit"), { fromSandbox: { rate: 1099e9 } });
  t.same(parseBandwidth("8000.9bit"), both(8000, 8000));
  t.end();
});

t.test("what means bytes, or nothing, or too little, or too much, is refused with what is known", (t) => {
  const words = /write a number and one of bit, kbit, mbit, gbit \(bits a second\), or unlimited: 10mbit for both ways/;
  for (const text of [
    "",
    "10",
    "10M",
    "10mb",
    "10kbps",
    "10mbps",
    "10mibit",
    "1e3mbit",
    "-1mbit",
    "+5mbit",
    " 5mbit",
    "5 mbit",
    "mbit",
    ".5mbit",
    "0x9mbit",
    "5constructor",
    "٥mbit",
  ])
    t.throws(() => parseBandwidth(text), { code: "BANDWIDTH_INVALID", message: words }, text);
  const bounds = /is out of bounds; a rate is 8kbit to 1099511627776bit/;
  for (const text of ["7999bit", "0mbit", "1mbit/0bit", "1100gbit", "9999999999999gbit"])
    t.throws(() => parseBandwidth(text), { code: "BANDWIDTH_INVALID", message: bounds }, text);
  t.throws(() => parseBandwidth("1mbit/2mbit/3mbit"), { message: /more than two rates/ });
  for (const text of ["unlimited", "unlimited/unlimited"])
    t.throws(() => parseBandwidth(text), { message: /limits nothing; leave it out/ });
  t.throws(() => parseBandwidth("1".repeat(10_000)), { code: "BANDWIDTH_INVALID", message: /^.{1,400}$/ });
  for (const rate of [0, 7999, Infinity, NaN, 2 ** 41])
    t.throws(() => requireRate(rate, "ingressRate"), { code: "BANDWIDTH_INVALID" });
  t.end();
});

t.test("it is written as it can be read again", (t) => {
  for (const text of ["10mbit", "10mbit/1mbit", "unlimited/8kbit", "1500kbit/unlimited", "8001bit/1gbit"])
    t.equal(bandwidthText(parseBandwidth(text)), text);
  t.equal(bandwidthText(parseBandwidth("1.5gbit/1000kbit")), "1500mbit/1mbit");
  t.end();
});

t.test("links without an end on the host cannot be limited", (t) => {
  const network = networkRecord(1);
  requireHostEnd(network);
  const lan = {
    child: { kind: "macvlan", mode: "bridge" },
    parent: "eth0",
    hostAddresses: [],
    needsAddress: true,
  } as const;
  t.throws(() => requireHostEnd({ ...network, lan }), {
    code: "BANDWIDTH_UNFIT",
    message: /links on eth0 have no end/,
  });
  t.throws(() => requireHostEnd({ ...network, pair: true }), { code: "BANDWIDTH_UNFIT", message: /of a pair/ });
  t.end();
});
