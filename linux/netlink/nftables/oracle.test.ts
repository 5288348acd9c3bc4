// nft itself is the oracle: the same rules are written once with our words and once with nft's, and must look the same to nft of
// every release at hand, and to our own reader.
import t, { type Test } from "tap";
import { insideNewNamespace } from "../../netns.js";
import { nft, nftObjects, nftPrograms, skipWithoutNft } from "../../testing/nft.js";
import { Budget } from "../budget.js";
import { withNfnetlink } from "../nfnetlink.js";
import { ipv4, mark, protocol, service } from "./data-types.js";
import type { Expression } from "./expressions.js";
import { concat, type Statement } from "./fields.js";
import { Ruleset } from "./ruleset.js";
import * as s from "./statements.js";
import { concatenated, Transaction, type ChainHook, type Element, type NewSet } from "./transaction.js";

const plenty = () => new Budget("the test", { bytes: 64 << 20, objects: 1_000_000, time: 30_000 });
const skip = skipWithoutNft;

type Case = readonly [words: string, statements: readonly Statement[]];

/** Rules as both have them, each in a table of `family` with the sets and hook given. */
function sameRules(
  t: Test,
  family: "ip" | "inet" | "bridge" | "ip6",
  at: ChainHook,
  cases: readonly Case[],
  sets: readonly [words: string, set: Omit<NewSet, "family" | "table">][] = [],
): void {
  const table = { family, table: "t" } as const;
  const chain = { ...table, chain: "c" } as const;
  const theirs = [
    `table ${family} t {`,
    ...sets.map(([words]) => words),
    "chain d { }",
    `chain c { type ${at.type} hook ${at.hook} priority ${at.priority}; policy ${at.policy ?? "accept"};`,
    ...cases.map(([words]) => words),
    "}\n}",
  ].join("\n");
  const ours = new Transaction().addTable(table);
  for (const [, set] of sets) ours.addSet({ ...table, ...set });
  ours.addChain({ ...table, chain: "d" }).addChain({ ...chain, at });
  for (const [, statements] of cases) ours.addRule(chain, statements);

  const look = (load: () => void) =>
    insideNewNamespace(() => {
      load();
      const read = withNfnetlink((nfnetlink) => new Ruleset(nfnetlink).rules(chain, plenty()));
      return {
        shown: nftPrograms.map((program) => nftObjects(program)),
        read: read.map(({ expressions }) => expressions.flatMap(plain)),
      };
    });
  const [our, their] = [look(() => withNfnetlink((nfnetlink) => ours.commit(nfnetlink))), look(() => nft(theirs))];
  for (const [index, program] of nftPrograms.entries())
    t.same(our.shown[index], their.shown[index], `as ${program.join(" ")} shows them`);
  for (const [index, [words]] of cases.entries()) {
    t.same(our.read[index], their.read[index], words);
    t.notOk(
      their.read[index]!.some((expression) => "unknown" in expression),
      `${words}: every part of it is known`,
    );
  }
}

/** Without numbers of this very load, what the kernel tells as 0 where it was left out, and what releases of nft do in different ways. */
function plain(expression: Expression): Record<string, unknown>[] {
  if (expression.kind === "range" && (expression.operation ?? 0) === 0)
    return [
      plain({ kind: "cmp", sreg: expression.sreg!, operation: 5, data: expression.from! }),
      plain({ kind: "cmp", sreg: expression.sreg!, operation: 3, data: expression.to! }),
    ].flat();
  const { kind, ...fields } = expression as unknown as Record<string, unknown>;
  const rest = Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => value !== 0 && name !== "setId" && !name.startsWith("checksum")),
  );
  return [{ [String(kind)]: rest }];
}

const output: ChainHook = { type: "filter", hook: "output", priority: -310 };
const names = "set names { type inet_service; size 4; flags timeout,dynamic; }";
const namesSet = { set: "names", key: [service], size: 4, flags: ["timeout", "dynamic"] } as const;

t.test("what a takeover needs", { skip }, (t) => {
  sameRules(
    t,
    "ip",
    output,
    [
      ["meta mark 0x706e accept", [s.meta.mark.is(0x706e), s.accept]],
      [
        "ip daddr 127.0.0.11 udp dport @names udp dport set 4053 notrack",
        [s.ip.daddr.is("127.0.0.11"), s.udp.dport.isIn("names"), s.udp.dport.set(4053), s.notrack],
      ],
      [
        "ip daddr 127.0.0.11 tcp dport != @names tcp dport set 4053",
        [s.ip.daddr.is("127.0.0.11"), s.tcp.dport.isNotIn("names"), s.tcp.dport.set(4053)],
      ],
      [
        "ip saddr 127.0.0.11 udp sport 4053 ip ttl 7 udp sport set 53 notrack accept",
        [s.ip.saddr.is("127.0.0.11"), s.udp.sport.is(4053), s.ip.ttl.is(7), s.udp.sport.set(53), s.notrack, s.accept],
      ],
      [
        "udp sport 4053 udp sport set 53 update @names { udp sport timeout 6s } notrack",
        [s.udp.sport.is(4053), s.udp.sport.set(53), s.update("names", s.udp.sport, 6000), s.notrack],
      ],
      ["add @names { tcp sport }", [s.update("names", s.tcp.sport, 0, "add")]],
    ],
    [[names, namesSet]],
  );
  t.end();
});

t.test("tests of packets and connections", { skip }, (t) => {
  sameRules(t, "inet", { type: "filter", hook: "prerouting", priority: 0, policy: "drop" }, [
    ["ip saddr 10.0.0.0/12 drop", [s.ip.saddr.isWithin("10.0.0.0", 12), s.drop]],
    ["ip saddr 10.0.0.0/8 drop", [s.ip.saddr.isWithin("10.0.0.0", 8), s.drop]],
    ["ip saddr != 10.1.2.3 jump d", [s.ip.saddr.isNot("10.1.2.3"), s.jump("d")]],
    ["ip6 daddr fd00::1 goto d", [s.ip6.daddr.is("fd00::1"), s.goto("d")]],
    ["tcp dport 1000-2000 return", [s.tcp.dport.isBetween(1000, 2000), s.returns]],
    [
      "ct state established,related counter accept",
      [s.ct.state.hasAnyOf(s.CT_STATE.established | s.CT_STATE.related), s.counter, s.accept],
    ],
    ["ct mark 7 accept", [s.ct.mark.is(7), s.accept]],
    ['iifname "eth0" accept', [s.meta.iifname.is("eth0"), s.accept]],
    ['iifname "br-*" accept', [s.meta.iifname.is("br-*"), s.accept]],
    ["meta l4proto 17 accept", [s.meta.l4proto.is(17), s.accept]],
    ["fib daddr type local accept", [s.fib.daddrType.is(s.ADDRESS_KIND.local), s.accept]],
    ["socket transparent 1 accept", [s.socket.transparent.is(1), s.accept]],
    ["meta mark and 0xff == 1 accept", [s.meta.mark.masks(0xff, 1), s.accept]],
    ["limit rate 10/second burst 5 packets accept", [s.limit(10, "second"), s.accept]],
    ["limit rate over 100/minute burst 20 packets drop", [s.limit(100, "minute", { burst: 20, over: true }), s.drop]],
    ['log prefix "seen"', [s.log("seen")]],
    ['log prefix "seen" group 3 snaplen 64', [s.log("seen", { group: 3, length: 64 })]],
    ["meta mark set 5", [s.meta.mark.set(5)]],
    ["ct mark set 5", [s.ct.mark.set(5)]],
    ["meta mark set meta mark or 0x10", [s.meta.mark.setBits(0x10)]],
    ["ct mark set ct mark and 0xffffffef", [s.ct.mark.clearBits(0x10)]],
    ["meta nfproto ipv6 accept", [s.meta.nfproto.is(10), s.accept]],
    [
      "icmpv6 type 135-136 accept",
      [s.icmpv6.type.isBetween(s.ICMPV6_TYPE.neighborSolicitation, s.ICMPV6_TYPE.neighborAdvertisement), s.accept],
    ],
    ["meta iifgroup 7 accept", [s.meta.iifgroup.is(7), s.accept]],
    ["meta oifgroup != 7 accept", [s.meta.oifgroup.isNot(7), s.accept]],
    ["tcp sport 1024 accept", [s.tcp.sport.is(1024), s.accept]],
  ]);
  t.end();
});

t.test("isolation and refusal", { skip }, (t) => {
  sameRules(t, "inet", { type: "filter", hook: "forward", priority: 10 }, [
    ["reject with icmpx type port-unreachable", [s.reject]],
    ["meta l4proto tcp reject with tcp reset", [s.rejectWithReset]],
    ['iifname "a" oifname "b" drop', [s.meta.iifname.is("a"), s.meta.oifname.is("b"), s.drop]],
  ]);
  t.end();
});

t.test("translation of addresses", { skip }, (t) => {
  const ports = "map ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }";
  const portsSet = { set: "ports", key: [ipv4, protocol, service], data: [ipv4, service] } as const;
  sameRules(
    t,
    "ip",
    { type: "nat", hook: "prerouting", priority: -100 },
    [
      [
        "ip daddr 192.0.2.1 tcp dport 80 dnat to 10.0.0.2:8080",
        [s.ip.daddr.is("192.0.2.1"), s.tcp.dport.is(80), s.dnatTo({ ip: "10.0.0.2", port: 8080 })],
      ],
      ["ip daddr 192.0.2.1 dnat to 10.0.0.2", [s.ip.daddr.is("192.0.2.1"), s.dnatTo({ ip: "10.0.0.2" })]],
      ["udp dport 53 redirect to :5353", [s.udp.dport.is(53), s.redirectTo(5353)]],
      [
        "dnat ip to ip daddr . meta l4proto . th dport map @ports",
        [s.dnatByMap(concat(s.ip.daddr, s.meta.l4proto, s.transport.dport), "ports", 4)],
      ],
    ],
    [[ports, portsSet]],
  );
  sameRules(
    t,
    "inet",
    { type: "nat", hook: "postrouting", priority: 100 },
    [["snat ip to ip saddr map @from", [s.snatByMap(concat(s.ip.saddr), "from", 4)]]],
    [
      [
        "map from { type ipv4_addr : ipv4_addr; flags interval; }",
        { set: "from", key: [ipv4], data: [ipv4], flags: ["interval"] },
      ],
    ],
  );
  sameRules(t, "ip", { type: "nat", hook: "postrouting", priority: 100 }, [
    ["ip saddr 10.0.0.0/24 masquerade", [s.ip.saddr.isWithin("10.0.0.0", 24), s.masquerade]],
    ["ip saddr 10.0.0.0/20 snat to 192.0.2.1", [s.ip.saddr.isWithin("10.0.0.0", 20), s.snatTo({ ip: "192.0.2.1" })]],
  ]);
  sameRules(t, "ip6", { type: "nat", hook: "prerouting", priority: -100 }, [
    ["tcp dport 80 dnat to [fd00::2]:8080", [s.tcp.dport.is(80), s.dnatTo({ ip: "fd00::2", port: 8080 })]],
  ]);
  sameRules(t, "ip", { type: "filter", hook: "prerouting", priority: -150 }, [
    ["udp dport 53 tproxy to :1053", [s.udp.dport.is(53), s.tproxyTo(1053, 4)]],
  ]);
  sameRules(t, "inet", { type: "filter", hook: "prerouting", priority: -150 }, [
    ["udp dport 53 tproxy to :1053", [s.udp.dport.is(53), s.tproxyTo(1053, "any")]],
  ]);
  t.end();
});

t.test("concatenations, maps of verdicts, and the family of bridges", { skip }, (t) => {
  const pairs = "set pairs { type ipv4_addr . ipv4_addr . inet_service; }";
  const ways = "map ways { type inet_service : verdict; }";
  sameRules(
    t,
    "bridge",
    { type: "filter", hook: "forward", priority: 0 },
    [
      [
        "ip saddr . ip daddr . tcp dport @pairs accept",
        [concat(s.ip.saddr, s.ip.daddr, s.tcp.dport).isIn("pairs"), s.accept],
      ],
      ["tcp dport vmap @ways", [s.tcp.dport.verdictFrom("ways")]],
      ["ip6 saddr fd00::1 drop", [s.ip6.saddr.is("fd00::1"), s.drop]],
      ["meta protocol arp accept", [s.meta.protocol.is(s.ETHERTYPE_ARP), s.accept]],
    ],
    [
      [pairs, { set: "pairs", key: [ipv4, ipv4, service] }],
      [ways, { set: "ways", key: [service], data: "verdict" }],
    ],
  );
  t.end();
});

t.test("elements and comments", { skip }, (t) => {
  const table = { family: "inet", table: "t", comment: "made by pontoon" } as const;
  const cases: [words: string, set: Omit<NewSet, "family" | "table">, elements: Element[]][] = [
    [
      'set a { type ipv4_addr; comment "who"; elements = { 10.0.0.1 comment "one", 10.0.0.2 } }',
      { set: "a", key: [ipv4], comment: "who" },
      [{ key: ipv4.encode("10.0.0.1"), comment: "one" }, { key: ipv4.encode("10.0.0.2") }],
    ],
    [
      "set b { type inet_service; flags interval; elements = { 1000-1999 } }",
      { set: "b", key: [service], flags: ["interval"] },
      [{ key: service.encode(1000) }, { key: service.encode(2000), endsRange: true }],
    ],
    [
      "map c { type inet_service : verdict; elements = { 53 : jump d, 80 : drop } }",
      { set: "c", key: [service], data: "verdict" },
      [
        { key: service.encode(53), data: { verdict: "jump", chain: "d" } },
        { key: service.encode(80), data: { verdict: "drop" } },
      ],
    ],
    [
      "map e { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 10.0.0.1 . 80 : 10.1.0.1 . 8080 } }",
      { set: "e", key: [ipv4, service], data: [ipv4, service] },
      [
        {
          key: concatenated(ipv4.encode("10.0.0.1"), service.encode(80)),
          data: { bytes: concatenated(ipv4.encode("10.1.0.1"), service.encode(8080)) },
        },
      ],
    ],
    [
      "set f { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0-10.0.0.255 . 80-90 } }",
      { set: "f", key: [ipv4, service], flags: ["interval"] },
      [
        {
          key: concatenated(ipv4.encode("10.0.0.0"), service.encode(80)),
          keyEnd: concatenated(ipv4.encode("10.0.0.255"), service.encode(90)),
        },
      ],
    ],
    [
      "set g { type mark; timeout 90s; size 100; flags timeout; }",
      { set: "g", key: [mark], timeout: 90_000, size: 100, flags: ["timeout"] },
      [],
    ],
  ];
  const theirs = `table inet t {
    comment "made by pontoon"; chain d { comment "a chain"; accept comment "a rule"; }
    ${cases.map(([words]) => words).join("\n")}
  }`;
  const ours = new Transaction().addTable(table).addChain({ ...table, chain: "d", comment: "a chain" });
  for (const [, set, elements] of cases)
    ours.addSet({ ...table, comment: undefined, ...set } as NewSet).addElements({ ...table, set: set.set }, elements);
  ours.addRule({ ...table, chain: "d" }, [s.accept], "a rule");
  const look = (load: () => void) =>
    insideNewNamespace(() => {
      load();
      const elements = withNfnetlink((nfnetlink) =>
        cases.map(([, { set }]) =>
          new Ruleset(nfnetlink).elements({ ...table, set }, plenty()).sort((a, b) => Buffer.compare(a.key!, b.key!)),
        ),
      );
      return { shown: nftPrograms.map((program) => nftObjects(program)), elements };
    });
  const [our, their] = [look(() => withNfnetlink((nfnetlink) => ours.commit(nfnetlink))), look(() => nft(theirs))];
  for (const [index, program] of nftPrograms.entries())
    t.same(our.shown[index], their.shown[index], `as ${program.join(" ")} shows them`);
  t.same(our.elements.slice(2), their.elements.slice(2));
  t.match(our.elements[0], { length: 2, 0: { comment: "one" }, 1: { comment: undefined } });
  t.same(
    our.elements[1],
    their.elements[1]!.filter(({ key }) => key!.readUInt16BE() !== 0),
    "nft begins its ranges with one that ends at 0",
  );
  t.end();
});

t.test("an element is found by its key, be it in a range, and deleted", { skip }, (t) => {
  const set = { family: "ip", table: "t", set: "b" } as const;
  insideNewNamespace(() =>
    withNfnetlink((nfnetlink) => {
      const rules = new Ruleset(nfnetlink);
      nft(`table ip t {
        set b { type inet_service; flags interval; elements = { 1000-1999 } }
        set a { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 50-60 } }
        set n { type inet_service; }
      }`);
      t.ok(rules.element(set, service.encode(1500)));
      t.notOk(rules.element(set, service.encode(2000)));
      t.ok(rules.element({ ...set, set: "a" }, concatenated(ipv4.encode("10.9.9.9"), service.encode(53))));
      t.notOk(rules.element({ ...set, set: "a" }, concatenated(ipv4.encode("10.9.9.9"), service.encode(61))));
      t.notOk(rules.element({ ...set, set: "none" }, service.encode(1)), "of a set that is not there");
      const plainSet = { ...set, set: "n" };
      const many = Array.from({ length: 1000 }, (_, port) => ({
        key: service.encode(port),
        comment: `number ${port}`,
      }));
      new Transaction().addElements(plainSet, many).commit(nfnetlink);
      t.equal(rules.elements(plainSet, plenty()).length, 1000);
      new Transaction().deleteElements(plainSet, many.slice(1)).commit(nfnetlink);
      t.match(rules.elements(plainSet, plenty()), { length: 1, 0: { comment: "number 0" } });
      t.throws(() => new Transaction().deleteElements(plainSet, [{ key: service.encode(7) }]).commit(nfnetlink), {
        code: "ENOENT",
      });
    }),
  );
  t.end();
});

t.test("rules are put before others, and removed", { skip }, (t) => {
  const chain = { family: "ip", table: "t", chain: "c" } as const;
  insideNewNamespace(() =>
    withNfnetlink((nfnetlink) => {
      const rules = new Ruleset(nfnetlink);
      new Transaction()
        .addTable(chain)
        .addChain(chain)
        .addRule(chain, [s.accept], "last")
        .insertRule(chain, [s.drop], "first")
        .commit(nfnetlink);
      const found = rules.rules(chain, plenty());
      t.same(
        found.map(({ comment }) => comment),
        ["first", "last"],
      );
      new Transaction().deleteRules(chain, found[0]!.handle).commit(nfnetlink);
      t.same(
        rules.rules(chain, plenty()).map(({ comment }) => comment),
        ["last"],
      );
      new Transaction().deleteRules(chain).commit(nfnetlink);
      t.same(rules.rules(chain, plenty()), []);
    }),
  );
  t.end();
});

t.test("an owner's table goes with its socket, or stays", { skip }, (t) => {
  insideNewNamespace(() => {
    const table = { family: "inet", table: "owned" } as const;
    withNfnetlink((nfnetlink) => {
      new Transaction().addTable({ ...table, flags: ["owner"] }).commit(nfnetlink);
      t.throws(() => withNfnetlink((other) => new Transaction().deleteTable(table).commit(other)), { code: "EPERM" });
    });
    t.notOk(withNfnetlink((nfnetlink) => new Ruleset(nfnetlink).hasTable(table)));
  });
  t.end();
});
