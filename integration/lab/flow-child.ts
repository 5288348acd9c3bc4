// Runs in the network namespace of a container and asks its resolver one question at an even, high rate.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageBatch } from "../../linux/mmsg.js";
import { connectSocket, forceBufferSizes, udpSocket } from "../../linux/socket.js";
import { answerRequests } from "./helper-child.js";

/** How a flow went. */
export interface FlowTally {
  sent: number;
  /** Queries that no answer came for, at the first time of asking. */
  lost: number;
  /** Datagrams that the kernel of this namespace had no room for in a socket's buffer. */
  dropped: number;
  /** Queries that no answer came for when asked again. */
  failed: number;
  /** Answers that are not the record asked for. */
  wrong: number;
  /** Good answers by their TTL, which tells who has answered. */
  ttls: Record<number, number>;
  /** The longest time in which no answer came, ms. */
  longestSilence: number;
}

/** What a test can tell a flow. */
export type FlowRequest = { do: "start"; query: Uint8Array; rate: number } | { do: "look" } | { do: "stop" };
export type FlowReply = FlowTally | undefined;

const socketCount = 16; // each has 65,536 ids of its own, and a flow ends by itself when they are used up: 52 s at 20,000 a second
const batchSize = 64;
const receiveBuffer = 32 << 20; // bytes
const quiet = 2_000; // ms without an answer after which no more is expected

const sockets = Array.from({ length: socketCount }, () => udpSocket());
const incoming = new MessageBatch(batchSize, 512);
// Only sent from: its slots have no address, and go where their socket is connected to.
const outgoing = new MessageBatch(batchSize, 512);
const answered = new Uint8Array(socketCount * 65_536);
const tally: FlowTally = { sent: 0, lost: 0, dropped: 0, failed: 0, wrong: 0, ttls: {}, longestSilence: 0 };
let query = Buffer.alloc(0);
let rate = 0;
let startedAt = 0;
let lastAnswerAt = 0;
let answers = 0;
let timer: NodeJS.Timeout | undefined;
const droppedBefore = droppedSoFar();

answerRequests(async (request: FlowRequest): Promise<FlowReply> => {
  switch (request.do) {
    case "start":
      start(request);
      return undefined;
    case "look":
      return { ...tally, lost: tally.sent - answers };
    case "stop":
      return stop();
  }
});

function start(request: FlowRequest & { do: "start" }): void {
  for (const fd of sockets) {
    forceBufferSizes(fd, receiveBuffer);
    connectSocket(fd, { ip: "127.0.0.11", port: 53 });
  }
  query = Buffer.from(request.query);
  rate = request.rate;
  startedAt = lastAnswerAt = performance.now();
  timer = setInterval(turn, 1);
}

function turn(): void {
  const due = Math.min(answered.length, Math.floor(((performance.now() - startedAt) * rate) / 1000));
  while (tally.sent < due) sendBatch(numbersFrom(tally.sent, Math.min(batchSize, due - tally.sent)));
  receive();
}

/** Queries that follow one another and go out of one socket. */
function numbersFrom(first: number, count: number): number[] {
  const left = batchSize - (first % batchSize);
  tally.sent += Math.min(count, left);
  return Array.from({ length: Math.min(count, left) }, (_, index) => first + index);
}

function socketOf(number: number): number {
  return Math.floor(number / batchSize) % socketCount;
}

function idOf(number: number): number {
  return Math.floor(number / (batchSize * socketCount)) * batchSize + (number % batchSize);
}

function numberOf(socket: number, id: number): number {
  return Math.floor(id / batchSize) * batchSize * socketCount + socket * batchSize + (id % batchSize);
}

function sendBatch(numbers: readonly number[]): void {
  numbers.forEach((number, slot) => {
    const at = slot * outgoing.slotSize;
    query.copy(outgoing.bytes, at);
    outgoing.bytes.writeUInt16BE(idOf(number), at);
    outgoing.setLength(slot, query.length);
  });
  const sent = outgoing.send(sockets[socketOf(numbers[0]!)]!, numbers.length);
  if (sent !== numbers.length) throw new Error(`${numbers.length - sent} queries could not even be sent`);
}

function receive(): void {
  sockets.forEach((fd, socket) => {
    for (let count = incoming.receive(fd); count > 0; count = incoming.receive(fd))
      for (let slot = 0; slot < count; slot++)
        onAnswer(
          socket,
          incoming.bytes.subarray(slot * incoming.slotSize, slot * incoming.slotSize + incoming.length(slot)),
        );
  });
}

function onAnswer(socket: number, reply: Buffer): void {
  const now = performance.now();
  tally.longestSilence = Math.max(tally.longestSilence, now - lastAnswerAt);
  lastAnswerAt = now;
  const number = numberOf(socket, reply.readUInt16BE(0));
  if (answered[number] === 0) answers++;
  answered[number] = 1;
  const ttl = ttlOf(reply);
  if (ttl === undefined) tally.wrong++;
  else tally.ttls[ttl] = (tally.ttls[ttl] ?? 0) + 1;
}

/** The TTL of a reply that has one A record behind the question and nothing after it; undefined for any other. */
function ttlOf(reply: Buffer): number | undefined {
  const end = reply.length; // TTL, length of the data, address
  const isRight =
    end >= query.length + 16 &&
    (reply[3]! & 0xf) === 0 &&
    reply.readUInt16BE(6) === 1 &&
    reply.readUInt16BE(end - 6) === 4;
  return isRight && reply.compare(query, 12, query.length, 12, query.length) === 0
    ? reply.readUInt32BE(end - 10)
    : undefined;
}

async function stop(): Promise<FlowTally> {
  clearInterval(timer);
  await collect();
  const { longestSilence } = tally;
  const dropped = droppedSoFar() - droppedBefore;
  const lost = unanswered();
  for (const number of lost) sendBatch([number]);
  await collect();
  return { ...tally, longestSilence, dropped, lost: lost.length, failed: unanswered().length };
}

/** `RcvbufErrors` of UDP in /proc/net/snmp: a line of names, and below it one of figures. */
function droppedSoFar(): number {
  const [names = [], figures = []] = readFileSync("/proc/net/snmp", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("Udp:"))
    .map((line) => line.split(" "));
  return Number(figures[names.indexOf("RcvbufErrors")]);
}

/** Receives until every query has its answer, or none comes any more. */
async function collect(): Promise<void> {
  const began = performance.now();
  do {
    receive();
    await sleep(1);
  } while (answers < tally.sent && performance.now() - Math.max(began, lastAnswerAt) < quiet);
}

function unanswered(): number[] {
  const numbers: number[] = [];
  for (let number = 0; number < tally.sent; number++) if (answered[number] === 0) numbers.push(number);
  return numbers;
}
