import dnsPacket, { type Answer } from "dns-packet";
import { TestLoop } from "../../linux/testing/loop.js";
import { AnswerCache } from "../cache/answer-cache.js";
import { HostSockets } from "../forward/forwarding-sockets.js";
import { keyOfText } from "../wire/name.js";
import { Forwarder, type ForwardedAnswer, type ForwardedQuestion } from "../resolve/forwarder.js";
import type { SandboxRecord, Upstream } from "../protocol.js";
import { CLASS, TYPE } from "../wire/query.js";
import { SandboxPool } from "../forward/sandbox-pool.js";
import { Sandbox } from "../sandbox.js";
import { optRecord } from "./opt-record.js";
import { FakeUpstream, type Received, type TestLike } from "./upstream.js";
import { UpstreamHealth } from "../forward/upstreams.js";
import { Zones } from "../table/zone.js";

/** What a name of the outside world is: addresses of one or both families, `[]` for no data, or no such name. `silent`: nothing is said. */
export interface Meaning {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  readonly rcode?: number;
  readonly ttl?: number;
  /** Of negative answers; none without it. */
  readonly soa?: number;
  readonly silent?: boolean;
}

/** Sandboxes that share answers and upstreams, in time the test lets pass. */
export class ForwarderBench {
  readonly loop = new TestLoop();
  readonly health = new UpstreamHealth(() => this.loop.now);
  readonly cache = new AnswerCache(() => this.loop.now);
  readonly zones = new Zones();
  readonly forwarder: Forwarder;
  readonly #sandboxes: Sandbox[] = [];

  constructor(t: TestLike) {
    const { poller, timers } = this.loop;
    const ipv4 = new HostSockets(poller, "ipv4");
    this.forwarder = new Forwarder(
      { poller, timers, health: this.health },
      { ipv4, ipv6: new HostSockets(poller, "ipv6") },
      this.cache,
    );
    this.cache.limit(1_000_000);
    t.teardown(() => {
      for (const sandbox of this.#sandboxes) sandbox.letGo();
      ipv4.close();
      poller.close();
    });
  }

  /** A sandbox that forwards to these. */
  sandbox(id: string, upstreams: readonly Upstream[], given: Partial<SandboxRecord> = {}): Sandbox {
    const forwarding = { kind: "upstreams", upstreams } as const;
    const record: SandboxRecord = {
      source: "docker",
      id,
      container: id,
      containerName: id,
      networks: [],
      forwarding,
      singleLabels: "forward",
      sharesAnswers: true,
      search: [],
      ...given,
    };
    const sandbox = new Sandbox(record, this.zones, new SandboxPool(this.loop.poller, () => false));
    this.#sandboxes.push(sandbox);
    return sandbox;
  }

  /** Asks, and keeps what comes. */
  ask(sandbox: Sandbox, question: ForwardedQuestion): { readonly answers: ForwardedAnswer[]; cancel(): void } {
    const answers: ForwardedAnswer[] = [];
    const running = this.forwarder.ask(sandbox, question, (answer) => answers.push(answer));
    if (answers.length > 0) throw new Error("an answer came from inside the call");
    return { answers, cancel: () => running.cancel() };
  }

  async answer({ answers }: { readonly answers: readonly ForwardedAnswer[] }): Promise<ForwardedAnswer> {
    await this.loop.until("an answer", () => answers.length > 0);
    return answers[0]!;
  }

  async asked(fake: FakeUpstream, times = 1): Promise<void> {
    await this.loop.until(`query ${times}`, () => fake.received.length >= times);
  }

  /** Lets everything that is on its way arrive. */
  async settle(): Promise<void> {
    for (let count = 0; count < 5; count++) await this.loop.turn();
  }
}

export function questionFor(
  name: string,
  type: number = TYPE.A,
  given: Partial<ForwardedQuestion> = {},
): ForwardedQuestion {
  return {
    key: keyOfText(name)!,
    type,
    flags: 0x0100,
    dnssecOk: false,
    class: CLASS.IN,
    clientSubnet: "",
    clientSize: 512,
    overTcp: false,
    ...given,
  };
}

/** An upstream that knows these names; the rest does not exist. `names` may be changed meanwhile. */
export function knowing(t: TestLike, names: Readonly<Record<string, Meaning>>): Promise<FakeUpstream> {
  const answer = (received: Received) => void answerFrom(names, received);
  return FakeUpstream.start(t, { onUdp: answer, onTcp: answer });
}

/** What was asked, in its order: `name type`. */
export function askedOf(fake: FakeUpstream): string[] {
  return fake.received.map(({ query }) => nameIn(query));
}

function answerFrom(names: Readonly<Record<string, Meaning>>, { query, reply }: Received): void {
  const { name, type } = dnsPacket.decode(query).questions![0]!;
  const meaning = names[name] ?? { rcode: 3 };
  if (!meaning.silent) void reply(packed(query, meaning, type === "AAAA" ? "AAAA" : "A"));
}

/** A reply to a query, as the meaning has it. */
export function packed(
  query: Buffer,
  { a = [], aaaa = [], rcode = 0, ttl = 60, soa }: Meaning,
  type: "A" | "AAAA" = "A",
): Buffer {
  const { id, questions } = dnsPacket.decode(query);
  const { name } = questions![0]!;
  const answers: Answer[] =
    type === "A" ? a.map((data) => ({ type, name, ttl, data })) : aaaa.map((data) => ({ type, name, ttl, data }));
  const authorities: Answer[] =
    soa === undefined || answers.length > 0
      ? []
      : [
          {
            type: "SOA",
            name: ".",
            ttl: soa,
            data: { mname: "ns", rname: "admin", serial: 1, refresh: 1, retry: 1, expire: 1, minimum: soa },
          },
        ];
  const optional = optRecord();
  return dnsPacket.encode({
    type: "response",
    id: id ?? 0,
    flags: 0x0180 | rcode,
    questions: questions ?? [],
    answers,
    authorities,
    additionals: [optional],
  });
}

function nameIn(query: Buffer): string {
  const { name, type } = dnsPacket.decode(query).questions![0]!;
  return `${name} ${type}`;
}
