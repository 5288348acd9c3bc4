// A DNS server that answers with spoilt replies over UDP and TCP, in the network namespace it is started in.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { goodReply } from "../../dns/fuzz/corpus.js";
import { mutate } from "../../dns/fuzz/mutate.js";
import { Random } from "../../dns/fuzz/random.js";

/** Names below `true` are answered truly, with lies about other names beside the truth. */
const [address = "", seed = "0"] = process.argv.slice(2);
const truth = [192, 0, 2, 1];
const forged = [192, 0, 2, 66];
let round = 0;

const udp = createSocket("udp4", (query, from) => {
  const reply = answer(query, "udp");
  if (reply) udp.send(reply.subarray(0, 60_000), from.port, from.address);
});
const tcp = createServer((connection) => {
  let incoming = Buffer.alloc(0);
  connection.on("error", () => connection.destroy());
  connection.on("data", (chunk) => {
    incoming = Buffer.concat([incoming, chunk]);
    if (incoming.length < 2 || incoming.length < 2 + incoming.readUInt16BE(0)) return;
    const reply = answer(incoming.subarray(2), "tcp")?.subarray(0, 65_535);
    if (!reply) return connection.destroy();
    const random = Random.of(Number(seed), ++round);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(random.oneIn(10) ? random.below(65_536) : reply.length);
    connection.end(Buffer.concat([length, reply]));
  });
});
udp.bind(53, address, () => tcp.listen(53, address));

function answer(query: Buffer, transport: "udp" | "tcp"): Buffer | undefined {
  const random = Random.of(Number(seed), ++round);
  const questionEnd = endOfQuestion(query);
  if (questionEnd > query.length) return undefined;
  if (query.indexOf("\x04true\0", 12, "latin1") > 0) return withForgery(query, questionEnd);
  if (random.oneIn(50)) return undefined;
  const good = goodReply(random, query, questionEnd);
  const reply = Buffer.from(random.oneIn(4) ? good : mutate(random, good, goodReply(random, query, questionEnd)));
  if (reply.length >= 12 && !random.oneIn(3)) {
    good.copy(reply, 0, 0, random.oneIn(2) ? 6 : 12);
    query.copy(reply, 12, 12, Math.min(questionEnd, reply.length));
  }
  if (transport === "udp" && reply.length >= 12 && random.oneIn(20)) reply[2]! |= 0x02;
  return reply;
}

/** With or without EDNS behind it: a server that answers nonsense is asked without. */
function endOfQuestion(query: Buffer): number {
  let end = 12;
  while (end < query.length && query[end] !== 0) end += 1 + query[end]!;
  return end + 5;
}

/** The truth about the name asked for, and a lie about another that nobody asked for. */
function withForgery(query: Buffer, questionEnd: number): Buffer {
  const own = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...truth]);
  const other = Buffer.from([
    4,
    ...Buffer.from("bank"),
    4,
    ...Buffer.from("true"),
    0,
    0,
    1,
    0,
    1,
    0,
    0,
    0,
    60,
    0,
    4,
    ...forged,
  ]);
  const header = Buffer.alloc(12);
  [query.readUInt16BE(0), 0x8180, 1, 1, 1, 1].forEach((value, index) => header.writeUInt16BE(value, 2 * index));
  return Buffer.concat([header, query.subarray(12, questionEnd), own, other, other]);
}
