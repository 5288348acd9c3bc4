import t from "tap";
import { insideNewNamespace } from "../../linux/netns.js";
import type { Nfnetlink } from "../../linux/netlink/nfnetlink.js";
import { withNfnetlink } from "../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { nft, skipWithoutNft as skip } from "../../linux/testing/nft.js";
import { Firewall } from "./firewall.js";
import type { FirewallNetwork, FirewallWanted, KernelForward } from "./wanted.js";

const web: FirewallNetwork = {
  name: "web",
  bridge: "pontoon1",
  subnets: ["10.1.0.0/24", "fd00:1::/64"],
  internal: false,
  icc: true,
  masquerade: true,
};
const quiet: FirewallNetwork = {
  ...web,
  name: "quiet",
  bridge: "pontoon2",
  subnets: ["10.1.1.0/24"], // begins where the other ends
  icc: false,
  snat: { ipv4: "192.0.2.7" },
};
const forward = (port: number, more: Partial<KernelForward> = {}): KernelForward => ({
  owner: "sandbox shop",
  transport: "tcp",
  ip: undefined,
  port,
  to: { ip: "10.1.0.2", port: 80 },
  ...more,
});
const wanted: FirewallWanted = {
  networks: [web, { ...web, name: "more", bridge: "pontoon3", subnets: ["10.1.2.0/24", "10.1.3.0/24"] }, quiet],
  forwards: [
    forward(80),
    forward(81, { sources: ["10.0.0.0/8", "10.2.0.0/16", "10.2.0.0/16", "192.0.2.7", "0.0.0.0/1"] }),
    forward(82, { ip: "192.0.2.1", transport: "udp", sources: ["fd00::/8"] }),
    forward(83, { to: { ip: "fd00:1::2", port: 80 }, sources: ["::/0"] }),
  ],
  links: [{ owner: "sandbox a", from: "10.1.1.2", to: "10.1.1.3", transport: "tcp", port: 6379 }],
  others: ["docker0", "br-0123456789ab"],
  bridgesFiltered: false,
  overlays: [{ name: "far", vni: 4711, port: 4789, peers: ["192.0.2.9", "2001:db8::9"] }],
};

/** @param work gets a firewall in a namespace of its own, and how often rules were changed there */
function withFirewall(
  work: (firewall: Firewall, changes: () => number, nfnetlink: Nfnetlink) => void,
  options?: { mayOwn: boolean },
): void {
  insideNewNamespace(() =>
    withNfnetlink((nfnetlink) => {
      work(new Firewall(nfnetlink, options), () => new Ruleset(nfnetlink).generation, nfnetlink);
    }),
  );
}

const shown = () => nft("list ruleset", undefined, ["-s"]);
/** Which program owns the table is a comment of nft's. */
const withoutOwner = (text: string) =>
  text
    .replace(/ # progname .*|^\tflags .*\n/gm, "")
    .replace(/^\s+comment ("pontoon: made anew.*)\n\s*/gm, "\tcomment $1\n\t");
const bothWays = [{ mayOwn: true }, { mayOwn: false }];
const wayOf = ({ mayOwn }: { mayOwn: boolean }) => (mayOwn ? "owned tables" : "tables without an owner");

t.test("nft shows what is meant", { skip }, (t) => {
  withFirewall((firewall) => {
    firewall.apply(wanted);
    const text = shown();
    for (const words of [
      "iifname . oifname @icc goto pass",
      "iifname . oifname @quiet goto quiet",
      "ip6 saddr . udp dport . @th,96,24 @members6 goto pass",
      "ip saddr . udp dport . @th,96,24 @members4 goto pass",
      '192.0.2.9 . 4789 . 0 comment "pontoon network far"', // it has no word for a network's number
      "meta mark set meta mark | 0x01000000 accept",
      "ct mark & 0x01000000 == 0x01000000 ct status dnat goto pass",
      "dnat ip to meta l4proto . th dport map @published4",
      "dnat ip6 to ip6 daddr . meta l4proto . th dport map @published_at6",
      "snat ip to ip saddr map @snat4",
      "ip saddr @masqueraded4 masquerade",
      "type filter hook forward priority filter - 10; policy accept;",
      '"pontoon1" comment "pontoon network web"',
      '10.1.0.0/24 comment "pontoon network web"',
      '10.1.1.0/24 comment "pontoon network quiet" : 192.0.2.7',
      'tcp . 80 comment "pontoon sandbox shop" : 10.1.0.2 . 80',
      '192.0.2.1 . udp . 82 comment "pontoon sandbox shop" : 10.1.0.2 . 80',
      'tcp . 81 . 0.0.0.0/1 comment "pontoon sandbox shop"',
      '10.1.1.2 . 10.1.1.3 . tcp . 6379 comment "pontoon sandbox a"',
    ])
      t.ok(text.includes(words), words);
    t.notMatch(text, /tcp \. 81 \. 10\./, "what lies in another range is left out");
  });
  t.end();
});

for (const way of bothWays)
  t.test(`the same again changes nothing, and rules do not grow: ${wayOf(way)}`, { skip }, (t) => {
    withFirewall((firewall, changes) => {
      const rules = () =>
        shown()
          .split("\n")
          .filter((line) => /goto|accept$|drop$|masquerade$|dnat|snat|return$/.test(line));
      firewall.apply(wanted);
      const [before, first] = [changes(), rules()];
      firewall.apply(structuredClone(wanted));
      firewall.changeForwards({});
      firewall.changeForwards({ remove: [wanted.forwards[0]!], add: [structuredClone(wanted.forwards[0]!)] });
      t.equal(changes(), before);
      const many = Array.from({ length: 50 }, (_, index) => forward(1000 + index, { sources: ["10.0.0.0/8"] }));
      const networks = Array.from({ length: 50 }, (_, index) => ({
        ...web,
        name: `n${index}`,
        bridge: `pn${index}`,
        subnets: [`10.7.${index}.0/24`],
      }));
      firewall.apply({
        ...wanted,
        networks: [...wanted.networks, ...networks],
        forwards: [...wanted.forwards, ...many],
      });
      t.equal(changes(), before + 1, "all in one transaction");
      t.same(rules(), first);
      t.ok(firewall.check());
      firewall.apply(wanted);
      t.equal(changes(), before + 2);
      firewall.apply({ ...wanted, networks: [web] });
      t.notMatch(shown(), /table bridge/, "only where icc is off");
      t.match(shown(), /hook input/);
      firewall.apply({ ...wanted, overlays: [] });
      t.notMatch(shown(), /hook input/, "only with overlay networks");
      firewall.remove();
      t.equal(shown(), "");
      t.notOk(firewall.check());
      firewall.remove();
    }, way);
    t.end();
  });

t.test("differences give the same tables as making them anew, whatever came before", { skip }, (t) => {
  const otherwise: FirewallWanted = {
    networks: [
      { ...web, subnets: ["10.1.0.0/25", "fd00:1::/63"] },
      { ...web, name: "more", bridge: "pontoon3", subnets: ["10.1.2.0/24", "10.1.3.0/24"], internal: true },
      { ...quiet, snat: { ipv4: "192.0.2.8" } },
    ],
    forwards: [
      forward(80, { to: { ip: "10.1.1.9", port: 81 } }),
      forward(81, { to: { ip: "10.1.1.9", port: 81 }, sources: ["10.0.0.0/7"] }),
    ],
    links: [],
    others: ["docker1"],
    bridgesFiltered: true,
    overlays: [{ ...wanted.overlays[0]!, peers: ["192.0.2.8"] }],
  };
  const sorted = () =>
    nft("list ruleset", undefined, ["-s"])
      .split(/[\n,]/)
      .map((line) => line.replace(/^.*elements = \{|\}/, "").trim())
      .filter(Boolean)
      .sort();
  withFirewall((firewall) => {
    firewall.apply(wanted);
    firewall.apply(otherwise);
    const there = sorted();
    firewall.remove();
    firewall.apply(otherwise);
    t.same(there, sorted());
    firewall.apply(wanted);
    const back = sorted();
    firewall.remove();
    firewall.apply(wanted);
    t.same(back, sorted());
  });
  t.end();
});

t.test("somebody's flush of all rules leaves owned tables alone", { skip }, (t) => {
  withFirewall((firewall) => {
    firewall.apply(wanted);
    if (!firewall.isOwned) return t.comment("this kernel has no tables that are owned and outlive their owner");
    const before = shown();
    nft("flush ruleset");
    t.equal(shown(), before);
    t.throws(() => nft("add rule inet pontoon forward drop"));
    t.ok(firewall.check());
    // Another process, which the tables do not belong to.
    const other = withNfnetlink((nfnetlink) => {
      const second = new Firewall(nfnetlink);
      t.throws(() => second.apply(wanted), { code: "FIREWALL_TAKEN", message: /stop the other pontoon/ });
      t.throws(() => second.remove(), { code: "FIREWALL_TAKEN" });
      return second.check();
    });
    t.notOk(other);
    t.equal(shown(), before);
  });
  t.end();
});

for (const way of bothWays)
  t.test(`tables of an earlier process are adopted: ${wayOf(way)}`, { skip }, (t) => {
    insideNewNamespace(() => {
      withNfnetlink((nfnetlink) => {
        new Firewall(nfnetlink, way).apply(wanted);
      });
      const before = shown();
      t.match(before, /table inet pontoon/, "they outlive it");
      withNfnetlink((nfnetlink) => {
        const firewall = new Firewall(nfnetlink);
        firewall.apply(wanted);
        t.equal(withoutOwner(shown()), withoutOwner(before));
        firewall.changeForwards({ add: [forward(99)] });
        t.ok(firewall.check());
      });
      withNfnetlink((nfnetlink) => {
        new Firewall(nfnetlink).remove();
      });
      t.equal(shown(), "");
    });
    t.end();
  });

t.test("tables that others may change are looked through, and made anew", { skip }, (t) => {
  const changes: readonly [commands: string, isWhole: boolean][] = [
    ["flush ruleset", false],
    ["delete table bridge pontoon", false],
    ["insert rule inet pontoon forward accept", false],
    ["flush chain inet pontoon publish", false],
    ["add chain inet pontoon extra", false],
    ["chain inet pontoon forward { policy drop; }", false],
    ["add table inet pontoon { flags dormant; }", false],
    ["add element inet pontoon bridges { eth7 }", false],
    ["delete element inet pontoon published4 { tcp . 80 }", false],
    [
      "delete element inet pontoon published4 { tcp . 80 }; add element inet pontoon published4 { tcp . 80 : 10.1.0.3 . 80 }",
      false,
    ],
    ["add table ip somebodys", true],
  ];
  withFirewall(
    (firewall) => {
      firewall.apply(wanted);
      t.notOk(firewall.isOwned);
      const before = shown();
      for (const [commands, isWhole] of changes) {
        t.ok(firewall.check(), `before: ${commands}`);
        nft(commands);
        t.equal(firewall.check(), isWhole, commands);
        firewall.apply(wanted);
        if (isWhole) continue;
        t.equal(shown(), before);
      }
      nft("flush ruleset");
      firewall.changeForwards({ add: [forward(99)] });
      t.match(shown(), /tcp \. 99/, "a change finds that the tables have gone, and makes them anew");
      t.ok(firewall.check());
    },
    { mayOwn: false },
  );
  t.end();
});

t.test("what cannot be is refused, and nothing is changed", { skip }, (t) => {
  withFirewall((firewall, changes) => {
    t.throws(() => firewall.changeForwards({ add: [forward(1)] }), /applied before/);
    firewall.apply(wanted);
    const before = changes();
    for (const bad of [
      { networks: [{ ...web, subnets: ["10.1.0.0/33"] }] },
      { networks: [{ ...web, bridge: "a-name-that-is-too-long" }] },
      { forwards: [forward(1, { to: { ip: "fd00::g", port: 1 } })] },
      { forwards: [forward(1, { sources: ["10.0.0.0/x"] })] },
    ])
      t.throws(() => firewall.apply({ ...wanted, ...bad }), RangeError);
    t.equal(changes(), before);
    t.ok(firewall.check());
  });
  t.end();
});

t.test("how long it takes", { skip }, (t) => {
  const ports = (first: number, count: number, more: Partial<KernelForward> = {}) =>
    Array.from({ length: count }, (_, index) => forward(first + index, more));
  const timed = (what: string, work: () => void) => {
    const start = performance.now();
    work();
    t.comment(`${what}: ${(performance.now() - start).toFixed(2)} ms`);
  };
  withFirewall((firewall) => {
    timed("tables made", () => firewall.apply({ ...wanted, forwards: [] }));
    timed("1,000 forwards", () => firewall.changeForwards({ add: ports(1000, 1000) }));
    timed("the next 1,000", () => firewall.changeForwards({ add: ports(2000, 1000) }));
    timed("8,000 more", () => firewall.changeForwards({ add: ports(3000, 8000) }));
    timed("one more of 10,000", () => firewall.changeForwards({ add: ports(20_000, 1) }));
    for (let index = 1; index <= 3; index++)
      timed("one more", () => firewall.changeForwards({ add: ports(20_000 + index, 1) }));
    for (let index = 1; index <= 3; index++)
      timed("one removed", () => firewall.changeForwards({ remove: ports(1000 + index, 1) }));
    timed("1,000 removed", () => firewall.changeForwards({ remove: ports(2000, 1000) }));
    const all = { ...wanted, forwards: ports(1000, 10_000) };
    timed("apply, to 10,000 from nearly as many", () => firewall.apply(all));
    timed("apply of 10,000, no change", () => firewall.apply(all));
    timed("1,000 with two sources each", () =>
      firewall.changeForwards({ add: ports(30_000, 1000, { sources: ["10.0.0.0/8", "192.0.2.0/24"] }) }),
    );
    timed("the next 1,000 with two sources each", () =>
      firewall.changeForwards({ add: ports(33_000, 1000, { sources: ["10.0.0.0/8", "192.0.2.0/24"] }) }),
    );
    timed("one more with two sources", () =>
      firewall.changeForwards({ add: ports(32_000, 1, { sources: ["10.0.0.0/8", "192.0.2.0/24"] }) }),
    );
    timed("check", () => t.ok(firewall.check()));
    timed("removed", () => firewall.remove());
    timed("made with 10,000", () => firewall.apply(all));
  });
  withFirewall(
    (firewall) => {
      firewall.apply({ ...wanted, forwards: ports(1000, 10_000) });
      nft("add table ip somebodys");
      timed("check without an owner, 10,000", () => t.ok(firewall.check()));
      timed("the same when nothing has changed", () => t.ok(firewall.check()));
    },
    { mayOwn: false },
  );
  t.end();
});
