import { PontoonError } from "../../common/errors.js";
import { AttributeWriter } from "./attributes.js";
import type { Budget } from "./budget.js";
import { EINTR, ENOENT, EPROTO, ERESTART } from "../constants.js";
import { errnoName } from "../ffi.js";
import { HEADER_SIZE, NetlinkSocket, writeHeader, type Reply, type Verdict } from "./netlink-socket.js";

const NETLINK_NETFILTER = 12;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_BATCH_GENID = 1;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
/** `struct nfgenmsg` behind the netlink header: family, version, and the subsystem of a batch. */
const GENERIC_SIZE = 4;
const triesAtMost = 4;

/** The kernel refuses a request; of a batch nothing was applied then. */
export class NetlinkError extends Error {
  override readonly name = "NetlinkError";
  /** The errno's name, e.g. `EEXIST`. */
  readonly code: string;

  /** @param subject what was asked for, as people write it: `add rule ip pontoon out` */
  constructor(
    readonly errno: number,
    readonly subject: string,
    sentence: string | undefined,
  ) {
    const code = errnoName(errno);
    super(`${subject}: ${sentence === undefined ? code : `${sentence} (${code})`}`);
    this.code = code;
  }
}

/** One request of a batch. */
export interface Request {
  /** Subsystem and message, e.g. `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE`. */
  readonly type: number;
  /** Beyond `NLM_F_REQUEST`. */
  readonly flags: number;
  readonly family: number;
  readonly subject: string;
  readonly write: (attributes: AttributeWriter) => void;
}

/** Requests ready to be sent. */
interface Batch {
  readonly bytes: Buffer;
  /** What each is about, by sequence number. */
  readonly subjects: ReadonlyMap<number, string>;
  readonly last: number;
  readonly lastSubject: string;
}

/** What is asked of a list or of one object. */
export type Query = Pick<Request, "type" | "family" | "subject" | "write">;

/** Netfilter's netlink, in the network namespace in which it is made. The kernel's work is done while a message is sent. */
export class Nfnetlink {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER, "nfnetlink");

  /** Waits while somebody changes the rules of this namespace, as {@link transact} does. */
  close(): void {
    this.#socket.close();
  }

  /** As {@link close}, in another thread. */
  closeAside(): Promise<void> {
    return this.#socket.closeAside();
  }

  /** One object. @returns undefined when there is none. Throws {@link NetlinkError}. */
  get<Value>(query: Query, read: (payload: Buffer) => Value): Value | undefined {
    let found: Value | undefined;
    const sequence = this.#send(query, 0);
    this.#answers(query.subject, sequence, (reply) => {
      found = read(body(reply));
      return true;
    });
    return found;
  }

  /** Has one request carried out that is no part of a transaction. Throws {@link NetlinkError}. */
  perform(query: Query): void {
    const writer = new AttributeWriter(256);
    const sequence = this.#write(writer, { ...query, flags: NLM_F_ACK }, 0);
    this.#socket.send(writer.bytes, query.subject);
    const verdict = this.#verdicts(sequence).find((one) => one.sequence === sequence);
    if (verdict?.errno !== 0) throw new NetlinkError(verdict?.errno ?? EPROTO, query.subject, verdict?.sentence);
  }

  /**
   * A whole list. Read anew, within the same budget, when it changes meanwhile.
   * Throws {@link NetlinkError}; RULES_CHANGING when it changes during each reading, RULES_TOO_MANY when the budget is used up: the
   * socket cannot be used any more then. ENOENT is an empty list: what it belongs to is gone.
   */
  list<Value>(query: Query, budget: Budget, read: (payload: Buffer) => Value): Value[] {
    for (let tried = 1; tried <= triesAtMost; tried++) {
      const found: Value[] = [];
      let changed = false;
      const sequence = this.#send(query, NLM_F_DUMP);
      const end = this.#answers(query.subject, sequence, (reply) => {
        budget.spend(reply.payload.length + HEADER_SIZE);
        changed ||= reply.changed;
        found.push(read(body(reply)));
        return false;
      });
      if (!changed && !end.changed && end.errno !== EINTR) return found;
      budget.spend(0);
    }
    throw new PontoonError("RULES_CHANGING", query.subject, `${query.subject}: changed each time it was read`);
  }

  /**
   * Applies all requests or none. Throws {@link NetlinkError} with what the kernel says of the first it refuses;
   * `ERESTART` when rules have changed since `generation`. Waits while somebody changes the rules of this namespace, which
   * can be made to take long: {@link transactAside} does not keep the event loop waiting.
   */
  transact(subsystem: number, requests: readonly Request[], generation?: number): void {
    if (requests.length === 0) return;
    const batch = this.#batch(subsystem, requests, generation);
    this.#socket.send(batch.bytes, batch.lastSubject);
    this.#conclude(batch);
  }

  /** As {@link transact}, in another thread. The connection must not be used meanwhile, nor closed. */
  async transactAside(subsystem: number, requests: readonly Request[]): Promise<void> {
    if (requests.length === 0) return;
    const batch = this.#batch(subsystem, requests, undefined);
    await this.#socket.sendAside(batch.bytes, batch.lastSubject);
    this.#conclude(batch);
  }

  #batch(subsystem: number, requests: readonly Request[], generation: number | undefined): Batch {
    const writer = new AttributeWriter();
    const subjects = new Map<number, string>();
    const edge = (type: number, write: Request["write"] = () => undefined) =>
      this.#write(writer, { type, flags: 0, family: 0, subject: "", write }, subsystem);
    let last = edge(
      NFNL_MSG_BATCH_BEGIN,
      (attributes) => generation !== undefined && attributes.u32(NFNL_BATCH_GENID, generation),
    );
    subjects.set(last, "commit");
    for (const [index, request] of requests.entries()) {
      // The kernel answers each request that fails; the success of the last one is that of all.
      const flags = request.flags | (index === requests.length - 1 ? NLM_F_ACK : 0);
      last = this.#write(writer, { ...request, flags }, 0);
      subjects.set(last, request.subject);
    }
    edge(NFNL_MSG_BATCH_END);
    return { bytes: writer.bytes, subjects, last, lastSubject: subjects.get(last)! };
  }

  #conclude({ subjects, last }: Batch): void {
    const failed = this.#verdicts(last).find(({ errno }) => errno !== 0);
    if (failed)
      throw new NetlinkError(
        failed.errno,
        subjects.get(failed.sequence) ?? "commit",
        failed.errno === ERESTART ? "the rules have changed meanwhile" : failed.sentence,
      );
  }

  /** All answers to a batch, in the order of its requests. The kernel has them ready when the batch has been sent. */
  #verdicts(last: number): Verdict[] {
    const verdicts: Verdict[] = [];
    for (let received = this.#socket.receive(); received.length > 0; received = this.#socket.receive())
      for (const one of received) if (one.kind === "verdict") verdicts.push(one);
    if (verdicts.length === 0) verdicts.push({ sequence: last, errno: EPROTO, sentence: "the kernel did not answer" });
    return verdicts;
  }

  /** @param onReply says whether that was all. */
  #answers(subject: string, sequence: number, onReply: (reply: Reply) => boolean): { errno: number; changed: boolean } {
    for (;;) {
      const received = this.#socket.receive();
      if (received.length === 0) throw new NetlinkError(EPROTO, subject, "the kernel did not answer");
      for (const answer of received) {
        if (answer.sequence !== sequence) continue;
        if (answer.kind === "reply") {
          if (onReply(answer)) return { errno: 0, changed: false };
          continue;
        }
        if (answer.errno !== 0 && answer.errno !== ENOENT && answer.errno !== EINTR)
          throw new NetlinkError(answer.errno, subject, answer.kind === "verdict" ? answer.sentence : undefined);
        return { errno: answer.errno, changed: answer.kind === "done" && answer.changed };
      }
    }
  }

  #send(query: Query, flags: number): number {
    const writer = new AttributeWriter(256);
    const sequence = this.#write(writer, { ...query, flags }, 0);
    this.#socket.send(writer.bytes, query.subject);
    return sequence;
  }

  /** @returns the sequence number */
  #write(writer: AttributeWriter, { type, flags, family, write }: Request, subsystem: number): number {
    const sequence = this.#socket.nextSequence();
    const start = writer.reserve(HEADER_SIZE + GENERIC_SIZE);
    writer.memory.writeUInt8(family, start + HEADER_SIZE);
    writer.memory.writeUInt16BE(subsystem, start + HEADER_SIZE + 2);
    write(writer);
    writeHeader(writer.memory, start, writer.length, type, NLM_F_REQUEST | flags, sequence);
    return sequence;
  }
}

/** Runs `work` with a connection to netfilter in the calling thread's network namespace, and closes it. For namespaces of our own. */
export function withNfnetlink<Result>(work: (nfnetlink: Nfnetlink) => Result): Result {
  const nfnetlink = new Nfnetlink();
  try {
    return work(nfnetlink);
  } finally {
    nfnetlink.close();
  }
}

function body({ payload }: Reply): Buffer {
  return payload.subarray(GENERIC_SIZE);
}

/** A connection that stays open: the kernel takes some milliseconds to close one. It may be given out again and again. */
export class KeptNfnetlink {
  #nfnetlink: Nfnetlink | undefined;

  /** One that has failed, and may have answers left that nobody waits for, is not used again. */
  with<Result>(work: (nfnetlink: Nfnetlink) => Result): Result {
    this.#nfnetlink ??= new Nfnetlink();
    try {
      return work(this.#nfnetlink);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Can be called twice. */
  close(): void {
    this.#nfnetlink?.close();
    this.#nfnetlink = undefined;
  }
}
