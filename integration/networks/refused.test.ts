import t from "tap";
import { BareHost, type Pontoon } from "../lab/index.js";
import { marksOn, run, startShell } from "./host.js";

const long = "x".repeat(64);
const badNames = ["", "-", "a b", "a/b", "../a", ".a", "ä", long];

/** What follows `network create`, and why it cannot be. */
const badNetworks: string[][] = [
  ...badNames.map((name) => ["--", name]),
  ["front"],
  ["host"],
  ["none"],
  ["n", "--driver", "macvlan"],
  ["n", "--driver", ""],
  ...["", "foo", "10.9.0.0", "10.9.0.0/33", "10.9.0.0/-1", "10.9.0.1/24", "10.9.0.0/24/8", "010.9.0.0/24"].map(
    (subnet) => ["n", "--subnet", subnet],
  ),
  ...["0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/4", "10.9.0.0/32", "::/0", "fe80::/64", "ff00::/64", "::1/128"].map(
    (subnet) => ["n", "--subnet", subnet],
  ),
  ["n", "--subnet", "10.77.0.0/16"],
  ["n", "--subnet", "172.17.9.0/24"],
  ["n", "--subnet", "10.9.0.0/16", "--subnet", "10.9.4.0/24"],
  ...["", "foo", "10.8.0.1", "10.9.0.0", "10.9.0.255", "fd00::1"].map((ip) => [
    "n",
    "--subnet",
    "10.9.0.0/24",
    "--gateway",
    ip,
  ]),
  ...["", "foo", "10.8.0.0/25", "10.9.0.1/25", "10.8.0.0/15"].map((range) => [
    "n",
    "--subnet",
    "10.9.0.0/24",
    "--ip-range",
    range,
  ]),
  ...["", "0", "67", "65536", "-1", "1e3", "1500.5", "many", "99999999999"].map((mtu) => ["n", "--mtu", mtu]),
  ["n", "--ipv6", "--mtu", "1279"],
  ["n", "--snat-address", "foo"],
  ["n", "--snat-address", ""],
  ["n", "--host-binding", "foo"],
  ["n", "--host-binding", ""],
  ...["", "lo", "outside", "br-front", "a/b", "a b", "..", "x".repeat(16)].map((link) => ["n", "--bridge-name", link]),
  ["n", "--icc", "perhaps"],
  ["n", "--label", "=x"],
  ["n", "--label", ""],
  ["n", "--such-option"],
  [],
  ["n", "m"],
];

/** What follows `network connect`. */
const badConnections: string[][] = [
  ["nothing", "lonely"],
  ["front", "nobody"],
  ["host", "lonely"],
  ["none", "lonely"],
  ["front", "web"],
  ...[
    "",
    "foo",
    "10.9.0.5",
    "172.17.0.1",
    "172.17.0.0",
    "172.17.255.255",
    "172.17.0.2",
    "fd00::5",
    "172.17.0.5/16",
  ].map((ip) => ["front", "lonely", "--ip", ip]),
  ["front", "lonely", "--ip", "172.17.0.5", "--ip", "172.17.0.6"],
  ...["", "foo", "02:42:0a:59:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"].map((mac) => [
    "front",
    "lonely",
    "--mac",
    mac,
  ]),
  ...["", "a b", "lo", "..", "a/b", "all", "x".repeat(16)].map((name) => ["front", "lonely", "--ifname", name]),
  ["back", "web", "--ifname", "eth0"],
  ...badNames.map((name) => ["front", "lonely", `--alias=${name}`]),
  ...["", ":", "a:b:c", "web:", ":db", "a b:c"].map((link) => ["front", "lonely", "--link", link]),
  ...["", "high", "1.5", "9999999999"].map((priority) => ["front", "lonely", "--gw-priority", priority]),
  ["front"],
  ["front", "lonely", "more"],
];

/** What follows `sandbox create`. */
const badSandboxes: string[][] = [
  ...badNames.map((name) => ["--", name]),
  ["web"],
  ["taken"],
  ["s", "--network", "nothing"],
  ["s", "--network", "host"],
  ["s", "--network", ""],
  ["s", "--network", "front", "--network", "front"],
  ["s", "--network", "none", "--network", "front"],
  ["s", "--network", "none", "--ip", "172.17.0.9"],
  ["s", "--network", "front", "--ip", "10.9.0.1"],
  ["s", "--network", "front", "--network", "nothing"],
  ["s", "--network", "front", "--mac", "foo"],
  ["s", "--network", "front", "--alias", "a b"],
  ["s", "--network", "front", "--link", "a:b:c"],
  ...["", "a b", "-a", "a_b", "x".repeat(65)].map((name) => ["s", "--network", "front", `--hostname=${name}`]),
  ...["", "0", "65536", "80/foo", "9-8", "a", "80:80"].map((port) => ["s", "--network", "front", "--expose", port]),
  ...["", "foo", "1.2.3", "1.2.3.4:53"].map((ip) => ["s", "--network", "front", "--dns", ip]),
  ...["", "a b", "a\nnameserver 1.2.3.4"].map((domain) => ["s", "--network", "front", "--dns-search", domain]),
  ...["", "a b", "a\nnameserver 1.2.3.4"].map((option) => ["s", "--network", "front", "--dns-opt", option]),
  ...["", "a", "a:", ":1.2.3.4", "a:b", "a b:1.2.3.4", "a\nb:1.2.3.4"].map((line) => [
    "s",
    "--network",
    "front",
    "--add-host",
    line,
  ]),
  ["s", "--network", "front", "--label", "=x"],
  [],
];

/** What follows `sandbox adopt`. */
const badAdoptions = (pid: number): string[][] => [
  ["s"],
  ["s", "--pid", String(pid), "--netns", "/run/netns/taken"],
  ...["", "0", "-1", "foo", "4194305", "1/../2", "self"].map((pid) => ["s", `--pid=${pid}`, "--network", "front"]),
  ...["", "/etc/passwd", "/nowhere", "run/netns/taken", "/proc/1/ns/mnt"].map((path) => [
    "s",
    `--netns=${path}`,
    "--network",
    "front",
  ]),
  ["s", "--pid", "1", "--network", "front"],
  ["s", "--netns", "/proc/1/ns/net", "--network", "front"],
  ["s", "--netns", "/run/netns/web", "--network", "front"],
  ["taken", "--pid", String(pid), "--network", "front"],
];

async function everything(host: BareHost, pontoon: Pontoon): Promise<string> {
  const files = await host.exec(["sh", "-c", "cat /etc/netns/*/*; sysctl net.ipv4.ip_forward; nft list ruleset"]);
  return [
    (await pontoon.get("/v1/networks")).body,
    (await pontoon.get("/v1/sandboxes")).body,
    await marksOn(host),
    files.stdout.replaceAll(/counter packets \d+ bytes \d+/g, ""),
  ].join("\n");
}

t.test("what cannot be is refused in one line, and nothing has changed", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front --subnet 172.17.0.0/16 --bridge-name br-front");
  await run(pontoon, "network create back --subnet 172.18.0.0/16");
  await run(pontoon, "sandbox create web --network front");
  await run(pontoon, "sandbox create lonely --network none");
  await host.exec(["ip", "netns", "add", "taken"]);
  const pid = await startShell(host, "exec unshare --net sleep 1d");
  const before = await everything(host, pontoon);
  for (const [command, lines] of [
    ["network create", badNetworks],
    ["network connect", badConnections],
    ["sandbox create", badSandboxes],
    ["sandbox adopt", badAdoptions(pid)],
  ] as const)
    await t.test(command, async (t) => {
      for (const line of lines) {
        const what = JSON.stringify(line);
        const { exitCode, stdout, stderr } = await pontoon.cli(...command.split(" "), ...line);
        t.ok(exitCode === 1 || exitCode === 2, `${what}: exit code ${exitCode}`);
        t.equal(stdout, "", `${what} prints nothing`);
        const oneLine =
          exitCode === 1 ? /^pontoon: [^\n[]{10,400}\n$/ : /^(error: [^\n]+\n\(pontoon --help .*\)|pontoon: [^\n]+)\n$/;
        t.match(stderr, oneLine, `${what} is refused in one line`);
        const now = await everything(host, pontoon);
        if (now === before) continue;
        t.equal(now, before, `${what} changed nothing`);
        await run(pontoon, "network disconnect front lonely").catch(() => undefined);
        for (const name of ["s", "taken"]) await run(pontoon, `sandbox rm ${name}`).catch(() => undefined);
        await run(pontoon, "network rm n").catch(() => undefined);
      }
    });
  t.equal(await everything(host, pontoon), before);
  t.equal(await pontoon.stop(), 0);
});
