import t from "tap";
import { readFileSync } from "node:fs";
import { bindSocket, closeDescriptor, connectSocket, sendBytes, udpSocket } from "../socket.js";
import { insideNewNamespace } from "../netns.js";
import { nft, skipWithoutNft as skip } from "../testing/nft.js";
import { Budget } from "./budget.js";
import { forgetByFilter, forgetByList, forgetFlows, forgetUntranslated, type FlowTarget } from "./conntrack.js";
import type { Nfnetlink } from "./nfnetlink.js";
import { withNfnetlink } from "./nfnetlink.js";
import { spawnSync } from "node:child_process";

const plenty = () => new Budget("the test", { bytes: 64 << 20, objects: 1_000_000, time: 30_000 });

/** Flows to ports of 127.0.0.1 and ::1 that lead to others; those of ports below 100 are marked. */
const rules = `table inet t {
  chain o { type nat hook output priority -100;
    th dport < 100 ct mark set 0x01000001
    ip daddr 127.0.0.1 udp dport 80 dnat ip to 127.0.0.2:8080
    ip daddr 127.0.0.1 udp dport 81 dnat ip to 127.0.0.2:8081
    ip daddr 127.0.0.1 udp dport 82 dnat ip to 127.0.0.3:8080
    ip daddr 127.0.0.1 udp dport 180 dnat ip to 127.0.0.2:8080
    ip6 daddr ::1 udp dport 80 dnat ip6 to [::2]:8080
  }
}`;

const flows: Readonly<Record<string, readonly [ip: string, port: number]>> = {
  "2:8080 marked": ["127.0.0.1", 80],
  "2:8081 marked": ["127.0.0.1", 81],
  "3:8080 marked": ["127.0.0.1", 82],
  "2:8080": ["127.0.0.1", 180],
  "2:9000, not translated": ["127.0.0.2", 9000],
  "v6 marked": ["::1", 80],
};

/** The flows that are still known, by their original destination. */
function known(): string[] {
  const lines = readFileSync("/proc/thread-self/net/nf_conntrack", "latin1").split("\n");
  return Object.entries(flows)
    .filter(([, [ip, port]]) =>
      lines.some((line) => {
        const [, destination] = /dst=(\S+)/.exec(line) ?? [];
        const wanted = ip === "::1" ? /^(0000:){7}0001$/.test(destination ?? "") : destination === ip;
        return wanted && new RegExp(`dport=${port} `).test(line.split("src=")[1] ?? "");
      }),
    )
    .map(([name]) => name);
}

const patience = 20_000; // ms; only a broken test waits that long
const all = Object.keys(flows);
const without = (...names: string[]) => all.filter((name) => !names.includes(name));
const cases: readonly [target: FlowTarget, left: string[]][] = [
  [{ ip: "127.0.0.2" }, without("2:8080 marked", "2:8081 marked", "2:8080", "2:9000, not translated")],
  [{ ip: "127.0.0.2", mark: 0x01000000 }, without("2:8080 marked", "2:8081 marked")],
  [{ ip: "127.0.0.2", at: { transport: "udp", port: 8080 } }, without("2:8080 marked", "2:8080")],
  [{ ip: "127.0.0.2", at: { transport: "udp", port: 8080 }, mark: 1 }, without("2:8080 marked")],
  [{ ip: "127.0.0.2", at: { transport: "tcp", port: 8080 } }, all],
  [{ ip: "127.0.0.1" }, all],
  [{ ip: "127.0.0.9" }, all],
  [{ ip: "::2" }, without("v6 marked")],
  [{ ip: "::9" }, all],
];

const untranslated: readonly [ips: string[], ports: number[], left: string[]][] = [
  [["127.0.0.2"], [9000], without("2:9000, not translated")],
  [["127.0.0.9", "127.0.0.2"], [1, 9000, 8080], without("2:9000, not translated")],
  [["127.0.0.2"], [8080, 8081], all],
  [["127.0.0.1"], [80, 81, 82, 180], all],
  [["::1", "::2"], [80, 8080], all],
  [["127.0.0.2"], [], all],
  [[], [9000], all],
];

const ways: readonly [string, (nfnetlink: Nfnetlink, target: FlowTarget) => void][] = [
  [
    "by the kernel's choice",
    (nfnetlink, target) => {
      if (!forgetByFilter(nfnetlink, target)) forgetByList(nfnetlink, target, plenty());
    },
  ],
  ["one by one", (nfnetlink, target) => forgetByList(nfnetlink, target, plenty())],
  ["by whichever way there is", (nfnetlink, target) => forgetFlows(nfnetlink, target, plenty())],
];

for (const [name, forget] of ways)
  t.test(`flows to a target are forgotten, and no others: ${name}`, { skip }, (t) => {
    insideNewNamespace(() =>
      withNfnetlink((nfnetlink) => {
        spawnSync("ip", ["-batch", "-"], { input: "link set lo up\naddress add ::2/128 dev lo\n" });
        nft(rules);
        const sockets = Object.values(flows).map(([ip, port]) => {
          const fd = udpSocket(ip.includes(":") ? "ipv6" : "ipv4");
          bindSocket(fd, { ip: ip.includes(":") ? "::1" : "127.0.0.1", port: 0 });
          connectSocket(fd, { ip, port });
          return fd;
        });
        const renew = () => {
          for (const fd of sockets)
            try {
              sendBytes(fd, Buffer.from("x"));
            } catch {
              sendBytes(fd, Buffer.from("x")); // that was the refusal of the one before
            }
        };
        const begin = () => {
          // An address that was just given may not be one yet.
          for (const end = performance.now() + patience; known().length < all.length && performance.now() < end;)
            renew();
          t.same(known(), all, "all are known");
        };
        for (const [target, left] of cases) {
          begin();
          forget(nfnetlink, target);
          t.same(known(), left, JSON.stringify(target));
        }
        for (const [ips, ports, left] of untranslated) {
          begin();
          forgetUntranslated(nfnetlink, { ips, ports: new Set(ports) }, plenty());
          t.same(known(), left, `untranslated: ${ips.join(" ")}, ${ports.join(" ")}`);
        }
        for (const fd of sockets) closeDescriptor(fd);
      }),
    );
    t.end();
  });

t.test("a list of flows is bounded", { skip }, (t) => {
  insideNewNamespace(() => {
    spawnSync("ip", ["link", "set", "lo", "up"]);
    nft(rules);
    for (const port of [80, 81, 180]) {
      const fd = udpSocket();
      connectSocket(fd, { ip: "127.0.0.1", port });
      sendBytes(fd, Buffer.from("x"));
      closeDescriptor(fd);
    }
    t.throws(
      () =>
        withNfnetlink((nfnetlink) => {
          forgetByList(nfnetlink, { ip: "127.0.0.2" }, new Budget("it", { bytes: 1e6, objects: 1, time: 30_000 }));
        }),
      { code: "RULES_TOO_MANY" },
    );
  });
  t.end();
});
