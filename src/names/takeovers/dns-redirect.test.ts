import fc from "fast-check";
import { spawnSync } from "node:child_process";
import t from "tap";
import { RESOLVER_ADDRESS } from "../../../dns/protocol.js";
import { insideNewNamespace } from "../../../linux/netns.js";
import { withNfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../../linux/netlink/nftables/ruleset.js";
import { ipv4, service } from "../../../linux/netlink/nftables/data-types.js";
import { accept, drop, ip, udp } from "../../../linux/netlink/nftables/statements.js";
import { Transaction } from "../../../linux/netlink/nftables/transaction.js";
import { nft, nftPrograms, skipWithoutNft } from "../../../linux/testing/nft.js";
import { findDnsRedirect, type RuleSource } from "./dns-redirect.js";
import { budget, foreignDnsRule } from "./namespace-rules.js";
import { takeoverTable } from "./takeover-table.js";

const skip = skipWithoutNft;

/** What is found in a network namespace that was made and furnished by `furnish`. */
const foundAfter = (furnish: () => void) =>
  insideNewNamespace(() => {
    furnish();
    return withNfnetlink((nfnetlink) => foreignDnsRule(new Ruleset(nfnetlink)));
  });

const outputChain = "type nat hook output priority -100; policy accept;";
const inChain = (...rules: string[]) =>
  `table ip nat { chain X { ${outputChain} ${rules.map((rule) => `${rule};`).join(" ")} }; }`;

t.test("Docker's own rules, and ours, are no foreign ones", { skip }, (t) => {
  const docker20 = `table ip nat {
    chain DOCKER_OUTPUT {
      ip daddr 127.0.0.11 tcp dport 53 counter dnat to 127.0.0.11:35047;
      ip daddr 127.0.0.11 udp dport 53 counter dnat to 127.0.0.11:48331;
    }
    chain OUTPUT { ${outputChain} ip daddr 127.0.0.11 counter jump DOCKER_OUTPUT; }
    chain DOCKER_POSTROUTING { ip saddr 127.0.0.11 udp sport 48331 counter snat to :53; }
  }`;
  const docker29 = `table ip docker-dns {
    chain dns-dnat { ${outputChain} ip daddr 127.0.0.11 udp dport 53 counter dnat to 127.0.0.11:48331; }
    chain dns-snat { type nat hook postrouting priority 100; policy accept; ip saddr 127.0.0.11 udp sport 48331 counter snat to :53; }
  }`;
  t.equal(
    foundAfter(() => undefined),
    undefined,
  );
  t.equal(
    foundAfter(() => nft(docker20)),
    undefined,
  );
  t.equal(
    foundAfter(() => nft(docker29)),
    undefined,
  );
  t.equal(
    foundAfter(() => withNfnetlink((nfnetlink) => takeoverTable(40_053, false).commit(nfnetlink))),
    undefined,
  );
  t.equal(
    foundAfter(() =>
      nft(`${docker20}\nadd chain ip nat MINE { ${outputChain} }\nadd rule ip nat MINE udp dport 53 dnat to 10.0.0.9`),
    ),
    "udp dport 53 dnat to 10.0.0.9",
    "but what stands beside them is looked at",
  );
  t.end();
});

const foreign: [rules: string, found: RegExp | string][] = [
  [inChain("udp dport 53 redirect to :15053"), "udp dport 53 redirect to :15053"],
  [inChain("counter", "tcp dport 53 counter redirect to :15053"), "tcp dport 53 counter redirect to :15053"],
  [
    inChain("meta skuid != 1337 udp dport 53 counter dnat to 10.8.0.1:53"),
    /^meta skuid != 0x539 udp dport 53 counter dnat to 10\.8\.0\.1:53$/,
  ],
  [inChain("udp dport { 53, 5353 } dnat to 10.8.0.1"), "udp dport { … } dnat to 10.8.0.1"],
  [inChain("udp dport 50-60 dnat to 10.8.0.1"), /^udp dport (>= 50 udp dport <= 60|50-60) dnat/],
  [inChain("udp dport < 1024 dnat to 10.8.0.1"), /^udp dport < 1024 dnat/],
  [inChain("ip daddr 127.0.0.0/8 udp dport 53 redirect to :53"), "ip daddr 127.0.0.0/8 udp dport 53 redirect to :53"],
  [inChain("ip daddr & 255.0.0.0 == 127.0.0.0 udp dport 53 redirect to :53"), /redirect/],
  [inChain("ip daddr . udp dport { 127.0.0.11 . 53 } redirect to :5"), /redirect/],
  [inChain("meta l4proto { tcp, udp } meta l4proto . th dport { udp . 53, tcp . 53 } redirect to :5"), /redirect/],
  [inChain("ip saddr . udp dport { 10.0.0.1 . 53 } redirect to :5"), /redirect/],
  [inChain("udp sport 5 udp dport 53 redirect to :5"), /redirect/],
  [inChain('oifname "lo" udp dport 53 redirect to :5'), /redirect/],
  [inChain('oifname "l*" udp dport 53 redirect to :5'), /redirect/],
  [inChain("udp dport { 1-100 } redirect to :5"), /redirect/],
  [inChain("udp dport != 5353 udp dport 53 redirect to :5"), /redirect/],
  [
    `table ip nat { chain M { dnat to 10.8.0.1; }; chain OUTPUT { ${outputChain} udp dport 53 jump M; }; }`,
    "udp dport 53 jump M",
  ],
  [
    `table ip nat { chain N { redirect; }; chain M { goto N; }; chain OUTPUT { ${outputChain} udp dport 53 goto M; }; }`,
    "udp dport 53 goto M",
  ],
  [
    `table ip nat { chain N { udp dport 53 redirect to :5; }; chain OUTPUT { ${outputChain} ip protocol udp jump N; }; }`,
    "udp dport 53 redirect to :5",
  ],
  [
    `table ip nat { chain M { dnat to 10.8.0.1; }; chain OUTPUT { ${outputChain} udp dport vmap { 53 : jump M, 80 : accept }; }; }`,
    /vmap/,
  ],
  [
    `table inet any { chain OUTPUT { ${outputChain} udp dport 53 redirect to :15053; }; }`,
    "udp dport 53 redirect to :15053",
  ],
  [`table inet any { chain OUTPUT { ${outputChain} meta nfproto ipv4 udp dport 53 redirect to :1; }; }`, /redirect/],
];

t.test("a redirection of DNS by somebody else is found and told", { skip }, (t) => {
  for (const [rules, wanted] of foreign) {
    const found = foundAfter(() => nft(rules));
    if (typeof wanted === "string") t.equal(found, wanted, rules);
    else t.match(found, wanted, rules);
  }
  t.end();
});

t.test("rules that do not redirect what is asked of the resolver are no reason to keep away", { skip }, (t) => {
  const harmless = [
    inChain("udp dport 53 accept"),
    inChain("udp dport 530 dnat to 10.8.0.1"),
    inChain("udp dport 5353 redirect to :15053"),
    inChain("udp dport { 5353, 530 } redirect to :1"),
    inChain("tcp dport 80 dnat to 10.0.0.53:8080"),
    inChain("udp sport 53 redirect to :1"),
    inChain("udp dport != 53 redirect to :1"),
    inChain("ip daddr != 127.0.0.0/8 udp dport 53 redirect to :1"),
    inChain("ip daddr 10.0.0.2 udp dport 53 redirect to :1"),
    inChain("ip daddr & 255.0.0.0 == 10.0.0.0 udp dport 53 redirect to :53"),
    inChain("ip daddr . udp dport { 10.0.0.1 . 53 } redirect to :5"),
    inChain('oifname != "lo" udp dport 53 redirect to :5'),
    inChain('oifname "eth0" udp dport 53 redirect to :5'),
    inChain("meta l4proto 132 th dport 53 redirect to :5"),
    inChain("redirect"), // of everything: it does not mean the resolver
    inChain('udp dport 80 redirect to :1 comment "dport 53 {"'),
    `table ip nat { chain OUTPUT { ${outputChain} udp dport vmap { 53 : accept, 80 : drop }; }; }`,
    `table ip nat { chain M { dnat to 10.8.0.1; }; chain OUTPUT { ${outputChain} udp dport 54 jump M; }; }`,
    `table inet any { chain OUTPUT { ${outputChain} meta nfproto ipv6 udp dport 53 redirect to :1; }; }`,
    `table ip6 nat { chain OUTPUT { ${outputChain} udp dport 53 redirect to :1; }; }`,
    // For others, whose gateway it is.
    "table ip nat { chain PREROUTING { type nat hook prerouting priority -100; udp dport 53 dnat to 10.0.0.2; }; }",
    "table ip f { chain OUTPUT { type filter hook output priority 0; udp dport 53 drop; }; }",
    "table ip f { chain A { udp dport 53 accept; }; chain B { jump A; }; }",
    'table ip t { map m { type ifname : verdict; }; set s { type inet_service; elements = { 53 comment "dport {" } }; }',
  ];
  for (const rules of harmless)
    t.equal(
      foundAfter(() => nft(rules)),
      undefined,
      rules,
    );
  t.end();
});

t.test("chains that lead back to one another are walked once", { skip }, (t) => {
  // The kernel refuses loops; a fake has them all the same.
  const jump = { kind: "immediate", dreg: 0, data: { verdict: "jump", chain: "c" } } as const;
  const chain = { family: "ip", table: "t", chain: "c", at: { type: "nat", hook: 3, priority: 0 } } as const;
  const source: RuleSource = {
    chains: () => [chain],
    rules: () => [{ handle: 1, comment: undefined, expressions: [jump, jump] }],
    set: () => undefined,
    elements: () => [],
    element: () => undefined,
  };
  t.equal(
    findDnsRedirect(source, RESOLVER_ADDRESS, () => false, budget()),
    undefined,
  );
  t.end();
});

t.test("whatever expressions a rule has, looking at it ends", (t) => {
  const number = fc.oneof(fc.nat(255), fc.integer());
  const bytes = fc.uint8Array({ maxLength: 40 }).map((raw) => Buffer.from(raw));
  const data = fc.oneof(
    fc.record({ bytes }),
    fc.record({ verdict: fc.constantFrom("jump", "accept"), chain: fc.constantFrom("c", "d") }),
  );
  const kind = fc.constantFrom(
    "payload",
    "meta",
    "bitwise",
    "byteorder",
    "cmp",
    "range",
    "lookup",
    "immediate",
    "match",
    "target",
    "nat",
    "redir",
    "unknown",
    "dynset",
    "fib",
    "ct",
  );
  const fields = fc.record(
    {
      dreg: number,
      sreg: number,
      base: number,
      offset: number,
      length: number,
      operation: number,
      key: number,
      flags: number,
      data,
      from: data,
      to: data,
      mask: data,
      xor: data,
      set: fc.constant("s"),
      name: fc.constantFrom("udp", "multiport", "tcp"),
      info: bytes,
    },
    { requiredKeys: [] },
  );
  const rule = fc.array(
    fc.tuple(kind, fields).map(([name, rest]) => ({ kind: name, ...rest })),
    { maxLength: 8 },
  );
  const chain = { family: "ip", table: "t", at: { type: "nat", hook: 3, priority: 0 } } as const;
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 6 }), (rules) => {
      const source: RuleSource = {
        chains: () => [
          { ...chain, chain: "c" },
          { ...chain, chain: "d" },
        ],
        rules: () => rules.map((expressions) => ({ handle: 1, comment: undefined, expressions: expressions as never })),
        set: () => ({
          family: "ip",
          table: "t",
          set: "s",
          flags: 0,
          keyLength: 2,
          timeout: undefined,
          comment: undefined,
        }),
        elements: () => [],
        element: () => ({
          key: Buffer.of(0, 53),
          keyEnd: undefined,
          data: { verdict: "jump", chain: "d" },
          comment: undefined,
          isCatchAll: false,
          endsRange: false,
          expires: undefined,
        }),
      };
      const found = findDnsRedirect(source, RESOLVER_ADDRESS, () => false, budget());
      return found === undefined || (found.length > 0 && found.length < 300);
    }),
  );
  t.end();
});

/** Counts what is asked of a namespace's rules. */
class Counting implements RuleSource {
  asked = 0;
  constructor(private readonly rules_: Ruleset) {}
  chains(...args: Parameters<RuleSource["chains"]>) {
    return this.#count(this.rules_.chains(...args));
  }
  rules(...args: Parameters<RuleSource["rules"]>) {
    return this.#count(this.rules_.rules(...args));
  }
  elements(...args: Parameters<RuleSource["elements"]>) {
    return this.#count(this.rules_.elements(...args));
  }
  set(...args: Parameters<RuleSource["set"]>) {
    this.asked++;
    return this.rules_.set(...args);
  }
  element(...args: Parameters<RuleSource["element"]>) {
    this.asked++;
    return this.rules_.element(...args);
  }
  #count<Found>(found: Found[]): Found[] {
    this.asked += found.length;
    return found;
  }
}

t.test("what is read does not grow with rules that are not about what a question passes", { skip }, (t) => {
  const asked = (size: number) =>
    insideNewNamespace(() =>
      withNfnetlink((nfnetlink) => {
        const table = { family: "ip", table: "others" } as const;
        const transaction = new Transaction().addTable(table);
        for (const [chain, hook] of [
          ["in", "input"],
          ["forward", "forward"],
          ["pre", "prerouting"],
        ] as const) {
          transaction.addChain({ ...table, chain, at: { type: "filter", hook, priority: 0 } });
          for (let count = 0; count < size; count++)
            transaction.addRule({ ...table, chain }, [udp.dport.is(53), ip.saddr.is("10.0.0.1"), drop]);
        }
        transaction.addSet({ ...table, set: "addresses", key: [ipv4] }).addElements(
          { ...table, set: "addresses" },
          Array.from({ length: size * 10 }, (_, index) => ({
            key: Buffer.of(10, 0, index >> 8, index & 255),
            comment: "dport 53 {",
          })),
        );
        transaction.addSet({ ...table, set: "ports", key: [service] }).addElements(
          { ...table, set: "ports" },
          Array.from({ length: size }, (_, index) => ({ key: service.encode(1000 + index) })),
        );
        transaction
          .addChain({ ...table, chain: "out", at: { type: "nat", hook: "output", priority: 0 } })
          .addRule({ ...table, chain: "out" }, [udp.dport.isIn("ports"), accept]);
        transaction.commit(nfnetlink);
        const source = new Counting(new Ruleset(nfnetlink));
        t.equal(
          findDnsRedirect(source, RESOLVER_ADDRESS, () => false, budget()),
          undefined,
        );
        return source.asked;
      }),
    );
  t.equal(asked(2000), asked(2));
  t.end();
});

t.test("who has more rules than are read is told apart, not waited for", { skip }, (t) => {
  const furnish = () =>
    withNfnetlink((nfnetlink) => {
      const chain = { family: "ip", table: "many", chain: "out" } as const;
      const transaction = new Transaction()
        .addTable(chain)
        .addChain({ ...chain, at: { type: "nat", hook: "output", priority: 0 } });
      for (let count = 0; count < 20_000; count++) transaction.addRule(chain, [udp.dport.is(5), accept]);
      transaction.commit(nfnetlink);
    });
  t.throws(() => foundAfter(furnish), { code: "RULES_TOO_MANY" });
  t.end();
});

t.test("iptables' rules are understood, with native and with foreign matches", { skip }, (t) => {
  const iptables = (...args: string[]) => {
    const { status, stderr } = spawnSync("iptables-nft", ["-t", "nat", ...args], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
  };
  const found = (...rule: string[]) => foundAfter(() => iptables("-A", "OUTPUT", ...rule));
  t.match(found("-p", "udp", "--dport", "53", "-j", "REDIRECT", "--to-ports", "5353"), /dport 53.*(REDIRECT|redirect)/);
  t.match(
    found("-p", "tcp", "-m", "multiport", "--dports", "53,853", "-j", "DNAT", "--to-destination", "10.0.0.9"),
    /(DNAT|dnat)/,
  );
  t.match(
    found(
      "-p",
      "udp",
      "-m",
      "multiport",
      "--dports",
      "50:60",
      "-m",
      "owner",
      "!",
      "--uid-owner",
      "7",
      "-j",
      "DNAT",
      "--to-destination",
      "10.0.0.9",
    ),
    /(DNAT|dnat)/,
  );
  t.equal(
    found("-p", "udp", "-m", "multiport", "!", "--dports", "53", "-j", "DNAT", "--to-destination", "10.0.0.9"),
    undefined,
  );
  t.equal(
    found("-p", "udp", "-m", "multiport", "--sports", "53", "-j", "DNAT", "--to-destination", "10.0.0.9"),
    undefined,
  );
  t.equal(found("-p", "udp", "!", "--dport", "53", "-j", "REDIRECT", "--to-ports", "5"), undefined);
  t.equal(found("-p", "udp", "--dport", "80", "-j", "REDIRECT", "--to-ports", "5"), undefined);
  t.equal(
    found("-p", "udp", "--dport", "53", "!", "-d", "127.0.0.0/8", "-j", "REDIRECT", "--to-ports", "5"),
    undefined,
  );
  t.end();
});

t.test("every nft at hand writes what is read here", { skip }, (t) => {
  for (const program of nftPrograms) {
    t.match(
      foundAfter(() => nft(inChain("udp dport { 53, 5353 } redirect to :5"), program)),
      /redirect/,
      program.join(" "),
    );
    t.equal(
      foundAfter(() => nft("table ip t { map m { type ifname : verdict; }; chain c { iifname vmap @m; }; }", program)),
      undefined,
    );
  }
  t.end();
});
