import t, { type Test } from "tap";
import { until } from "../lab/index.js";
import { inside, marksOn, reaches, run } from "../networks/host.js";
import { clusterOf, ClusterLab, untilPings, type ClusterHost } from "./hosts.js";

// Encrypted networks of several hosts. The kernel here has no WireGuard: wireguard-go serves in its stead.

const config = "wireguard:\n  use: /usr/bin/wireguard-go\n";
const link = "pt-wireguard";
const secret = "what nobody else is to read";

t.test("an encrypted network between hosts", async (t) => {
  const lab = await ClusterLab.start(t, { members: 1 });
  const [east, west, plain] = await Promise.all([lab.host(1, config), lab.host(2, config), lab.host(3)]);
  const both = [east, west];
  const marks = await Promise.all(both.map(({ host }) => marksOn(host)));
  await run(east.pontoon, "network create -d overlay demo --encrypted --subnet 10.88.0.0/16 --subnet fd00:88::/64");
  await run(east.pontoon, "network create -d overlay open --subnet 10.89.0.0/16");
  for (const { pontoon } of [...both, plain])
    await until(async () => /demo[^]*open/.test(await run(pontoon, "network ls")), { what: "all have the networks" });

  await t.test("says by what", (t) => named(t, east, plain));
  await t.test("is refused where it cannot be", (t) => refused(t, plain));
  await run(east.pontoon, "sandbox create web --network demo --network open");
  await run(west.pontoon, "sandbox create shop --network demo --network open");
  await untilPings(east, "web", "shop");
  await untilPings(west, "shop", "web");
  await t.test("shows nobody on the underlay what it carries", (t) => unread(t, lab, both));
  await t.test("is there again after whatever ends", (t) => mended(t, both, lab));
  await t.test("follows a host with another key", (t) => rotated(t, lab, both));

  await run(east.pontoon, "sandbox rm web");
  await run(west.pontoon, "sandbox rm shop");
  await run(east.pontoon, "network rm demo");
  await run(east.pontoon, "network rm open");
  for (const [index, { host, number }] of both.entries())
    await until(async () => (await marksOn(host)) === marks[index], { what: `nothing is left on host ${number}` });
});

interface Inspected {
  readonly Options: Record<string, string>;
}

async function named(t: Test, { pontoon }: ClusterHost, plain: ClusterHost): Promise<void> {
  const optionsOn = async (host: Pick<ClusterHost, "pontoon">) =>
    (JSON.parse(await run(host.pontoon, "network inspect demo")) as Inspected[])[0]!.Options;
  t.match(await optionsOn({ pontoon }), {
    encrypted: "",
    "pontoon.encryption": "wireguard-go",
    "com.docker.network.driver.mtu": "1370",
  });
  t.match(await optionsOn(plain), { "pontoon.encryption": /^none/ });
  const status = await run(pontoon, "status");
  t.match(status, /hosts +encrypted networks by wireguard-go/);
  t.match(status, /without WireGuard, and out of reach of encrypted networks: \S+\n/);
  t.match(await clusterOf(pontoon), { encryption: "wireguard-go" });
}

async function refused(t: Test, { pontoon, host }: ClusterHost): Promise<void> {
  const sentence =
    /this host has no WireGuard for the encrypted network \w+, which is never carried in plain; .*wireguard\.use/;
  await t.rejects(run(pontoon, "network create -d overlay other --encrypted"), { message: sentence });
  await t.rejects(run(pontoon, "sandbox create none --network demo"), { message: sentence });
  t.equal(await run(pontoon, "sandbox ls --json"), "[]");
  t.notMatch((await host.exec(["ip", "link"])).stdout, /pvx-|pt-/);
}

/** What two sandboxes send each other, as the switch between their hosts sees it. */
async function unread(t: Test, lab: ClusterLab, [east, west]: readonly ClusterHost[]): Promise<void> {
  await east!.host.exec(["sh", "-c", `mkdir -p /opt/www && echo "${secret}" > /opt/www/index.html`]);
  await inside(east!.pontoon, "web", "busybox httpd -h /opt/www");
  const address = async (network: string) => {
    const [{ networks }] = JSON.parse(await run(east!.pontoon, "sandbox inspect web")) as [
      { networks: { network: string; ipv4: string }[] },
    ];
    return networks.find((each) => each.network === network)!.ipv4;
  };
  const captured = async (network: string) => {
    const file = `/run/${network}.pcap`;
    const start = `tcpdump -i port1 -U -w ${file} > /dev/null 2>&1 & echo $!; for n in $(seq 100); do test -s ${file} && break; sleep 0.05; done`;
    const pid = Number((await lab.underlay.exec(["sh", "-c", start])).stdout);
    const { stdout } = await inside(west!.pontoon, "shop", `curl --silent http://${await address(network)}/`);
    t.equal(stdout.trim(), secret, network);
    const read = async (...filter: string[]) =>
      (await lab.underlay.exec(["tcpdump", "-nnA", "-r", file, ...filter], { reject: false })).stdout;
    await until(async () => (await read("udp")).includes("F") && (await read()) !== "", {
      what: "packets are written",
    });
    await lab.underlay.signal("SIGINT", pid);
    return { all: await read(), vxlan: await read("udp port 4789"), wireguard: await read("udp port 51840") };
  };
  const seen = await captured("open");
  t.match(seen.all, secret, "what is in plain is seen");
  t.not(seen.vxlan, "");
  const hidden = await captured("demo");
  t.notMatch(hidden.all, secret);
  t.equal(hidden.vxlan, "");
  t.not(hidden.wireguard, "");
}

async function mended(t: Test, both: readonly ClusterHost[], lab: ClusterLab): Promise<void> {
  const [east, west] = both as [ClusterHost, ClusterHost];
  const program = async () => (await east.host.exec(["pgrep", "-x", "wireguard-go"])).stdout.trim();
  const pid = await program();
  await east.pontoon.killEverything();
  t.ok(await reaches(west.pontoon, "shop", "10.88.0.2"), "it goes on while no daemon is there");
  const own = "/opt/wireguard-go"; // a program that can be taken away
  await east.host.exec(["sh", "-c", `mkdir -p /opt; cp /usr/bin/wireguard-go ${own}`]);
  const again = { ...east, pontoon: await lab.daemon(east.host, 1, config.replace("/usr/bin/wireguard-go", own)) };
  await untilPings(again, "web", "shop");
  t.equal(await program(), pid, "as it was");
  const harms = [`kill -9 ${pid}`, `ip link delete ${link}`, `ip link set ${link} down`];
  for (const harm of harms) {
    await east.host.exec(["sh", "-c", harm]);
    await untilPings(again, "web", "shop");
    await untilPings(west, "shop", "web");
  }
  await t.test("or says why not", async (t) => {
    await east.host.exec(["sh", "-c", `chmod -x ${own}; pkill -x wireguard-go`]);
    const trouble = async () =>
      /lead to no other host: \S+ could not be started: EACCES/.test(await run(again.pontoon, "status"));
    await until(trouble, { what: "status says it" });
    t.notOk(await reaches(again.pontoon, "web", "shop"));
    await east.host.exec(["sh", "-c", `chmod +x ${own}; ip link set ${link} down`]);
    await untilPings(again, "web", "shop");
    await until(async () => !(await trouble()), { what: "status is well" });
  });
  Object.assign(east, { pontoon: again.pontoon });
}

/** A host that was made anew has another key. */
async function rotated(t: Test, lab: ClusterLab, both: readonly ClusterHost[]): Promise<void> {
  const [east, west] = both as [ClusterHost, ClusterHost];
  const keys = async () => {
    const text = await lab.etcd.etcdctl("get", "--prefix", "/pontoon/v1/state/hosts/");
    return [...text.matchAll(/"publicKey":"([^"]+)"/g)].map(([, key]) => key!).sort();
  };
  const before = await keys();
  t.equal(before.length, 2);
  await run(west.pontoon, "sandbox rm shop");
  t.equal(await west.pontoon.stop(), 0);
  await west.host.exec(["sh", "-c", "rm -rf /var/lib/pontoon/*"]);
  const away = async () => (await clusterOf(east.pontoon)).away.length === 1;
  await until(away, { what: "the host is away", timeoutMs: 30_000 });
  await run(east.pontoon, "host forget 10.99.0.2");
  const pontoon = await lab.daemon(west.host, 2, config);
  Object.assign(west, { pontoon });
  await until(async () => (await run(pontoon, "network ls")).includes("demo"), { what: "it has the network again" });
  await run(pontoon, "sandbox create shop --network demo --network open");
  await untilPings(west, "shop", "web");
  await untilPings(east, "web", "shop");
  const after = await keys();
  t.equal(after.length, 2);
  t.equal(after.filter((key) => before.includes(key)).length, 1, "one is another");
}
