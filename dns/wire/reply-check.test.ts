import dnsPacket from "dns-packet";
import fc from "fast-check";
import t from "tap";
import { answerCount, isReplyTo, isTruncated, rcodeOf } from "./reply-check.js";

const query = dnsPacket.encode({
  type: "query",
  id: 0x1234,
  flags: dnsPacket.RECURSION_DESIRED,
  questions: [{ name: "Db-1.Red_2.example", type: "AAAA" }],
});
const questionEnd = query.length;

function replyTo(message: Buffer): Buffer {
  const reply = Buffer.concat([message, Buffer.from("c00c001c0001000000050000", "hex")]);
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(1, 6);
  return reply;
}
const reply = replyTo(query);
const flipped = (at: number, bit: number) => {
  const copy = Buffer.from(reply);
  copy[at] = copy[at]! ^ (1 << bit);
  return copy;
};
const isLetter = (byte: number) => /[A-Za-z]/.test(String.fromCharCode(byte));

t.test("a reply to the query is one", (t) => {
  t.equal(isReplyTo(reply, query, questionEnd), true);
  const empty = Buffer.from(reply.subarray(0, questionEnd));
  empty.fill(0, 6, 12);
  t.equal(isReplyTo(empty, query, questionEnd), true, "without records too");
  t.equal(
    isReplyTo(reply.subarray(0, reply.length - 1), query, questionEnd),
    false,
    "but not when records it promises are cut off",
  );
  const truncated = Buffer.from(reply.subarray(0, questionEnd));
  truncated.writeUInt16BE(truncated.readUInt16BE(2) | 0x0200, 2);
  t.equal(isReplyTo(truncated, query, questionEnd), true, "unless it says so itself");
  t.end();
});

t.test("one changed bit in id or question makes it another's, unless it is the case of a letter", (t) => {
  let accepted = 0;
  for (const at of [0, 1, 4, 5, ...Array.from({ length: questionEnd - 12 }, (_, index) => 12 + index)]) {
    for (let bit = 0; bit < 8; bit++) {
      const isCaseOfLetter = bit === 5 && at >= 12 && at < questionEnd - 5 && isLetter(reply[at]!);
      const verdict = isReplyTo(flipped(at, bit), query, questionEnd);
      if (verdict !== isCaseOfLetter) t.fail(`bit ${bit} of byte ${at}: ${verdict}`);
      if (verdict) accepted++;
    }
  }
  t.equal(accepted, "DbRedexample".length);
  t.end();
});

t.test("the same query and spelling as anybody may write it is accepted", (t) => {
  const holds = () =>
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: query.length, maxLength: query.length }), (flips) => {
        const copy = Buffer.from(reply);
        flips.forEach((flip, index) => {
          if (flip && index >= 12 && index < questionEnd - 5 && isLetter(copy[index]!))
            copy[index] = copy[index]! ^ 0x20;
        });
        return isReplyTo(copy, query, questionEnd);
      }),
    );
  t.doesNotThrow(holds);
  t.end();
});

t.test("what is not a reply, or answers another kind of message, is refused", (t) => {
  t.equal(isReplyTo(query, query, questionEnd), false, "the query itself");
  t.equal(isReplyTo(flipped(2, 3), query, questionEnd), false, "another opcode");
  t.equal(isReplyTo(reply.subarray(0, questionEnd - 1), query, questionEnd), false, "cut off inside its question");
  t.equal(isReplyTo(Buffer.alloc(0), query, questionEnd), false, "nothing");
  t.equal(isReplyTo(reply.subarray(0, 1), query, questionEnd), false, "one byte");
  t.end();
});

t.test("random bytes are not a reply, and do not throw", (t) => {
  const holds = () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => !isReplyTo(Buffer.from(bytes), query, questionEnd)),
    );
  t.doesNotThrow(holds);
  t.end();
});

t.test("the header is read", (t) => {
  const header = Buffer.from("123485830001000700000000", "hex");
  t.equal(rcodeOf(header), 3);
  t.equal(answerCount(header), 7);
  t.equal(isTruncated(header), false);
  header.writeUInt16BE(0x8380, 2);
  t.equal(isTruncated(header), true);
  t.end();
});

t.test("a bare header is a reply only where it is an error", (t) => {
  const bare = (rcode: number, given: (header: Buffer) => void = () => undefined) => {
    const header = Buffer.from(query.subarray(0, 12)).fill(0, 4);
    header.writeUInt16BE(0x8100 | rcode, 2);
    given(header);
    return header;
  };
  for (const rcode of [1, 2, 4, 5]) t.equal(isReplyTo(bare(rcode), query, questionEnd), true, `rcode ${rcode}`);
  for (const rcode of [0, 3, 6, 15]) t.equal(isReplyTo(bare(rcode), query, questionEnd), false, `rcode ${rcode}`);
  t.equal(
    isReplyTo(
      bare(2, (header) => (header[0]! ^= 1)),
      query,
      questionEnd,
    ),
    false,
    "another id",
  );
  t.equal(
    isReplyTo(
      bare(2, (header) => header.writeUInt16BE(1, 4)),
      query,
      questionEnd,
    ),
    false,
    "it promises a question",
  );
  t.equal(
    isReplyTo(
      bare(2, (header) => header.writeUInt16BE(0x0102, 2)),
      query,
      questionEnd,
    ),
    false,
    "a query",
  );
  t.equal(isReplyTo(Buffer.concat([bare(2), Buffer.alloc(1)]), query, questionEnd), false);
  t.end();
});
