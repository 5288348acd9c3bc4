import { sendDatagram } from "../../linux/datagram.js";
import { EPOLLIN } from "../../linux/constants.js";
import { MessageBatch } from "../../linux/mmsg.js";
import type { Poller } from "../../linux/poller.js";
import { monotonicNow } from "../../linux/timer-wheel.js";
import { RESOLVER_PORT } from "../protocol.js";
import type { QueryLog } from "./query-log.js";
import { QUERY_LIMIT, readQuery, type Question } from "../wire/query.js";
import { buildRefusal, UDP_REPLY_LIMIT, udpLimit } from "../wire/reply.js";
import type { LocalAnswer } from "../table/lookup.js";
import type { Resolver } from "../resolve/resolve.js";
import { localReply, type Asked } from "../resolve/resolved.js";
import type { Sandbox } from "../sandbox.js";

/** Messages received at once. */
const batchSize = 16;
/** Batches of one sandbox before others get a turn, unless its time is up before. */
const batchesAtMost = 4;
/** Milliseconds of a turn: a question that is asked of others costs ten times one that is answered from the cache. */
const timeBudget = 0.4;
/** Bytes of a slot, which holds a query and then its reply: enough to tell that a query is too large. */
const slotBytes = Math.max(QUERY_LIMIT, UDP_REPLY_LIMIT) + 64;
/** Orders in which the addresses of one name are given out from the cache. */
const rotationsAtMost = 16;
/** 127.0.0.11 as a number. */
const resolverAddress = 0x7f00000b;

/** Answers queries over UDP, as many at a time as have come in. */
export class UdpService {
  readonly #batch = new MessageBatch(batchSize, slotBytes);
  /** When the batch at hand came in. */
  #now = 0;

  constructor(
    private readonly poller: Poller,
    private readonly resolver: Resolver,
    private readonly log: QueryLog,
    private readonly onHeartbeat: (sandbox: Sandbox) => void,
  ) {}

  /** Serves the sandbox's UDP socket from now on. */
  serve(sandbox: Sandbox, fd: number): void {
    sandbox.closeAtEnd(this.poller.watch(fd, EPOLLIN, () => this.#onReadable(sandbox, fd)));
  }

  #onReadable(sandbox: Sandbox, fd: number): void {
    const until = monotonicNow() + timeBudget;
    for (let batches = 0; batches < batchesAtMost && sandbox.sockets; batches++) {
      if (this.#answerBatch(sandbox, fd) < batchSize || monotonicNow() >= until) return;
    }
  }

  /** @returns how many messages there were */
  #answerBatch(sandbox: Sandbox, fd: number): number {
    const batch = this.#batch;
    const count = batch.receive(fd);
    this.#now = monotonicNow();
    let replies = 0;
    for (let slot = 0; slot < count; slot++) {
      const length = this.#answer(sandbox, fd, slot);
      if (length === 0) continue;
      if (replies === slot) batch.setLength(slot, length);
      else batch.move(slot, replies, length);
      replies++;
    }
    if (replies > 0) batch.send(fd, replies);
    return count;
  }

  /** Answers the message in a slot, into the same slot. @returns the reply's length; 0 when it comes later or never */
  #answer(sandbox: Sandbox, fd: number, slot: number): number {
    const { bytes, slotSize } = this.#batch;
    const length = this.#batch.length(slot);
    const start = slot * slotSize;
    const key = bytes.latin1Slice(start + 2, start + length);
    const cached = this.log.enabled ? undefined : sandbox.cache.get(key, this.#now);
    if (cached) {
      sandbox.counters.queries++;
      if (cached.until === Infinity) sandbox.counters.local++;
      else sandbox.counters.cached++;
      const reply = cached.variants[cached.next]!;
      if (++cached.next >= cached.variants.length) cached.next = 0;
      reply.copy(bytes, start + 2, 2);
      return reply.length;
    }
    return this.#answerUncached(sandbox, fd, slot, key);
  }

  #answerUncached(sandbox: Sandbox, fd: number, slot: number, key: string): number {
    const batch = this.#batch;
    const length = batch.length(slot);
    const start = slot * batch.slotSize;
    if (this.#isHeartbeat(sandbox, slot, start, length)) {
      this.onHeartbeat(sandbox);
      return 0;
    }
    sandbox.counters.queries++;
    const query = readQuery(batch.bytes, start, length);
    if (query.kind === "ignore") return 0;
    if (query.kind === "refusal") {
      sandbox.counters.refused++;
      return buildRefusal(batch.bytes.subarray(start, start + length), query).copy(batch.bytes, start);
    }
    return this.#answerQuestion(sandbox, fd, slot, query, key);
  }

  #answerQuestion(sandbox: Sandbox, fd: number, slot: number, question: Question, key: string): number {
    const batch = this.#batch;
    const start = slot * batch.slotSize;
    const began = monotonicNow();
    const message = Buffer.from(batch.bytes.subarray(start, start + batch.length(slot)));
    const asked: Asked = { sandbox, question, message, transport: "udp", limit: udpLimit(question.edns) };
    const decided = this.resolver.decide(asked);
    if (decided) {
      this.log.record(sandbox, question, "udp", decided, began);
      if (decided.local) sandbox.cache.put(key, variantsOf(asked, decided.local, decided.reply));
      else if (decided.lasts) sandbox.cache.put(key, decided.variants ?? [decided.reply], this.#now + decided.lasts);
      return decided.reply.copy(batch.bytes, start);
    }
    const client = batch.copySender(slot);
    this.resolver.ask(asked, (resolved) => {
      this.log.record(sandbox, question, "udp", resolved, began);
      if (resolved.lasts)
        sandbox.cache.put(key, resolved.variants ?? [resolved.reply], monotonicNow() + resolved.lasts);
      if (sandbox.sockets) sendDatagram(fd, resolved.reply, client);
    });
    return 0;
  }

  #isHeartbeat(sandbox: Sandbox, slot: number, start: number, length: number): boolean {
    const batch = this.#batch;
    return (
      sandbox.heartbeat.is(batch.bytes, start, length) &&
      batch.senderPort(slot) === RESOLVER_PORT &&
      batch.senderIPv4(slot) === resolverAddress
    );
  }
}

/** A reply of the table in each order its addresses may be given out in. */
function variantsOf(asked: Asked, local: LocalAnswer, first: Buffer): Buffer[] {
  const count = Math.min(rotationsAtMost, local.records.length);
  if (count < 2) return [first];
  return Array.from({ length: count }, (_, rotation) => localReply(asked, local, rotation));
}
