import dnsPacket from "dns-packet";
import t from "tap";
import { endOfPlainName } from "../wire/query.js";
import { ask, ServiceBench, type StreamClient } from "../testing/service.js";
import { FakeUpstream, replyTo } from "../testing/upstream.js";

/** The query as far as its question, which {@link replyTo} puts records behind. */
function withoutOpt(query: Buffer): Buffer {
  const plain = Buffer.from(query.subarray(0, endOfPlainName(query, 12, query.length)! + 4));
  plain.writeUInt16BE(0, 10);
  return plain;
}

/** Lets time pass, too. */
async function answer(bench: ServiceBench, client: StreamClient): Promise<string | undefined> {
  const { loop } = bench.forwarder;
  let turns = 0;
  await loop.until("an answer", () => {
    if (++turns % 50 === 0) loop.pass(100);
    return client.replies.length > 0;
  });
  return (dnsPacket.decode(client.replies[0]!) as { rcode?: string }).rcode;
}

const overTcp = {
  onTcp: ({ query, reply }: { query: Buffer; reply: (bytes: Buffer) => Promise<void> }) =>
    void reply(replyTo(withoutOpt(query))),
};

t.test("what a client asks over TCP is asked over TCP: UDP may be blocked or lossy on the way", async (t) => {
  const bench = new ServiceBench(t);
  const fake = await FakeUpstream.start(t, overTcp); // silent over UDP
  const client = await bench.connect(bench.serve("a", [fake.upstream]));
  client.ask(ask(1, "example.com"));
  t.equal(await answer(bench, client), "NOERROR");
});

for (const type of ["AXFR", "IXFR"] as const)
  t.test(`${type} is asked over TCP only`, async (t) => {
    const bench = new ServiceBench(t);
    const fake = await FakeUpstream.start(t, {
      ...overTcp,
      onUdp: ({ query, reply }) => void reply(replyTo(withoutOpt(query), { rcode: 1 })),
    });
    const client = await bench.connect(bench.serve("a", [fake.upstream]));
    client.ask(
      dnsPacket.encode({
        type: "query",
        id: 1,
        flags: dnsPacket.RECURSION_DESIRED,
        questions: [{ name: "example.com", type }],
      }),
    );
    t.equal(await answer(bench, client), "NOERROR");
    t.same(
      fake.received.map(({ transport }) => transport),
      ["tcp"],
    );
  });

t.test("a question of class CHAOS goes to the upstream as it is, and is not taken for one of class IN", async (t) => {
  const bench = new ServiceBench(t);
  const fake = await FakeUpstream.start(t, { onUdp: ({ query, reply }) => void reply(replyTo(withoutOpt(query))) });
  const client = await bench.connect(bench.serve("a", [fake.upstream]));
  client.ask(
    dnsPacket.encode({
      type: "query",
      id: 1,
      flags: dnsPacket.RECURSION_DESIRED,
      questions: [{ name: "id.server", type: "TXT", class: "CH" }],
    }),
  );
  t.equal(await answer(bench, client), "NOERROR");
  t.equal(fake.received[0]?.query.readUInt16BE(12 + "id.server".length + 2 + 2), 3, "class CH");
});
