import dnsPacket, { type Answer } from "dns-packet";
import fc from "fast-check";
import t from "tap";
import { rotations } from "./rotation.js";

const name = "web.example";
const a = (data: string, owner = name): Answer => ({ type: "A", name: owner, ttl: 60, data });
const aaaa = (data: string): Answer => ({ type: "AAAA", name, ttl: 60, data });

function packet(answers: Answer[], additionals: Answer[] = []): { reply: Buffer; end: number } {
  const questions = [{ type: "A" as const, name }];
  const end = dnsPacket.encode({ type: "query", questions }).length;
  return { reply: dnsPacket.encode({ type: "response", questions, answers, additionals }), end };
}

function orders({ reply, end }: { reply: Buffer; end: number }): string[][] {
  return rotations(reply, end).map((each) =>
    dnsPacket.decode(each).answers!.map((answer) => String((answer as { data: unknown }).data)),
  );
}

t.test("addresses are given out in turn, each first once", (t) => {
  t.same(orders(packet([a("10.0.0.1"), a("10.0.0.2"), a("10.0.0.3")])), [
    ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    ["10.0.0.2", "10.0.0.3", "10.0.0.1"],
    ["10.0.0.3", "10.0.0.1", "10.0.0.2"],
  ]);
  t.same(orders(packet([aaaa("fd00::1"), aaaa("fd00::2")])), [
    ["fd00::1", "fd00::2"],
    ["fd00::2", "fd00::1"],
  ]);
  t.same(orders(packet([a("10.0.0.1")])), [["10.0.0.1"]]);
  t.same(orders(packet([])), [[]]);
  t.end();
});

t.test("an alias stays in front of its addresses, and another owner's stay its own", (t) => {
  const chain: Answer[] = [
    { type: "CNAME", name, ttl: 60, data: "cdn.example" },
    a("10.0.0.1", "cdn.example"),
    a("10.0.0.2", "cdn.example"),
  ];
  t.same(orders(packet(chain)), [
    ["cdn.example", "10.0.0.1", "10.0.0.2"],
    ["cdn.example", "10.0.0.2", "10.0.0.1"],
  ]);
  t.same(orders(packet([a("10.0.0.1"), a("10.0.0.2", "other.example")])), [["10.0.0.1", "10.0.0.2"]]);
  t.same(orders(packet([a("10.0.0.1"), aaaa("fd00::1")])), [["10.0.0.1", "fd00::1"]]);
  t.same(
    orders(packet([{ type: "MX", name, ttl: 60, data: { preference: 10, exchange: "a" } }])).length,
    1,
    "no other type",
  );
  t.end();
});

t.test("a name that goes on within an address ends in every order, or the order is not used", (t) => {
  const { reply, end } = packet([a("192.0.2.0"), a("192.0.2.7"), a("192.0.2.8", "x")]);
  const lastOfFirst = reply.indexOf(Buffer.from([192, 0, 2, 0])) + 3; // the root's name, by chance
  const third = reply.lastIndexOf(Buffer.from([1, "x".charCodeAt(0), 0]));
  const pointed = Buffer.concat([
    reply.subarray(0, third),
    Buffer.from([0xc0 | (lastOfFirst >> 8), lastOfFirst & 0xff]),
    reply.subarray(third + 3),
  ]);
  t.equal(rotations(reply, end).length, 2);
  t.same(rotations(pointed, end), [pointed]);
  t.end();
});

t.test("nothing but the order changes, whatever the reply", (t) => {
  const address = fc.ipV4().map((data) => a(data));
  fc.assert(
    fc.property(fc.array(address, { maxLength: 40 }), fc.array(address, { maxLength: 3 }), (answers, additionals) => {
      const { reply, end } = packet(answers, additionals);
      const all = rotations(reply, end);
      const sorted = (each: Buffer) =>
        dnsPacket
          .decode(each)
          .answers!.map((answer) => String((answer as { data: unknown }).data))
          .sort()
          .join();
      return (
        all.length <= 16 &&
        all[0] === reply &&
        all.every((each) => each.length === reply.length && sorted(each) === sorted(reply)) &&
        new Set(all.map((each) => each.toString("latin1"))).size <= all.length
      );
    }),
  );
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 12, maxLength: 200 }),
      (bytes) => rotations(Buffer.from(bytes), 12).length >= 1,
    ),
  );
  t.end();
});
