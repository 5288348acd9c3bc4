import t from "tap";
import { disarm, foreignDnsRule, hasTakeoverTable, removeTable, takeoverTable } from "./takeover-table.js";

t.test("the table is this one", (t) => {
  t.equal(takeoverTable(40_053), `add table ip pontoon
delete table ip pontoon
table ip pontoon {
  set armed { type inet_service; size 4; flags timeout,dynamic; }
  chain out {
    type filter hook output priority -310; policy accept;
    meta mark 28782 accept
    ip daddr 127.0.0.11 udp dport @armed udp dport set 40053 notrack
    ip daddr 127.0.0.11 tcp dport @armed tcp dport set 40053 notrack
    ip saddr 127.0.0.11 udp sport 40053 ip ttl 7 udp sport set 53 notrack accept
    ip saddr 127.0.0.11 udp sport 40053 udp sport set 53 update @armed { udp sport timeout 6s } notrack
    ip saddr 127.0.0.11 tcp sport 40053 tcp sport set 53 notrack
  }
}`);
  t.equal(takeoverTable(40_053, false), takeoverTable(40_053).split("\n").slice(2).join("\n"), "nothing is deleted where there is nothing");
  t.equal(disarm, "delete element ip pontoon armed { 53 }");
  t.equal(removeTable, "add table ip pontoon\ndelete table ip pontoon");
  t.end();
});

t.test("our table is recognised among others", (t) => {
  t.ok(hasTakeoverTable("table ip nat {\n}\ntable ip pontoon {\n\tset armed {\n\t}\n}\n"));
  for (const others of ["", "table ip nat {\n\tchain x {\n\t}\n}\n", "table ip pontoon2 {\n}\n", "table ip6 pontoon {\n}\n"]) t.notOk(hasTakeoverTable(others));
  t.end();
});

const inChain = (chain: string, ...rules: string[]) => `table ip nat {\n\tchain ${chain} {\n\t\ttype nat hook output priority -100; policy accept;\n${rules.map((rule) => `\t\t${rule}\n`).join("")}\t}\n}\n`;

t.test("Docker's own rules are no foreign ones", (t) => {
  const docker20 = `table ip nat {
	chain DOCKER_OUTPUT {
		ip daddr 127.0.0.11 tcp dport 53 counter packets 0 bytes 0 dnat to 127.0.0.11:35047
		ip daddr 127.0.0.11 udp dport 53 counter packets 2 bytes 120 dnat to 127.0.0.11:48331
	}

	chain OUTPUT {
		type nat hook output priority -100; policy accept;
		ip daddr 127.0.0.11 counter packets 2 bytes 120 jump DOCKER_OUTPUT
	}

	chain DOCKER_POSTROUTING {
		ip saddr 127.0.0.11 udp sport 48331 counter packets 0 bytes 0 snat to :53
	}
}
`;
  const docker29 = `table ip docker-dns {
	chain dns-dnat {
		type nat hook output priority -100; policy accept;
		ip daddr 127.0.0.11 udp dport 53 counter packets 0 bytes 0 dnat to 127.0.0.11:48331
	}
	chain dns-snat {
		type nat hook postrouting priority 100; policy accept;
		ip saddr 127.0.0.11 udp sport 48331 counter packets 0 bytes 0 snat to :53
	}
}
`;
  for (const ruleset of ["", docker20, docker29, takeoverTable(40_053)]) t.equal(foreignDnsRule(ruleset), undefined);
  const after = inChain("MINE", "udp dport 53 dnat to 10.0.0.9");
  t.equal(foreignDnsRule(docker20 + after), "udp dport 53 dnat to 10.0.0.9", "but what stands behind them is looked at");
  t.end();
});

t.test("a redirection of DNS by somebody else is found and told", (t) => {
  const foreign = [
    "udp dport 53 redirect to :15053",
    "tcp dport 53 counter packets 5 bytes 300 redirect to :15053",
    "meta skuid != 1337 udp dport 53 counter packets 0 bytes 0 dnat to 10.8.0.1:53",
    "udp dport { 53, 5353 } dnat to 10.8.0.1",
    "udp dport { 67, 53 } tproxy to 127.0.0.1:1053",
    'udp dport 53 counter packets 0 bytes 0 xt target "REDIRECT"',
    "udp dport 53-54 dnat to 10.8.0.1",
  ];
  const indirect = inChain("OUTPUT", "udp dport 53 jump MESH") + inChain("MESH", "dnat to 10.8.0.1");
  t.equal(foreignDnsRule(indirect), "udp dport 53 jump MESH", "also by way of another chain");
  for (const rule of foreign) t.equal(foreignDnsRule(inChain("OUTPUT", "counter", rule)), rule, rule);
  t.end();
});

t.test("rules that do not redirect DNS are no reason to keep away", (t) => {
  const harmless = [
    "udp dport 53 accept",
    "udp dport 53 drop",
    "udp dport 530 dnat to 10.8.0.1",
    "udp dport 5353 redirect to :15053",
    "udp dport { 5353, 530 } redirect to :1",
    "tcp dport 80 dnat to 10.0.0.53:8080",
    "udp sport 53 snat to 10.0.0.1",
    "ip saddr 10.53.0.0/16 masquerade",
  ];
  for (const rule of harmless) t.equal(foreignDnsRule(inChain("OUTPUT", rule)), undefined, rule);
  t.end();
});
