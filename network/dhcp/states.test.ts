import fc from "fast-check";
import t from "tap";
import { leaseOf, type Lease } from "./lease.js";
import { decodeMessage } from "./message.js";
import { option } from "./options.js";
import type { Identity } from "./requests.js";
import { begin, step, type Effect, type Event, type State, type Transition } from "./states.js";
import { replyOf, testMac, type ReplyFields } from "./testing/reply.js";

const who: Identity = { mac: testMac, clientId: Buffer.from("ff0102", "hex"), hostname: "web", sharesMac: false };
const serverMac = "02:00:00:00:00:01";

/** A client that is given time, and messages. */
class Played {
  state: State;
  effects: readonly Effect[];
  now: number;

  constructor(kept?: Lease, isSamePlace = true, now = 1_000_000) {
    this.now = now;
    ({ state: this.state, effects: this.effects } = begin(kept, isSamePlace, who, this.#moment));
  }

  get #moment() {
    return { now: this.now, random: () => 0.5 };
  }

  #take({ state, effects }: Transition): this {
    this.state = state;
    this.effects = effects;
    return this;
  }

  on(event: Event): this {
    return this.#take(step(this.state, event, who, this.#moment));
  }

  /** Until something is due. */
  wait(): this {
    this.now = Math.max(this.now, this.state.at ?? Infinity);
    return this.on({ kind: "due" });
  }

  hear(type: "offer" | "ack" | "nak", fields: ReplyFields = {}): this {
    const xid = "xid" in this.state ? this.state.xid : 0;
    const message = decodeMessage(replyOf(type, { ip: "10.0.0.9", xid, ...fields }));
    return this.on({ kind: "message", message, from: serverMac });
  }

  probed(isTaken = false): this {
    return this.on({ kind: "probed", isTaken });
  }

  /** With a lease. */
  bound(fields: ReplyFields = {}): this {
    return this.wait().hear("offer", fields).hear("ack", fields).probed();
  }

  /** What it has done last, in short. */
  get done(): string {
    return this.effects
      .map((effect) => (effect.kind === "send" ? `${effect.message.type} to ${effect.to}` : effect.kind))
      .join(", ");
  }

  option(code: number): string | undefined {
    const [effect] = this.effects;
    const value = effect?.kind === "send" ? effect.message.options.get(code) : undefined;
    return value && [...value].join(".");
  }
}

function lent(fields: ReplyFields = {}, now = 1_000_000): Lease {
  return leaseOf(decodeMessage(replyOf("ack", { ip: "10.0.0.9", ...fields })), serverMac, now)!;
}

t.test("from nothing to a lease", (t) => {
  const client = new Played();
  t.equal(client.wait().done, "discover to everybody");
  t.equal(client.option(option.hostname), [...Buffer.from("web")].join("."));
  t.equal(client.option(option.clientId), "255.1.2");
  t.equal(client.state.at, client.now + 2000);
  t.equal(client.hear("offer").done, "request to everybody");
  t.equal(client.option(option.requestedIp), "10.0.0.9");
  t.equal(client.option(option.server), "10.0.0.1");
  t.equal(client.hear("ack").done, "probe");
  t.equal(client.probed().done, "leased");
  t.match(client.state, { kind: "bound", lease: { ip: "10.0.0.9", serverMac } });
  t.end();
});

t.test("where others have its MAC address, replies are to go to all until it has an address", (t) => {
  const shared = { ...who, sharesMac: true };
  const moment = { now: 0, random: () => 0.5 };
  const wants = ({ effects: [effect] }: Transition) => effect?.kind === "send" && effect.message.wantsBroadcast;
  t.equal(wants(step(begin(undefined, true, shared, moment).state, { kind: "due" }, shared, moment)), true);
  const bound = begin(lent({ seconds: 100 }, 0), true, shared, moment).state;
  t.equal(wants(step(bound, { kind: "due" }, shared, { ...moment, now: 50_000 })), false);
  t.end();
});

t.test("without an answer it asks at longer and longer times, up to a minute", (t) => {
  const client = new Played();
  const times = Array.from({ length: 9 }, () => client.wait().now);
  const waits = times.slice(1).map((time, index) => (time - times[index]!) / 1000);
  t.same(waits, [2, 4, 8, 16, 32, 64, 64, 64]);
  t.end();
});

t.test("what is not for it is not heard", (t) => {
  const client = new Played().wait();
  const { state } = client;
  for (const fields of [
    { xid: 1 },
    { mac: "02:00:00:00:00:08" },
    { options: [[61, Buffer.from("ff01", "hex")]] },
  ] as const)
    t.equal(client.hear("offer", fields as ReplyFields).state, state);
  t.equal(client.hear("ack").state, state, "nor an answer to another question");
  t.equal(client.hear("nak").state, state);
  client.hear("offer");
  const requesting = client.state;
  for (const type of ["ack", "nak"] as const)
    t.equal(client.hear(type, { server: "10.0.0.66" }).state, requesting, "another server");
  t.equal(client.hear("offer", { ip: "10.0.0.66" }).state, requesting, "a second offer");
  t.equal(client.probed().state, requesting);
  t.end();
});

t.test("an offer that leads to nothing is forgotten", (t) => {
  const client = new Played().wait().hear("offer");
  t.same([client.wait().done, client.wait().done], ["request to everybody", "request to everybody"]);
  t.equal(client.wait().state.kind, "init");
  t.equal(client.wait().done, "discover to everybody");
  t.equal(client.option(option.requestedIp), "10.0.0.9", "the same address would do");
  t.equal(client.hear("offer").hear("nak").state.kind, "init");
  t.equal(client.wait().option(option.requestedIp), undefined, "but not what was refused");
  t.end();
});

t.test("an address that somebody has is declined; the second time it waits for longer", (t) => {
  const client = new Played().wait().hear("offer").hear("ack").probed(true);
  t.equal(client.done, "decline to everybody");
  t.equal(client.option(option.requestedIp), "10.0.0.9");
  t.equal(client.state.at, client.now + 2000);
  client.wait().hear("offer").hear("ack").probed(true);
  t.equal(client.state.at, client.now + 10_000, "RFC 2131 section 3.1");
  t.equal(client.wait().hear("offer").hear("ack").probed().done, "leased");
  t.end();
});

t.test("a lease is renewed, then asked of all, then lost", (t) => {
  const client = new Played().bound({ seconds: 1000 });
  const start = client.now;
  t.equal(client.wait().done, "request to server");
  t.ok(client.now > start + 480_000 && client.now <= start + 500_000, "at half of its time, or shortly before");
  t.equal(client.option(option.requestedIp), undefined);
  t.match(client.effects[0], { message: { ciaddr: "10.0.0.9" }, lease: { server: "10.0.0.1" } });
  const heard: string[] = [];
  while (client.state.kind !== "init")
    heard.push(`${client.wait().done} at ${Math.round((client.now - start) / 1000)}`);
  t.match(heard[0], /request to server at 68\d/);
  t.equal(
    heard.find((line) => line.includes("everybody")),
    "request to everybody at 875",
  );
  t.equal(heard.at(-1), "lost at 1000");
  t.equal(client.wait().done, "discover to everybody", "and it begins anew");
  t.equal(client.option(option.requestedIp), "10.0.0.9");
  t.end();
});

t.test("a renewal may bring what it likes", (t) => {
  const renewing = () => new Played().bound({ seconds: 1000 }).wait();
  t.match(renewing().hear("ack", { ip: "10.0.0.77" }), {
    done: "leased",
    state: { kind: "bound", lease: { ip: "10.0.0.77" } },
  });
  t.match(renewing().hear("nak"), { done: "lost", state: { kind: "init" } });
  t.equal(renewing().hear("nak", { server: "10.0.0.66" }).state.kind, "renewing", "not from somebody else");
  const rebinding = renewing();
  while (rebinding.state.kind !== "rebinding") rebinding.wait();
  t.match(rebinding.hear("ack", { server: "10.0.0.66" }).state, { kind: "bound", lease: { server: "10.0.0.66" } });
  t.equal(new Played().bound({ seconds: 0xffffffff }).state.at, null, "a lease without end");
  t.end();
});

t.test("what was lent before", (t) => {
  const lease = lent({ seconds: 1000 });
  t.match(new Played(lease, true, 1_100_000).state, { kind: "bound", at: lease.renewal });
  t.equal(new Played(lease, true, 1_600_000).wait().done, "request to server", "its time to be renewed has passed");
  t.equal(new Played(lease, true, 1_900_000).wait().done, "request to everybody");
  t.match(new Played(lease, true, 2_000_000), { done: "lost", state: { kind: "init", last: "10.0.0.9" } });
  t.equal(new Played(lease, true, 500_000).wait().done, "request to server", "a clock that was set back");

  const rebooting = () => new Played(lease, false, 1_100_000);
  t.equal(rebooting().done, "request to everybody");
  t.equal(rebooting().option(option.requestedIp), "10.0.0.9");
  t.equal(rebooting().option(option.server), undefined);
  t.match(rebooting().hear("ack"), { done: "leased", state: { kind: "bound" } });
  t.match(rebooting().hear("nak", { server: "10.0.0.66" }), { done: "lost", state: { kind: "init" } });
  const unanswered = rebooting();
  t.same(
    [unanswered.wait().done, unanswered.wait().done, unanswered.wait().state.kind],
    ["request to everybody", "request to everybody", "bound"],
  );
  t.end();
});

t.test("whatever comes, it does not ask without pause, and never has an address that was not lent", (t) => {
  const event = fc.oneof(
    fc.constant("due" as const),
    fc.constantFrom("offer" as const, "ack" as const, "nak" as const),
    fc.constantFrom("free" as const, "taken" as const),
  );
  const seconds = fc.constantFrom(10, 11, 60, 0xffffffff);
  fc.assert(
    fc.property(fc.array(fc.tuple(event, seconds), { maxLength: 200 }), (events) => {
      const client = new Played();
      const start = client.now;
      let own = false;
      let sent = 0;
      for (const [kind, time] of events) {
        if (kind === "due") {
          if (client.state.at === null) continue;
          client.wait();
        } else if (kind === "free" || kind === "taken") client.probed(kind === "taken");
        else client.hear(kind, { seconds: time });
        for (const effect of client.effects) {
          if (effect.kind === "leased") own = true;
          if (effect.kind === "lost" && !own) return false;
          if (effect.kind === "lost") own = false;
          if (effect.kind === "send") sent++;
        }
        const has = "lease" in client.state && client.state.kind !== "probing";
        if (has !== own) return false;
      }
      return sent <= 10 + (client.now - start) / 400;
    }),
    { numRuns: 500 },
  );
  t.end();
});
