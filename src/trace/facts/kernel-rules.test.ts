import { spawnSync } from "node:child_process";
import t from "tap";
import { insideNewNamespace } from "../../../linux/netns.js";
import { Budget } from "../../../linux/netlink/budget.js";
import { withNfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { nft, skipWithoutNft } from "../../../linux/testing/nft.js";
import { passHook } from "../rules/hook.js";
import type { Packet } from "../rules/packet.js";
import type { RuleBook, Surroundings } from "../rules/surroundings.js";
import { newPacket } from "../way/journey.js";
import { KernelRules } from "./kernel-rules.js";

// Rules as iptables and nft themselves make them: what is read of them decides as the words of the rule say.

const programs = ["iptables-nft", "iptables-legacy"] as const;
const skip =
  skipWithoutNft ||
  (programs.some((program) => spawnSync(program, ["--version"]).error) ? "needs iptables in both variants" : false);

const surroundings: Surroundings = {
  kindOf: (ip) => (ip === "10.0.0.1" ? "local" : "unicast"),
  linkTo: () => 2,
  addressOf: () => "10.0.0.1",
};
const link = (name: string) => ({ index: 2, name, kind: "bridge", group: 0 });
const tcp = (change: Partial<Packet> = {}): Packet => ({
  ...newPacket("tcp", "10.0.1.2", "10.0.2.3", 80),
  iif: link("br-a"),
  oif: link("br-b"),
  ...change,
});
const udp = tcp({ protocol: 17 });

/** What a rule asks for, a packet that has it, and one that has not. */
const rules: readonly (readonly [rule: string, passes: Packet, fails: Packet])[] = [
  ["-s 10.0.1.0/25", tcp(), tcp({ from: "10.0.1.200" })],
  ["-s 10.0.1.0/255.255.255.1", tcp(), tcp({ from: "10.0.1.3" })],
  ["! -d 10.0.2.0/24", tcp({ to: "10.9.0.1" }), tcp()],
  ["-i br-a ! -o br-a", tcp(), tcp({ oif: link("br-a") })],
  ["-i br+", tcp(), tcp({ iif: link("eth0") })],
  ["-p tcp --dport 80", tcp(), tcp({ toPort: 81 })],
  ["-p tcp --dport 80:90", tcp({ toPort: 90 }), tcp({ toPort: 91 })],
  ["-p tcp ! --dport 80", tcp({ toPort: 81 }), tcp()],
  ["-p udp", udp, tcp()],
  ["-m conntrack --ctstate NEW", tcp(), tcp({ isUntracked: true })],
  ["-m conntrack ! --ctstate RELATED,ESTABLISHED -d 10.0.2.3", tcp(), tcp({ to: "10.0.2.9" })],
  ["-m conntrack --ctstate DNAT", tcp({ translated: { source: false, destination: true } }), tcp()],
  ["-m addrtype --dst-type LOCAL", tcp({ to: "10.0.0.1" }), tcp()],
  ["-m addrtype ! --src-type LOCAL", tcp(), tcp({ from: "10.0.0.1" })],
  ["-m mark --mark 0x10/0xf0", tcp({ mark: 0x1f }), tcp({ mark: 0x2f })],
  ['-m comment --comment "-j ACCEPT, not" -s 10.0.1.2', tcp(), tcp({ from: "10.0.1.3" })],
  ["-m limit --limit 5/min -d 10.0.2.3", tcp(), tcp({ to: "10.0.2.4" })],
];

for (const program of programs)
  t.test(`rules of ${program} decide as they say`, { skip }, (t) => {
    for (const [rule, passes, fails] of rules)
      inNamespace([[program, ["-A", "FORWARD", ...words(rule), "-j", "DROP"]]], (book) => {
        t.equal(passHook(book, "forward", passes, surroundings).isRefused, true, `${rule}: what it asks for`);
        t.equal(passHook(book, "forward", fails, surroundings).isRefused, false, `${rule}: what it does not`);
      });
    t.end();
  });

for (const program of programs)
  t.test(`translations, jumps and policies of ${program} are followed`, { skip }, (t) => {
    const make = (...lines: string[]) => lines.map((line) => [program, words(line)] as const);
    const commands = make(
      "-t nat -N DOCKER",
      "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
      "-t nat -A DOCKER ! -i br-a -p tcp --dport 8080 -j DNAT --to-destination 10.0.2.3:80",
      "-t nat -A POSTROUTING -s 10.0.1.0/24 ! -o br-a -j MASQUERADE",
      "-t nat -A POSTROUTING -s 10.0.3.0/24 -j SNAT --to-source 10.0.0.9",
      "-N A",
      "-N B",
      "-A FORWARD -j A",
      "-A A -g B",
      "-A A -j DROP",
      "-A B -s 10.0.1.2 -j RETURN",
      "-A B -j REJECT",
      "-P FORWARD DROP",
      "-P INPUT ACCEPT",
      "-A FORWARD -s 10.0.1.2 -p tcp -m tcp --dport 80 -j ACCEPT",
    );
    inNamespace(commands, (book) => {
      const entered = tcp({ to: "10.0.0.1", toPort: 8080, iif: link("eth0"), oif: undefined });
      const { packet, rulings } = passHook(book, "prerouting", entered, surroundings);
      t.match(packet, { to: "10.0.2.3", toPort: 80, translated: { destination: true } });
      t.match(rulings.at(-1), { by: { chain: { chain: "DOCKER" } }, effect: { kind: "destination" } });
      t.equal(passHook(book, "prerouting", { ...entered, iif: link("br-a") }, surroundings).packet.to, "10.0.0.1");
      t.equal(passHook(book, "prerouting", { ...entered, isKnown: true }, surroundings).packet.to, "10.0.0.1");
      t.equal(passHook(book, "postrouting", tcp(), surroundings).packet.from, "10.0.0.1");
      t.equal(passHook(book, "postrouting", tcp({ from: "10.0.3.7" }), surroundings).packet.from, "10.0.0.9");
      t.equal(passHook(book, "forward", tcp(), surroundings).isRefused, false, "returned from, then accepted");
      const refused = passHook(book, "forward", tcp({ from: "10.0.1.3" }), surroundings);
      t.match(refused, {
        isRefused: true,
        rulings: { length: 1, 0: { by: { chain: { chain: "B" } }, effect: { verdict: "reject" } } },
      });
      const byPolicy = passHook(book, "forward", tcp({ toPort: 81 }), surroundings);
      t.match(byPolicy, {
        isRefused: true,
        rulings: { length: 1, 0: { by: { rule: undefined, chain: { chain: "FORWARD" } } } },
      });
    });
    t.end();
  });

t.test("what cannot be judged is told, and passed by", { skip }, (t) => {
  inNamespace([["iptables-nft", words("-A FORWARD -m string --string x --algo bm -j DROP")]], (book) => {
    const passage = passHook(book, "forward", tcp(), surroundings);
    t.equal(passage.isRefused, false);
    t.match(passage.rulings[0]?.doubts, { length: 1, 0: { doubt: "string", effect: { verdict: "drop" } } });
  });
  t.end();
});

t.test("sets, maps, marks and verdict maps of nft are looked up", { skip }, (t) => {
  insideNewNamespace(() => {
    nft(`table inet t {
      set closed { type ipv4_addr; flags interval; elements = { 10.0.1.0/24 } }
      map to { type inet_proto . inet_service : ipv4_addr . inet_service; elements = { tcp . 8080 : 10.0.2.3 . 80 } }
      chain one { meta mark set 0x5; ct mark set 0x7; accept; }
      chain pre { type nat hook prerouting priority -90; dnat ip to meta l4proto . th dport map @to; }
      chain f { type filter hook forward priority -10; tcp dport vmap { 80 : jump one, 81 : drop }; }
      chain g { type filter hook forward priority 0; meta mark 0x5 ct mark 0x7 accept; ip saddr @closed drop; }
      chain r { type filter hook input priority 0; tcp dport 1000-2000 drop; ct status dnat accept; fib daddr type local accept; drop; }
    }`);
    withNfnetlink((nfnetlink) => {
      const book = bookOf(nfnetlink);
      const entered = tcp({ toPort: 8080, oif: undefined });
      t.match(passHook(book, "prerouting", entered, surroundings).packet, { to: "10.0.2.3", toPort: 80 });
      t.equal(passHook(book, "prerouting", tcp({ toPort: 8081 }), surroundings).packet.toPort, 8081);
      t.equal(
        passHook(book, "forward", tcp(), surroundings).isRefused,
        false,
        "marked on its way, in one chain for another",
      );
      t.equal(passHook(book, "forward", tcp({ toPort: 81 }), surroundings).isRefused, true, "a map of verdicts");
      t.equal(passHook(book, "forward", tcp({ toPort: 82 }), surroundings).isRefused, true, "an interval");
      t.equal(passHook(book, "forward", tcp({ toPort: 82, from: "10.0.9.1" }), surroundings).isRefused, false);
      t.equal(passHook(book, "input", tcp({ toPort: 1500, to: "10.0.0.1" }), surroundings).isRefused, true);
      t.equal(passHook(book, "input", tcp({ to: "10.0.0.1" }), surroundings).isRefused, false);
      t.equal(passHook(book, "input", tcp(), surroundings).isRefused, true);
    });
  });
  t.end();
});

function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
}

function bookOf(nfnetlink: ConstructorParameters<typeof KernelRules>[0]): KernelRules {
  return new KernelRules(
    nfnetlink,
    new Budget("the test", { bytes: 1 << 24, objects: 100_000, time: 30_000 }),
    (work) => work(),
  );
}

function inNamespace(
  commands: readonly (readonly [string, readonly string[]])[],
  work: (book: RuleBook) => void,
): void {
  insideNewNamespace(() => {
    for (const [program, args] of commands) {
      const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
    }
    withNfnetlink((nfnetlink) => work(bookOf(nfnetlink)));
  });
}
