import { Poller } from "../../linux/poller.js";
import { TimerWheel } from "../../linux/timer-wheel.js";
import type { Forwarder, ForwardedAnswer, ForwardedQuestion } from "../resolve/forwarder.js";
import type { SandboxRecord } from "../protocol.js";
import { readQuery } from "../wire/query.js";
import { isReplyTo } from "../wire/reply-check.js";
import { buildRefusal, udpLimit } from "../wire/reply.js";
import { Resolver } from "../resolve/resolve.js";
import type { Asked } from "../resolve/resolved.js";
import { SandboxPool } from "../forward/sandbox-pool.js";
import { Sandbox } from "../sandbox.js";
import { buildQuery, storeReply } from "../wire/stored-reply.js";
import type { ExchangeOutcome, UdpChannel } from "../forward/udp-channel.js";
import { Zones } from "../table/zone.js";
import { goodQuery, goodReply } from "./corpus.js";
import { mutate } from "./mutate.js";
import { faultOf } from "./oracle.js";
import { Random } from "./random.js";

/** Questions one query may cause: a label under six suffixes, in two families, the label itself, and Docker's resolver. */
const questionsAtMost = 14;

/** How many rounds ended how. */
export interface Tally {
  rounds: number;
  ignored: number;
  refused: number;
  decided: number;
  asked: number;
  /** Replies of upstreams that were believed, and that were not. */
  believed: number;
  disbelieved: number;
}

/** A fault that was found. The same seed and round bring it about again. */
export class FuzzFault extends Error {
  override readonly name = "FuzzFault";

  constructor(
    readonly seed: number,
    readonly round: number,
    readonly what: string,
    readonly query: Buffer,
    readonly reply: Buffer | undefined,
    options?: ErrorOptions,
  ) {
    const bytes = `query: ${query.toString("hex")}\nreply: ${reply?.toString("hex") ?? "none"}`;
    super(`${what}\nagain: node dist/dns/fuzz/main.js --seed ${seed} --round ${round}\n${bytes}`, options);
  }
}

/**
 * Sends spoilt queries through everything between the sockets of clients and those of upstreams, which answer with
 * spoilt replies. @throws FuzzFault on the first reply, or lack of one, that is not right
 */
export class Harness {
  readonly tally: Tally = { rounds: 0, ignored: 0, refused: 0, decided: 0, asked: 0, believed: 0, disbelieved: 0 };
  readonly #poller = new Poller();
  #now = 0;
  readonly #timers = new TimerWheel(() => this.#now);
  readonly #zones = new Zones();
  readonly #sandboxes: readonly Sandbox[];
  #random = new Random(0);
  #questions = 0;
  #pending: (() => void)[] = [];

  constructor(private readonly seed: number) {
    this.#zones.putNetwork({ source: "docker", id: "front", name: "front", shared: false });
    for (let index = 0; index < 60; index++)
      this.#zones.putEndpoint({
        source: "docker",
        network: "front",
        container: `c${index}`,
        names: index === 2 ? ["web", "wide"] : ["wide"],
        ipv4: `10.1.0.${index}`,
        ipv6: index % 2 ? `fd00::${index}` : undefined,
        ports: [[80, "tcp"]],
        ttl: 5,
      });
    const forwarding = { kind: "upstreams", upstreams: [{ ip: "192.0.2.53", port: 53, from: "container" }] } as const;
    this.#sandboxes = [
      this.#sandbox({ forwarding }),
      this.#sandbox({ forwarding, search: ["example", "corp.example", "x".repeat(63)] }),
      this.#sandbox({
        forwarding,
        search: ["a", "b", "c", "d", "e", "f", "g"].map((label) => `${label}.example`),
        singleLabels: "deny",
      }),
      this.#sandbox({ forwarding, singleLabels: "no-data" }),
      this.#sandbox({ search: ["example"] }),
      this.#sandbox({ forwarding: { kind: "upstreams", upstreams: [] } }),
    ];
    for (const sandbox of this.#sandboxes)
      sandbox.dockerResolver = { ask: this.#askDocker, close: () => undefined } as unknown as UdpChannel;
  }

  close(): void {
    this.#poller.close();
  }

  /** Runs one round, which depends on nothing but the seed and its number. */
  run(round: number): void {
    const random = (this.#random = Random.of(this.seed, round));
    this.#questions = 0;
    this.#pending = [];
    const good = goodQuery(random);
    const query = random.oneIn(3) ? good : mutate(random, good, goodQuery(random));
    const sandbox = random.pick(this.#sandboxes);
    const transport = random.pick(["udp", "tcp"] as const);
    const replies: Buffer[] = [];
    let fault: string | undefined;
    try {
      fault = this.#fault(sandbox, query, transport, replies);
    } catch (error) {
      throw new FuzzFault(this.seed, round, "an exception", query, replies[0], { cause: error });
    }
    this.tally.rounds++;
    if (fault !== undefined) throw new FuzzFault(this.seed, round, fault, query, replies[0]);
  }

  #fault(sandbox: Sandbox, query: Buffer, transport: "udp" | "tcp", replies: Buffer[]): string | undefined {
    this.#answer(sandbox, query, transport, (reply) => replies.push(reply));
    // What is under way ends, and whatever waits for a moment longer gets that.
    for (let turns = 0; this.#pending.length > 0 || (turns < 200 && sandbox.questions > 0); turns++) {
      const next = this.#pending.splice(this.#random.below(this.#pending.length), 1)[0];
      if (next) next();
      else this.#timers.turn((this.#now += 100));
    }
    if (this.#questions > questionsAtMost) return `${this.#questions} questions for one query`;
    if (sandbox.questions > 0) return "a question without an end";
    if (replies.length > 1) return `${replies.length} replies`;
    const question = readQuery(query, 0, query.length);
    const limit =
      transport === "tcp"
        ? 65_535
        : Math.max(question.kind === "refusal" ? 512 : 0, question.kind === "question" ? udpLimit(question.edns) : 0);
    return faultOf(query, replies[0], limit);
  }

  /** As the services do. The reply comes now, later or never. */
  #answer(sandbox: Sandbox, message: Buffer, transport: "udp" | "tcp", send: (reply: Buffer) => void): void {
    const question = readQuery(message, 0, message.length);
    if (question.kind === "ignore") return void this.tally.ignored++;
    if (question.kind === "refusal") {
      this.tally.refused++;
      return send(buildRefusal(message, question));
    }
    const resolver = new Resolver(this.#timers, { cached: this.#cached, ask: this.#ask } as unknown as Forwarder);
    resolver.gap = { everywhere: this.#random.oneIn(4), networks: this.#random.oneIn(8) ? ["front"] : [] };
    const asked: Asked = {
      sandbox,
      question,
      message,
      transport,
      limit: transport === "tcp" ? 65_535 : udpLimit(question.edns),
    };
    const decided = resolver.decide(asked);
    this.tally[decided ? "decided" : "asked"]++;
    if (decided) send(decided.reply);
    else resolver.ask(asked, ({ reply }) => send(reply));
  }

  readonly #cached = (_sandbox: Sandbox, question: ForwardedQuestion): ForwardedAnswer | undefined => {
    if (!this.#random.oneIn(5)) return undefined;
    const answer = this.#answerOf(question);
    return answer.kind === "reply" ? answer : undefined;
  };

  readonly #ask = (
    _sandbox: Sandbox,
    question: ForwardedQuestion,
    done: (answer: ForwardedAnswer) => void,
  ): { cancel(): void } => {
    this.#questions++;
    return this.#later(() => done(this.#answerOf(question)));
  };

  readonly #askDocker = (
    query: Buffer,
    questionEnd: number,
    done: (outcome: ExchangeOutcome) => void,
  ): { cancel(): void } => {
    this.#questions++;
    return this.#later(() => {
      const reply = this.#spoilt(query, questionEnd);
      done(isReplyTo(reply, query, questionEnd) ? { kind: "reply", reply } : { kind: "failed", reason: "no reply" });
    });
  };

  #later(work: () => void): { cancel(): void } {
    this.#pending.push(work);
    return { cancel: () => (this.#pending = this.#pending.filter((each) => each !== work)) };
  }

  #answerOf(question: ForwardedQuestion): ForwardedAnswer {
    const { query, questionEnd } = buildQuery(question);
    const reply = this.#spoilt(query, questionEnd);
    const stored = isReplyTo(reply, query, questionEnd) ? storeReply(reply, questionEnd) : undefined;
    this.tally[stored ? "believed" : "disbelieved"]++;
    if (!stored) return { kind: "failed", why: "network", reason: "a malformed reply" };
    const upstream = { ip: "192.0.2.53", port: 53, from: "container" } as const;
    return {
      kind: "reply",
      stored,
      age: this.#random.below(100),
      stale: this.#random.oneIn(5),
      source: { kind: "upstream", upstream, transport: "udp" },
    };
  }

  /** Most spoilt replies no longer answer the question; putting its header and question back lets the rest be read. */
  #spoilt(query: Buffer, questionEnd: number): Buffer {
    const random = this.#random;
    const good = goodReply(random, query, questionEnd);
    if (random.oneIn(4)) return good;
    const reply = mutate(random, good, goodReply(random, query, questionEnd));
    if (random.oneIn(3) || reply.length < 12) return reply;
    const whole = Buffer.from(reply);
    query.copy(whole, 12, 12, Math.min(questionEnd, whole.length));
    good.copy(whole, 0, 0, random.oneIn(2) ? 6 : 12);
    return whole;
  }

  #sandbox(given: Partial<SandboxRecord>): Sandbox {
    const record: SandboxRecord = {
      source: "docker",
      id: "one",
      container: "one",
      containerName: "one",
      networks: [{ id: "front", links: [["alias", "web"]] }],
      forwarding: { kind: "never" },
      singleLabels: "forward",
      sharesAnswers: false,
      search: [],
      ...given,
    };
    return new Sandbox(record, this.#zones, new SandboxPool(this.#poller, () => false));
  }
}
