import { spawnSync } from "node:child_process";
import t from "tap";
import { insideNewNamespace } from "../../../linux/netns.js";
import { withNfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../../linux/netlink/nftables/ruleset.js";
import { writeExpressions } from "../../../linux/netlink/nftables/expressions.js";
import { mark } from "../../../linux/netlink/nftables/data-types.js";
import { rule } from "../../../linux/netlink/nftables/fields.js";
import { accept, ip, notrack, udp } from "../../../linux/netlink/nftables/statements.js";
import { Transaction } from "../../../linux/netlink/nftables/transaction.js";
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  localAddress,
  receiveBytes,
  sendBytes,
  setOption,
  udpSocket,
} from "../../../linux/socket.js";
import { nft, skipWithoutNft } from "../../../linux/testing/nft.js";
import { budget } from "./namespace-rules.js";
import { disarm, hasTakeoverTable, loadedTable, removeTable, takeoverTable } from "./takeover-table.js";

const skip = skipWithoutNft;

/** Works in a network namespace made for it. */
const within = (work: (rules: Ruleset, commit: (transaction: ReturnType<typeof takeoverTable>) => void) => void) =>
  insideNewNamespace(() =>
    withNfnetlink((nfnetlink) => work(new Ruleset(nfnetlink), (transaction) => transaction.commit(nfnetlink))),
  );

t.test(
  "the table leads questions to us and answers back, and is renewed by the server's own packets",
  { skip },
  (t) => {
    within((_, commit) => {
      commit(takeoverTable(40_053, false));
      t.equal(
        nft("list table ip pontoon", ["nft", "-y"]),
        `table ip pontoon {
	set armed {
		type inet_service
		size 4
		flags dynamic,timeout
	}

	chain out {
		type filter hook output priority -310; policy accept;
		meta mark 0x0000706e accept
		ip daddr 127.0.0.11 udp dport @armed udp dport set 40053
		ip daddr 127.0.0.11 tcp dport @armed tcp dport set 40053
		ip saddr 127.0.0.11 udp sport 40053 ip daddr 127.0.0.11 udp dport 53 udp dport set 40053
	}

	chain claim {
		type nat hook output priority -101; policy accept;
		ip daddr 127.0.0.11 udp dport 40053 dnat to 127.0.0.11:40053
		ip daddr 127.0.0.11 tcp dport 40053 dnat to 127.0.0.11:40053
	}

	chain stay {
		type nat hook postrouting priority 99; policy accept;
		ip saddr 127.0.0.11 udp sport 40053 ip daddr 127.0.0.11 snat to 127.0.0.11:40053
	}

	chain back {
		type filter hook postrouting priority 310; policy accept;
		ip saddr 127.0.0.11 udp sport 40053 ip ttl 7 udp sport set 53 accept
		ip saddr 127.0.0.11 udp sport 40053 udp sport set 53 update @armed { udp sport timeout 6s }
		ip saddr 127.0.0.11 tcp sport 40053 tcp sport set 53
	}
}
`,
      );
    });
    t.end();
  },
);

t.test("our table is known by its rules, and whether it is in effect by its set", { skip }, (t) => {
  within((rules, commit) => {
    t.equal(loadedTable(rules, budget()), undefined);
    commit(takeoverTable(41_234, false));
    t.same(loadedTable(rules, budget()), { port: 41_234, armed: false, current: true, lapses: true });
    nft("add element ip pontoon armed { 53 timeout 6s }");
    t.same(loadedTable(rules, budget()), { port: 41_234, armed: true, current: true, lapses: true });
    commit(disarm());
    t.same(loadedTable(rules, budget()), { port: 41_234, armed: false, current: true, lapses: true });
    t.throws(() => commit(disarm()), { code: "ENOENT" });
    commit(takeoverTable(41_235, true));
    t.same(
      loadedTable(rules, budget()),
      { port: 41_235, armed: false, current: true, lapses: true },
      "another takes its place",
    );
    commit(removeTable());
    t.notOk(hasTakeoverTable(rules));
    commit(removeTable()); // there is none: nothing happens
  });
  t.end();
});

t.test("a table of an earlier version is ours, and not as it should be", { skip }, (t) => {
  within((rules, commit) => {
    commit(takeoverTable(4053, false));
    const chain = { family: "ip", table: "pontoon", chain: "out" } as const;
    const handles = rules.rules(chain, budget()).map(({ handle }) => handle);
    commit(new Transaction().deleteRules(chain, handles[1]));
    withNfnetlink((nfnetlink) =>
      nfnetlink.transact(10, [
        {
          type: (10 << 8) | 6,
          flags: 0x400 | 0x800,
          family: 2,
          subject: "add rule",
          write: (writer) => {
            writer.text(1, "pontoon");
            writer.text(2, "out");
            const asBefore = rule("ip", [
              ip.daddr.is("127.0.0.11"),
              udp.dport.isIn("armed"),
              udp.dport.set(4053),
              notrack,
            ]).map((expression) =>
              expression.kind === "payload" && expression.sreg !== undefined
                ? { ...expression, checksum: 1, checksumOffset: 6, checksumFlags: 0 }
                : expression,
            );
            writeExpressions(writer, 4, asBefore);
          },
        },
      ]),
    );
    t.same(loadedTable(rules, budget()), { port: 4053, armed: false, current: false, lapses: true });
  });
  t.end();
});

t.test("a question without a checksum reaches us as well", { skip }, (t) => {
  within((_, commit) => {
    t.equal(spawnSync("ip", ["link", "set", "lo", "up"]).status, 0);
    const [server, client] = [udpSocket(), udpSocket()];
    t.teardown(() => [server, client].forEach(closeDescriptor));
    bindSocket(server, { ip: "127.0.0.11", port: 0 });
    commit(takeoverTable(localAddress(server).port, false));
    nft("add element ip pontoon armed { 53 timeout 6s }");
    setOption(client, 1, 11, 1, "SO_NO_CHECK");
    connectSocket(client, { ip: "127.0.0.11", port: 53 });
    const received = Buffer.alloc(64);
    sendBytes(client, Buffer.from("a question"));
    t.equal(receiveBytes(server, received), 10); // on the loopback it is there by the time it is sent
    // The reply of a server whose packets have none either.
    setOption(server, 1, 11, 1, "SO_NO_CHECK");
    connectSocket(server, localAddress(client));
    sendBytes(server, Buffer.from("an answer"));
    t.equal(receiveBytes(client, received), 9);
  });
  t.end();
});

t.test("where nobody else answers, questions are led to us whether the table is renewed or not", { skip }, (t) => {
  within((rules, commit) => {
    t.equal(spawnSync("ip", ["link", "set", "lo", "up"]).status, 0);
    const [server, client] = [udpSocket(), udpSocket()];
    t.teardown(() => [server, client].forEach(closeDescriptor));
    bindSocket(server, { ip: "127.0.0.11", port: 0 });
    const { port } = localAddress(server);
    commit(takeoverTable(port, false));
    commit(takeoverTable(port, true, false));
    t.same(loadedTable(rules, budget()), { port, armed: true, current: true, lapses: false });
    connectSocket(client, { ip: "127.0.0.11", port: 53 });
    const received = Buffer.alloc(64);
    sendBytes(client, Buffer.from("a question"));
    t.equal(receiveBytes(server, received), 10);
    connectSocket(server, localAddress(client));
    sendBytes(server, Buffer.from("an answer"));
    t.equal(receiveBytes(client, received), 9);
  });
  t.end();
});

for (const [what, table] of [
  ["one of that name without a chain", "table ip pontoon { }"],
  ["one without our rules", "table ip pontoon { chain out { udp dport 53 accept; }; }"],
  [
    "one whose rule leads elsewhere",
    "table ip pontoon { set armed { type inet_service; }; chain out { ip daddr 127.0.0.12 udp dport @armed udp dport set 4000 notrack; }; }",
  ],
  ["one of another family", "table ip6 pontoon { chain out { udp dport 53 accept; }; }"],
] as const)
  t.test(`${what} is not ours`, { skip }, (t) => {
    within((rules, commit) => {
      nft(table);
      t.equal(loadedTable(rules, budget()), undefined);
      commit(takeoverTable(4053, true));
      t.same(loadedTable(rules, budget()), { port: 4053, armed: false, current: true, lapses: true });
    });
    t.end();
  });

t.test("however many elements somebody puts into a table of that name, it is looked at and replaced", { skip }, (t) => {
  within((rules, commit) => {
    const set = { family: "ip", table: "pontoon", set: "armed" } as const;
    const chain = { ...set, chain: "out" };
    const theirs = new Transaction()
      .addTable(set)
      .addSet({ ...set, key: [mark] })
      .addChain(chain);
    for (let count = 0; count < 10_000; count++)
      theirs.addRule(chain, [accept], "ip daddr 127.0.0.11 udp dport @armed udp dport set 4053");
    commit(
      theirs.addElements(
        set,
        Array.from({ length: 100_000 }, (_, number) => ({ key: mark.encode(number), comment: "53 timeout 6s" })),
      ),
    );
    t.throws(() => loadedTable(rules, budget()), { code: "RULES_TOO_MANY" });
    withNfnetlink((other) => takeoverTable(4053, hasTakeoverTable(new Ruleset(other))).commit(other));
    withNfnetlink((other) =>
      t.same(loadedTable(new Ruleset(other), budget()), { port: 4053, armed: false, current: true, lapses: true }),
    );
  });
  t.end();
});
