import t from "tap";
import { HOOK, REGISTER } from "../../../linux/netlink/nftables/numbers.js";
import type { Chain } from "../../../linux/netlink/nftables/ruleset.js";
import { newPacket } from "../way/journey.js";
import { chainsAt, passHook } from "./hook.js";
import type { BookRule, RuleBook, Surroundings } from "./surroundings.js";

// What iptables and nft make of words is in ../facts/kernel-rules.test.ts.

const chain = (name: string, at?: Chain["at"], family: Chain["family"] = "ip"): Chain => ({
  family,
  table: "t",
  chain: name,
  at,
});
const filter = (priority: number) => ({ type: "filter", hook: HOOK.forward, priority });
const jump = (to: string): BookRule => ({
  handle: 1,
  comment: undefined,
  expressions: [{ kind: "immediate", dreg: REGISTER.verdict, data: { verdict: "jump", chain: to } }],
});
const surroundings: Surroundings = { kindOf: () => "unicast", linkTo: () => undefined, addressOf: () => undefined };
const packet = newPacket("tcp", "10.0.0.1", "10.0.0.2", 80);

function bookOf(chains: readonly Chain[], rules: Readonly<Record<string, readonly BookRule[]>>): RuleBook {
  return { chains, rules: (of) => rules[of.chain] ?? [], set: () => undefined, element: () => undefined };
}

t.test("chains see a packet in the order of their priorities, whatever their family", (t) => {
  const chains = [
    chain("last", filter(10)),
    chain("first", filter(-10), "inet"),
    chain("six", filter(0), "ip6"),
    chain("elsewhere", { type: "filter", hook: HOOK.input, priority: 0 }),
    chain("jumped to"),
  ];
  const { rulings, isRefused } = passHook(bookOf(chains, {}), "forward", packet, surroundings);
  t.same(
    rulings.map(({ base }) => base.chain),
    ["first", "last"],
  );
  t.equal(isRefused, false);
  t.end();
});

t.test("chains of NAT are all asked where NAT has its place", (t) => {
  const nat = (priority: number) => ({ type: "nat", hook: HOOK.prerouting, priority });
  const chains = [
    chain("filter", { type: "filter", hook: HOOK.prerouting, priority: -95 }),
    chain("late", nat(-90)),
    chain("early", nat(-100)),
    chain("raw", { type: "filter", hook: HOOK.prerouting, priority: -300 }),
  ];
  t.same(
    chainsAt(chains, "prerouting", ["ip"]).map((each) => each.chain),
    ["raw", "early", "late", "filter"],
  );
  t.end();
});

t.test("chains that jump to one another in very many ways are given up, and circles end", (t) => {
  const fan = (to: string) => Array.from({ length: 50 }, () => jump(to));
  const rules = { base: fan("a"), a: fan("b"), b: fan("c"), c: fan("d"), d: fan("e") };
  t.throws(() => passHook(bookOf([chain("base", filter(0))], rules), "forward", packet, surroundings), {
    code: "RULES_TOO_MANY",
  });
  const circle = bookOf([chain("base", filter(0))], { base: [jump("a")], a: [jump("a")] });
  t.equal(passHook(circle, "forward", packet, surroundings).isRefused, false);
  t.end();
});
