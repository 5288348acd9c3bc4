import { monotonicNow } from "../src/linux/wheel.js";
import { Forward, type ForwardOutcome, type ForwardTools } from "./forward.js";
import type { LocalAnswer } from "./lookup.js";
import type { Gap, Source, Upstream } from "./protocol.js";
import { HEADER_SIZE, RCODE, TYPE, type Question, type Rcode } from "./query.js";
import { buildReply, truncatedCopy } from "./reply.js";
import { answerCount, rcodeOf } from "./reply-check.js";
import type { ForwardingSockets } from "./forwarding-sockets.js";
import type { Sandbox } from "./sandbox.js";
import type { ExchangeOutcome } from "./udp-channel.js";

/** Milliseconds Docker's resolver is given in a gap before a negative answer of others counts. */
const BRIDGE_TIME = 100;
/** The same while a container joins: dockerd holds its locks then, and answers as soon as the join is done. */
const JOIN_TIME = 500;
/** Seconds an answer of Docker's own resolver may be kept: it says 600, but the name may move at once. */
const BRIDGED_TTL = 5;
const underWayAtMost = 1024;

export interface Asked {
  readonly sandbox: Sandbox;
  readonly question: Question;
  /** The query, a copy that lives as long as the question is under way. */
  readonly message: Buffer;
  readonly transport: "udp" | "tcp";
  /** Largest reply the client takes, bytes. */
  readonly limit: number;
}

/** A reply ready to send, and where it came from. */
export interface Resolved {
  readonly reply: Buffer;
  readonly source: Source;
  /** The table's answer, when it came from there. */
  readonly local?: LocalAnswer;
}

/** Answers what the table does not: by policy, by the container's upstreams, in a gap by Docker's own resolver. */
export class Resolver {
  gap: Gap = { everywhere: true, networks: [] };

  constructor(
    private readonly tools: ForwardTools,
    private readonly hostSockets: { readonly ipv4: ForwardingSockets; readonly ipv6: ForwardingSockets },
  ) {}

  /** The question's end without asking anybody; undefined when others must be asked. */
  decide(asked: Asked): Resolved | undefined {
    return this.#decideLocally(asked) ?? (this.#mayAskDocker(asked.sandbox) ? undefined : this.#decideByPolicy(asked));
  }

  /** Asks others. `done` is called once, unless the sandbox is let go before. */
  ask(asked: Asked, done: (resolved: Resolved) => void): void {
    const { sandbox } = asked;
    if (sandbox.underWay.size >= underWayAtMost) {
      done(failure(asked, RCODE.SERVFAIL, `${underWayAtMost} questions of this container are under way`));
      return;
    }
    const finish = (resolved: Resolved) => {
      sandbox.underWay.delete(running);
      done(resolved);
    };
    const running = this.#mayAskDocker(sandbox) ? this.#race(asked, finish) : this.#forward(asked, finish);
    sandbox.underWay.add(running);
  }

  #decideLocally(asked: Asked): Resolved | undefined {
    const { sandbox, question } = asked;
    const local = sandbox.view.answer(question.key, question.type);
    return local && { reply: localReply(asked, local, sandbox.counters.local++), source: local.source, local };
  }

  #decideByPolicy(asked: Asked): Resolved | undefined {
    const { sandbox, question } = asked;
    const { forwarding } = sandbox.record;
    const isSingleLabel = question.key.length > 0 && question.key.length === 1 + question.key.charCodeAt(0);
    const isAddress = question.type === TYPE.A || question.type === TYPE.AAAA;
    if (isSingleLabel && isAddress && !sandbox.record.forwardSingleLabels)
      return policy(asked, RCODE.NOERROR, "ndots is set, so single labels are not forwarded");
    if (forwarding.kind === "never") return policy(asked, RCODE.SERVFAIL, "on internal networks only: nothing is forwarded");
    if (forwarding.upstreams.length === 0) return failure(asked, RCODE.SERVFAIL, "no upstream servers");
    return undefined;
  }

  /** Docker's resolver forwards what it does not know, so asking it is forwarding (design: only in gaps). */
  #mayAskDocker(sandbox: Sandbox): boolean {
    if (sandbox.record.forwarding.kind === "never" || !sandbox.bridge) return false;
    return this.gap.everywhere || sandbox.view.seesSharedNetwork || this.#isJoined(sandbox);
  }

  /** Whether a container is just joining one of the asker's networks. */
  #isJoined(sandbox: Sandbox): boolean {
    return this.gap.networks.some((network) => sandbox.isOn(network));
  }

  #forward(asked: Asked, done: (resolved: Resolved) => void): { cancel(): void } {
    const { sandbox, message, question, transport } = asked;
    const { forwarding } = sandbox.record;
    sandbox.counters.forwarded++;
    const request = {
      query: message,
      questionEnd: question.end,
      transport,
      upstreams: forwarding.kind === "upstreams" ? forwarding.upstreams : [],
      socketsFor: (upstream: Upstream) => this.#socketsFor(sandbox, upstream),
    };
    return new Forward(this.tools, request, (outcome) => done(forwarded(asked, outcome)));
  }

  #socketsFor(sandbox: Sandbox, { ip, from }: Upstream): ForwardingSockets {
    if (from === "container") return sandbox.pool;
    return ip.includes(":") ? this.hostSockets.ipv6 : this.hostSockets.ipv4;
  }

  /**
   * Docker's resolver and the upstreams at once. An answer with records wins; a negative one of the upstreams waits
   * until Docker has had its time: the name may be one that the table does not hold yet.
   */
  #race(asked: Asked, done: (resolved: Resolved) => void): { cancel(): void } {
    const { sandbox, message, question } = asked;
    const byPolicy = this.#decideByPolicy(asked);
    let dockerIsDone = false;
    let dockersReply: Buffer | undefined;
    let other: Resolved | undefined = byPolicy;
    let over = false;
    sandbox.counters.bridged++;
    const finish = (resolved: Resolved) => {
      if (over) return;
      cancel();
      done(resolved);
    };
    const settle = () => {
      if (!other || !(dockerIsDone || hasAnswers(other.reply))) return;
      if (hasAnswers(other.reply)) return finish(other);
      // The table may have learnt the name while others were asked. A name that Docker knows, with nothing of this type,
      // must not be denied: musl takes NXDOMAIN for one type as the end of the name.
      const known = dockersReply && rcodeOf(dockersReply) === RCODE.NOERROR && rcodeOf(other.reply) === RCODE.NXDOMAIN;
      finish(this.#decideLocally(asked) ?? (known ? bridged(asked, dockersReply!) : other));
    };
    const onDocker = (outcome: ExchangeOutcome | undefined) => {
      if (over) return;
      dockerIsDone = true;
      if (outcome?.kind === "reply") dockersReply = outcome.reply;
      if (dockersReply && hasAnswers(dockersReply)) finish(bridged(asked, dockersReply));
      else settle();
    };
    const docker = sandbox.bridge?.ask(message, question.end, onDocker);
    const patience = this.tools.wheel.in(this.#isJoined(sandbox) ? JOIN_TIME : BRIDGE_TIME, () => onDocker(undefined));
    const forward = byPolicy
      ? undefined
      : this.#forward(asked, (resolved) => {
          other = resolved;
          settle();
        });
    const cancel = () => {
      over = true;
      docker?.cancel();
      patience.cancel();
      forward?.cancel();
    };
    return { cancel };
  }
}

/** The reply to a name of the table. @param rotation which of its addresses comes first */
export function localReply({ message, question, limit }: Asked, local: LocalAnswer, rotation: number): Buffer {
  const rcode = local.exists ? RCODE.NOERROR : RCODE.NXDOMAIN;
  return buildReply(message, question, { rcode, records: local.records, additional: local.additional }, limit, rotation);
}

function empty(asked: Pick<Asked, "message" | "question" | "limit">, rcode: Rcode): Buffer {
  return buildReply(asked.message, asked.question, { rcode, records: [], additional: [] }, asked.limit);
}

function policy(asked: Asked, rcode: Rcode, reason: string): Resolved {
  asked.sandbox.counters.refused++;
  return { reply: empty(asked, rcode), source: { kind: "policy", reason } };
}

function failure(asked: Asked, rcode: Rcode, reason: string): Resolved {
  asked.sandbox.counters.failed++;
  return { reply: empty(asked, rcode), source: { kind: "failure", reason } };
}

function forwarded(asked: Asked, outcome: ForwardOutcome): Resolved {
  if (outcome.kind === "failed") return failure(asked, RCODE.SERVFAIL, outcome.reason);
  return { reply: fitted(asked, outcome.reply), source: outcome.source };
}

function bridged(asked: Asked, reply: Buffer): Resolved {
  return { reply: fitted(asked, withTtlAtMost(reply, asked.question.end, BRIDGED_TTL)), source: { kind: "docker" } };
}

/** Somebody's reply as the client gets it: its own id and spelling, cut down when it takes no more. */
function fitted({ message, question, limit }: Asked, reply: Buffer): Buffer {
  const fitting = reply.length <= limit ? reply : truncatedCopy(reply, question.end);
  message.copy(fitting, 0, 0, 2);
  message.copy(fitting, HEADER_SIZE, HEADER_SIZE, question.end);
  return fitting;
}

function hasAnswers(reply: Buffer): boolean {
  return rcodeOf(reply) === RCODE.NOERROR && answerCount(reply) > 0;
}

/** Lowers the TTL of answers whose owner is a pointer or a plain name; stops at anything it cannot read. */
function withTtlAtMost(reply: Buffer, questionEnd: number, most: number): Buffer {
  let at = questionEnd;
  for (let left = answerCount(reply); left > 0; left--) {
    while (at < reply.length && reply[at]! > 0 && reply[at]! < 64) at += 1 + reply[at]!;
    at += (reply[at] ?? 0) >= 0xc0 ? 2 : 1;
    if (at + 10 > reply.length) return reply;
    if (reply.readUInt32BE(at + 4) > most) reply.writeUInt32BE(most, at + 4);
    at += 10 + reply.readUInt16BE(at + 8);
  }
  return reply;
}

/** Milliseconds since a time of {@link monotonicNow}. */
export function since(start: number): number {
  return Math.round((monotonicNow() - start) * 1000) / 1000;
}
