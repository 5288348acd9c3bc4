// Runs in the network namespace of a container and sends its resolver what a test wants it to withstand.
// The request is its argument, in JSON; the report is its output.
import { connect } from "node:net";
import { DatagramBurst } from "./burst.js";
import { EPOLLIN } from "../../linux/constants.js";
import { Poller } from "../../linux/poller.js";
import { connectSocket, receiveBytes, udpSocket, WOULD_BLOCK } from "../../linux/socket.js";
import { goodQuery } from "../../dns/fuzz/corpus.js";
import { mutate } from "../../dns/fuzz/mutate.js";
import { faultOf } from "../../dns/fuzz/oracle.js";
import { Random } from "../../dns/fuzz/random.js";
import { encodeQuery } from "./dns-message.js";

/** Spoilt messages to send; `from` and `count` number them, `seed` makes them. */
export interface HostileRequest {
  transport: "udp" | "tcp";
  server: string;
  port: number;
  seed: number;
  from: number;
  count: number;
  /** A name that is asked for in between, and what its answer ends with. */
  goodName: string;
  goodAddress: string;
}

/** How it went. */
export interface HostileReport {
  sent: number;
  replies: number;
  /** Good queries in between, the tries they took beyond the first, and those without an answer. */
  good: number;
  retries: number;
  unanswered: number;
  /** Of replies, and of good queries: the first few. */
  faults: string[];
}

/** Different messages; each is sent again under other ids until there are enough. */
const differentAtMost = 60_000;
const inBurst = 64;
const burstsUnderWay = 4;
const retryAfter = 1000; // ms, as dig waits
const triesAtMost = 5;
const faultsAtMost = 5;
const largestReply = 4096;
/** Queries under one id that a reply may still come for: it may take four seconds. */
const sameIdAtMost = 32;

function messagesOf({ seed, from, count }: HostileRequest): Buffer[] {
  return Array.from({ length: Math.min(count, differentAtMost) }, (_, index) => {
    const random = Random.of(seed, from + index);
    return Buffer.from(mutate(random, goodQuery(random), goodQuery(random)));
  });
}

/** Bursts of spoilt queries, each with a good one behind it; there is no more on the way than the server's buffer holds. */
class DatagramAttack {
  readonly #report: HostileReport = { sent: 0, replies: 0, good: 0, retries: 0, unanswered: 0, faults: [] };
  readonly #fd = udpSocket();
  readonly #poller = new Poller();
  readonly #burst = new DatagramBurst(inBurst + 1, 65_507);
  /** Spoilt queries by their ids, the last ones as indexes of messages: what a reply may be to. */
  readonly #asked = new Map<number, number[]>();
  readonly #messages: readonly Buffer[];
  readonly #waiting = new Map<number, { query: Buffer; sentAt: number; tries: number }>();
  readonly #scratch = Buffer.from(new ArrayBuffer(65_536));
  #lastGood = 0;

  constructor(private readonly request: HostileRequest) {
    this.#messages = messagesOf(request);
    connectSocket(this.#fd, { ip: request.server, port: request.port });
    this.#poller.watch(this.#fd, EPOLLIN, () => this.#receive());
  }

  async run(): Promise<HostileReport> {
    const random = new Random(this.request.seed);
    while (this.#report.sent < this.request.count) {
      for (let index = 0; index < inBurst; index++) this.#add(this.#report.sent++ % this.#messages.length, random);
      this.#askGood();
      this.#burst.send(this.#fd);
      await this.#settle(burstsUnderWay);
    }
    await this.#settle(1);
    return this.#report;
  }

  #add(index: number, random: Random): void {
    const message = this.#messages[index]!;
    if (message.length >= 2) {
      // Even ids; the odd ones are those of good queries.
      const id = random.below(32_768) * 2;
      message.writeUInt16BE(id, 0);
      const same = this.#asked.get(id) ?? [];
      this.#asked.set(id, same);
      if (same.push(index) > sameIdAtMost) same.shift();
    }
    this.#burst.add(message);
  }

  #askGood(): void {
    const query = encodeQuery(this.request.goodName, "A");
    this.#lastGood = (this.#lastGood + 2) & 0xffff;
    query.writeUInt16BE(this.#lastGood | 1, 0);
    this.#waiting.set(this.#lastGood | 1, { query, sentAt: performance.now(), tries: 1 });
    this.#report.good++;
    this.#burst.add(query);
  }

  /** Waits until fewer good queries are without an answer. */
  async #settle(below: number): Promise<void> {
    for (let turn = 0; this.#waiting.size >= below; turn++) {
      this.#poller.dispatch(20);
      if (turn % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
      for (const [id, each] of this.#waiting) this.#askAgain(id, each);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  #askAgain(id: number, each: { query: Buffer; sentAt: number; tries: number }): void {
    if (performance.now() - each.sentAt < retryAfter) return;
    if (each.tries === triesAtMost) {
      this.#waiting.delete(id);
      this.#report.unanswered++;
      return;
    }
    each.tries++;
    each.sentAt = performance.now();
    this.#report.retries++;
    this.#burst.add(each.query);
    this.#burst.send(this.#fd);
  }

  #receive(): void {
    for (;;) {
      const length = receiveBytes(this.#fd, this.#scratch);
      if (length === WOULD_BLOCK) return;
      this.#report.replies++;
      this.#judge(this.#scratch.subarray(0, length));
    }
  }

  #judge(reply: Buffer): void {
    const id = reply.length >= 2 ? reply.readUInt16BE(0) : 0;
    const good = this.#waiting.get(id);
    if (id & 1) {
      this.#waiting.delete(id);
      if (good && !isGood(reply, this.request.goodAddress))
        note(this.#report, `not the answer to ${this.request.goodName}: ${reply.toString("hex")}`);
      return;
    }
    const faults: string[] = [];
    for (const index of [...(this.#asked.get(id) ?? [])].reverse()) {
      const query = Buffer.from(this.#messages[index]!.subarray(0, 512)); // its header and question
      query.writeUInt16BE(id, 0);
      const fault = faultOf(query, reply, largestReply);
      if (fault === undefined) return;
      faults.push(fault);
    }
    note(this.#report, `${faults.join(", ") || "a reply to nothing"}: ${reply.toString("hex")}`);
  }
}

const connectionsAtOnce = 16;
const framesOfConnection = 40;

/** Spoilt queries in frames, some with a length that lies; each connection ends with a good query on one of its own. */
async function attackStreams(request: HostileRequest): Promise<HostileReport> {
  const report: HostileReport = { sent: 0, replies: 0, good: 0, retries: 0, unanswered: 0, faults: [] };
  const messages = messagesOf(request);
  const random = new Random(request.seed);
  const attack = async (): Promise<void> => {
    while (report.sent < request.count) {
      const frames = Array.from({ length: framesOfConnection }, () =>
        frame(random, messages[report.sent++ % messages.length]!),
      );
      await exchange(request, Buffer.concat(frames), random.oneIn(4) ? "reset" : "end");
      report.good++;
      const good = encodeQuery(request.goodName, "A");
      const reply = (await exchange(request, framed(good), "end")).subarray(2);
      if (reply.length === 0) report.unanswered++;
      else if (faultOf(good, reply, 65_535) !== undefined || !isGood(reply, request.goodAddress))
        note(report, `not the answer to ${request.goodName}: ${reply.toString("hex")}`);
      else report.replies++;
    }
  };
  await Promise.all(Array.from({ length: connectionsAtOnce }, attack));
  return report;
}

/** Sends bytes, and returns what comes until the server ends the connection. */
function exchange({ server, port }: HostileRequest, bytes: Buffer, end: "end" | "reset"): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, server);
    socket.setTimeout(15_000, () => socket.destroy());
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", () => socket.destroy()); // the server may hang up, which "close" tells
    socket.on("close", () => resolve(Buffer.concat(chunks)));
    if (end === "end") socket.end(bytes);
    else socket.write(bytes, () => socket.resetAndDestroy());
  });
}

function frame(random: Random, message: Buffer): Buffer {
  const whole = framed(message.subarray(0, 65_535));
  if (random.oneIn(12)) whole.writeUInt16BE(random.pick([0, 1, 11, 4096, 4097, 0xffff, random.below(65_536)]), 0);
  return whole;
}

function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

function isGood(reply: Buffer, address: string): boolean {
  return (reply[3]! & 15) === 0 && reply.readUInt16BE(6) === 1 && [...reply.subarray(-4)].join(".") === address;
}

function note(report: HostileReport, fault: string): void {
  if (report.faults.length < faultsAtMost) report.faults.push(fault.slice(0, 2000));
}

const request = JSON.parse(process.argv[2]!) as HostileRequest;
const report = await (request.transport === "udp" ? new DatagramAttack(request).run() : attackStreams(request));
process.stdout.write(JSON.stringify(report), () => process.exit());
