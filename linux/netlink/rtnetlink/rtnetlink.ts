import { EINTR, ENODEV, EPROTO } from "../../constants.js";
import { HEADER_SIZE, NetlinkSocket, writeHeader, type Received, type Verdict } from "../netlink-socket.js";
import { NetlinkError } from "../nfnetlink.js";

const NETLINK_ROUTE = 0;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
/** Acknowledgements of more would overflow the socket's buffer. */
const requestsAtOnce = 64;
const dumpsAtMost = 5;

/** Of `NLM_F_*`: what a request that makes something does with what is there already. */
export const MAKE = { only: 0x600, orChange: 0x400, orReplace: 0x500 } as const;

/** A request to the kernel's routing and link tables (rtnetlink(7)). */
export interface RtRequest {
  /** `RTM_*`. */
  readonly type: number;
  /** Beyond `NLM_F_REQUEST` and `NLM_F_ACK`. */
  readonly flags: number;
  /** The struct and the attributes behind it. */
  readonly body: Buffer;
  /** What it is about, as people say it: `add link veth0`. */
  readonly subject: string;
}

/** rtnetlink, in the network namespace in which it is made. The kernel's work is done while a message is sent. */
export class Rtnetlink {
  readonly #socket: NetlinkSocket;

  /** @param protocol another one, whose requests and lists go the same way */
  constructor(protocol: number = NETLINK_ROUTE, name = "rtnetlink") {
    this.#socket = new NetlinkSocket(protocol, name);
  }

  /** Can be called once. */
  close(): void {
    this.#socket.close();
  }

  /**
   * Carries out requests one after the other. Throws {@link NetlinkError} for the first that fails, with the kernel's own
   * sentence; those behind it that were sent along with it may have been carried out.
   */
  request(...requests: readonly RtRequest[]): void {
    for (let start = 0; start < requests.length; start += requestsAtOnce)
      this.#send(requests.slice(start, start + requestsAtOnce), (verdict, { subject }) => {
        throw new NetlinkError(verdict.errno, subject, verdict.sentence);
      });
  }

  /** Carries out requests one after the other, whatever becomes of others. @returns those that failed, with the reason */
  requestEach(requests: readonly RtRequest[]): { request: RtRequest; error: NetlinkError }[] {
    const failed: { request: RtRequest; error: NetlinkError }[] = [];
    for (let start = 0; start < requests.length; start += requestsAtOnce)
      this.#send(requests.slice(start, start + requestsAtOnce), ({ errno, sentence }, request) =>
        failed.push({ request, error: new NetlinkError(errno, request.subject, sentence) }),
      );
    return failed;
  }

  /**
   * As {@link requestEach}, in another thread. Nothing else may be asked of this socket meanwhile.
   * @returns why it failed, if it did
   */
  async requestAside(request: RtRequest): Promise<NetlinkError | undefined> {
    const sequence = this.#socket.nextSequence();
    await this.#socket.sendAside(encode(request, NLM_F_ACK, sequence), request.subject);
    const [failure] = this.#failures(new Map([[sequence, request]]));
    return failure && new NetlinkError(failure[0].errno, request.subject, failure[0].sentence);
  }

  #send(requests: readonly RtRequest[], onFailed: (verdict: Verdict, request: RtRequest) => void): void {
    const bySequence = new Map(requests.map((request) => [this.#socket.nextSequence(), request]));
    const messages = [...bySequence].map(([sequence, request]) => encode(request, NLM_F_ACK, sequence));
    this.#socket.send(Buffer.concat(messages), requests[0]!.subject);
    for (const [verdict, request] of this.#failures(bySequence)) onFailed(verdict, request);
  }

  /** Reads what has become of requests. */
  #failures(bySequence: Map<number, RtRequest>): [Verdict, RtRequest][] {
    const [first] = bySequence.values();
    const failures: [Verdict, RtRequest][] = [];
    while (bySequence.size > 0) {
      for (const received of this.#received(first?.subject ?? "")) {
        const request = received.kind === "verdict" ? bySequence.get(received.sequence) : undefined;
        if (received.kind !== "verdict" || !request) continue;
        bySequence.delete(received.sequence);
        if (received.errno !== 0) failures.push([received, request]);
      }
    }
    return failures;
  }

  /** One object. @returns undefined when there is none (ENODEV). Throws {@link NetlinkError}. */
  get<Value>(request: RtRequest, read: (payload: Buffer) => Value): Value | undefined {
    const sequence = this.#socket.nextSequence();
    this.#socket.send(encode(request, NLM_F_ACK, sequence), request.subject);
    let found: Value | undefined;
    for (;;)
      for (const received of this.#received(request.subject)) {
        if (received.sequence !== sequence) continue;
        if (received.kind === "reply") found = read(received.payload);
        else if (received.errno === 0 || received.errno === ENODEV) return found;
        else throw new NetlinkError(received.errno, request.subject, sentenceOf(received));
      }
  }

  /** A whole list. Read anew when it changes meanwhile, a few times; then as it is. Throws {@link NetlinkError}. */
  list<Value>(request: RtRequest, read: (payload: Buffer) => Value | undefined): Value[] {
    for (let tried = 1; ; tried++) {
      const { found, changed } = this.#dump(request, read);
      if (!changed || tried === dumpsAtMost) return found;
    }
  }

  #dump<Value>(request: RtRequest, read: (payload: Buffer) => Value | undefined): { found: Value[]; changed: boolean } {
    const sequence = this.#socket.nextSequence();
    this.#socket.send(encode(request, NLM_F_DUMP, sequence), request.subject);
    const found: Value[] = [];
    let changed = false;
    for (;;)
      for (const received of this.#received(request.subject)) {
        if (received.sequence !== sequence) continue;
        if (received.kind === "reply") {
          const value = read(received.payload);
          if (value !== undefined) found.push(value);
          changed ||= received.changed;
          continue;
        }
        if (received.errno !== 0 && received.errno !== EINTR)
          throw new NetlinkError(received.errno, request.subject, sentenceOf(received));
        return {
          found,
          changed: changed || received.errno === EINTR || (received.kind === "done" && received.changed),
        };
      }
  }

  #received(subject: string): Received[] {
    const received = this.#socket.receive();
    if (received.length === 0) throw new NetlinkError(EPROTO, subject, "the kernel did not answer");
    return received;
  }
}

function sentenceOf(received: Received): string | undefined {
  return received.kind === "verdict" ? received.sentence : undefined;
}

function encode({ type, flags, body }: RtRequest, more: number, sequence: number): Buffer {
  const message = Buffer.alloc(HEADER_SIZE + ((body.length + 3) & ~3));
  body.copy(message, HEADER_SIZE);
  writeHeader(message, 0, HEADER_SIZE + body.length, type, NLM_F_REQUEST | more | flags, sequence);
  return message;
}
