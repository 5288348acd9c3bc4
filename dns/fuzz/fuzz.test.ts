import { randomInt } from "node:crypto";
import t from "tap";
import { goodQuery, goodReply } from "./corpus.js";
import { Harness } from "./harness.js";
import { mutate } from "./mutate.js";
import { faultOf } from "./oracle.js";
import { Random } from "./random.js";

const rounds = 30_000;

t.test("spoilt queries and replies", (t) => {
  const seed = randomInt(2 ** 31);
  t.comment(`seed ${seed}`);
  const harness = new Harness(seed);
  t.teardown(() => harness.close());
  for (let round = 0; round < rounds; round++) harness.run(round);
  const { ignored, refused, decided, asked, believed, disbelieved } = harness.tally;
  for (const [what, count] of Object.entries({ ignored, refused, decided, asked, believed, disbelieved }))
    t.ok(count > rounds / 50, `${what}: ${count}`);
  t.equal(ignored + refused + decided + asked, rounds);
  t.end();
});

t.test("the same seed does the same, from any round on", (t) => {
  const messages = (from: number, to: number) => {
    const made: Buffer[] = [];
    for (let round = from; round < to; round++) {
      const random = Random.of(7, round);
      const query = goodQuery(random);
      made.push(mutate(random, query, goodReply(random, query, query.length)));
    }
    return made;
  };
  const all = messages(0, 200);
  t.same(messages(100, 200), all.slice(100));
  t.ok(new Set(all.map((message) => message.toString("hex"))).size > 190);
  t.ok(
    all.some(({ length }) => length === 0) || messages(200, 2000).some(({ length }) => length === 0),
    "nothing at all is a message, too",
  );
  t.ok(messages(0, 2000).some(({ length }) => length > 60_000));
  t.end();
});

t.test("a reply that is not right is seen to be none", (t) => {
  const random = new Random(1);
  const query = Buffer.from("beef01000001000000000000037765620000010001", "hex");
  const address = Buffer.from("c00c0001000100000005000a".replace("000a", "0004") + "0a010002", "hex");
  const reply = Buffer.concat([query, address]);
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(1, 6);
  const changed = (at: number, value: number) => {
    const copy = Buffer.from(reply);
    copy.writeUInt16BE(value, at);
    return copy;
  };
  t.equal(faultOf(query, reply, 512), undefined);
  t.equal(faultOf(query, undefined, 512), "a query without a reply");
  t.equal(faultOf(reply, reply, 512), "a reply to something that is not a query");
  t.equal(faultOf(query, reply, 30), "37 bytes, of 30 allowed");
  t.equal(faultOf(query, changed(0, 0xdead), 512), "another id");
  t.equal(faultOf(query, changed(2, 0x0180), 512), "not a reply");
  t.equal(faultOf(query, changed(2, 0xa180), 512), "another opcode");
  t.equal(faultOf(query, changed(13, 0x7565), 512), "another question");
  t.equal(faultOf(query, changed(17, 0x001c), 512), "another question");
  t.equal(faultOf(query, changed(4, 2), 512), "2 questions");
  t.equal(faultOf(query, changed(6, 2), 512), "record 1: a name goes on behind the message");
  t.equal(faultOf(query, changed(6, 0), 512), "16 bytes behind the last record");
  t.equal(faultOf(query, changed(21, 0xc015), 512), "record 0: a name without end");
  t.equal(faultOf(query, changed(31, 5), 512), "the data of record 0 is cut off");
  t.equal(faultOf(query, changed(4, 0), 512), "rcode 0 without a question");
  t.ok(faultOf(query, random.bytes(40), 512) !== undefined);
  t.end();
});
