// What the configuration says of networks and sandboxes.
import t from "tap";
import { BareHost } from "../lab/index.js";
import { marksOn, reaches, run } from "./host.js";

const inspected = async (pontoon: Parameters<typeof run>[0], network: string) =>
  JSON.parse(await run(pontoon, `network inspect ${network}`)) as unknown;

t.test("networks and sandboxes that name nothing are as configured; what they name counts", async (t) => {
  const host = await BareHost.start(t);
  const config = `network:
  bip: 10.60.0.9/24
  fixed-cidr: 10.60.0.128/25
  mtu: 1400
  icc: false
  ip-masq: false
  default-address-pools: [{ base: 10.61.0.0/16, size: 24 }]
  dns: [192.0.2.53]
  dns-search: [corp.example]
  dns-opt: ['ndots:3']
`;
  const pontoon = await host.pontoon({ config });
  await run(pontoon, "sandbox create one");
  await run(pontoon, "sandbox create two --dns-search own.example --dns-opt rotate");
  await run(pontoon, "network create front");
  await run(pontoon, "network create back --subnet 10.62.0.0/24 --mtu 1300");
  t.match(await run(pontoon, "sandbox inspect one"), /10\.60\.0\.128/);
  t.match(await run(pontoon, "sandbox exec one cat /etc/resolv.conf"), /search corp\.example\noptions ndots:3$/);
  t.match(await run(pontoon, "sandbox exec two cat /etc/resolv.conf"), /search own\.example\noptions rotate ndots:0$/);
  t.notOk(await reaches(pontoon, "one", "10.60.0.129"), "icc is off");
  t.ok(await reaches(pontoon, "one", "10.60.0.9"), "the gateway is that of bip");
  t.match(await inspected(pontoon, "front"), {
    0: { IPAM: { Config: { length: 1, 0: { Subnet: "10.61.0.0/24" } } } },
  });
  const mtuOf = async (link: string) =>
    (await host.exec(["ip", "link", "show", "type", "bridge"])).stdout
      .split("\n")
      .find((line) => line.includes(`mtu ${link}`)) !== undefined;
  t.same([await mtuOf("1400"), await mtuOf("1300")], [true, true]);
  const rules = (await host.exec(["nft", "list", "set", "inet", "pontoon", "masqueraded4"])).stdout;
  t.match(rules, /10\.61\.0\.0/);
  t.notMatch(rules, /10\.60\.0\.0/, "ip-masq is off");
  t.equal(await pontoon.stop(), 0);
});

t.test("a bridge that is configured is adopted when it is there, and not made", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon({ config: "network:\n  bridge: br9\n" });
  t.match(await pontoon.cli("sandbox", "create", "web"), { exitCode: 1, stderr: /there is no bridge br9/ });
  await host.exec([
    "sh",
    "-ec",
    "ip link add br9 type bridge; ip address add 10.63.0.1/24 dev br9; ip link set br9 up",
  ]);
  await run(pontoon, "sandbox create web");
  t.match(await run(pontoon, "sandbox inspect web"), /10\.63\.0\.2/);
  t.equal(await pontoon.stop(), 0);
});

t.test("without the host's firewall no rule is made, and status says so", async (t) => {
  for (const options of [{ config: "network:\n  iptables: false\n" }, { args: ["--no-firewall"] }]) {
    const host = await BareHost.start(t);
    await host.exec(["sysctl", "-qw", "net.ipv4.ip_forward=0"]);
    let pontoon = await host.pontoon();
    await run(pontoon, "sandbox create before");
    await run(pontoon, "publish before 8080:80");
    t.match(await marksOn(host), /table inet pontoon/);
    t.equal(await pontoon.stop(), 0);
    pontoon = await host.pontoon(options);
    await run(pontoon, "network create more");
    await run(pontoon, "sandbox create web --network more");
    t.notMatch(await marksOn(host), /table/, "also for networks that had rules before");
    t.match(await run(pontoon, "status"), /firewall +left alone, as configured/);
    t.match(await run(pontoon, "port --json"), /"path": ?"proxy"/);
    t.equal(await pontoon.stop(), 0);
  }
});
