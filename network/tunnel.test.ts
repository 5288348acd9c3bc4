import { existsSync } from "node:fs";
import t, { type Test } from "tap";
import { hasWireguard } from "../linux/netlink/rtnetlink/link-kinds.js";
import { stateOf } from "./testing/situation.js";
import { newKey, twoTunnelHosts, wireguardGo, type TunnelHost } from "./testing/tunnel.js";
import type { WorkerRequest } from "./testing/worker.js";
import { tunnelLink, type NeighbourChange, type WantedTunnel } from "./wanted.js";

// Encrypted networks of two hosts, with wireguard-go: this is run on kernels without WireGuard.

const canRun =
  process.getuid?.() === 0 && existsSync(wireguardGo) && existsSync("/dev/net/tun")
    ? {}
    : { skip: "root makes network namespaces and tun links, and wireguard-go has to be installed" };

const byKernel = process.getuid?.() === 0 && hasWireguard() ? {} : { skip: "this kernel has no WireGuard" };

type Worker = Pick<TunnelHost, "worker">;

/** @returns how many steps it took */
async function done(t: Test, { worker }: Worker, request: WorkerRequest): Promise<number> {
  const outcome = await worker.do(request);
  t.same(outcome?.failures, [], `${request.kind}: nothing fails`);
  return outcome?.steps ?? -1;
}

const neighbours = (change: Partial<NeighbourChange>): WorkerRequest => ({
  kind: "neighbours",
  changes: [{ network: "net7", put: [], removed: [], ...change }],
});
const wanting = (tunnel: WantedTunnel | undefined): WorkerRequest => ({ kind: "tunnel", tunnel: tunnel! });

async function bringUp(t: Test, host: TunnelHost, { neighbours: put }: TunnelHost): Promise<void> {
  await done(t, host, wanting(host.tunnel));
  await done(t, host, neighbours({ put, isAll: true }));
  await done(t, host, { kind: "change", change: host.change });
}

async function connected(
  t: Test,
  family: "ipv4" | "ipv6" = "ipv4",
  by?: WantedTunnel["by"],
): Promise<[TunnelHost, TunnelHost]> {
  const [one, other] = await twoTunnelHosts(t, family, by);
  await bringUp(t, one, other);
  await bringUp(t, other, one);
  return [one, other];
}

/** Whether a sandbox is answered, at the latest when it has asked so often. @param size bytes behind ICMP's header */
function pings({ lab, sandbox }: TunnelHost, to: string, { size = 56, times = 30 } = {}): boolean {
  const ping = `ip netns exec ${sandbox.id} busybox ping -c 1 -W 1 -s ${size} ${to}`;
  const script = `for n in $(seq ${times}); do ${ping} > /dev/null 2>&1 && echo yes && break; done; true`;
  return lab.run("sh", "-c", script) !== "";
}

/** Counts packets that leave a host into the underlay from now on, by UDP port. */
function leaving({ lab }: TunnelHost): () => Record<"vxlan" | "wireguard" | "pieces", number> {
  lab.run("nft", "add table netdev seen; add chain netdev seen out { type filter hook egress device u0 priority 0; }");
  for (const [name, match] of [
    ["vxlan", "udp dport 4789"],
    ["wireguard", "udp dport 51840"],
    ["pieces", "ip frag-off & 0x3fff != 0"],
  ])
    lab.run("nft", `add counter netdev seen ${name}; add rule netdev seen out ${match} counter name ${name}`);
  return () => {
    const text = lab.run("nft", "list", "counters");
    const of = (name: string) => Number(new RegExp(`counter ${name} \\{\\s+packets (\\d+)`).exec(text)?.[1]);
    return { vxlan: of("vxlan"), wireguard: of("wireguard"), pieces: of("pieces") };
  };
}

async function upToTheMtu(t: Test, family: "ipv4" | "ipv6", by?: WantedTunnel["by"]): Promise<void> {
  const [one, other] = await connected(t, family, by);
  const counts = leaving(one);
  t.ok(pings(one, "10.7.0.12"));
  t.ok(pings(one, "fd00:7::12"));
  t.ok(pings(other, "10.7.0.11"));
  const { mtu } = one.network;
  t.ok(pings(one, "10.7.0.12", { size: mtu - 28 }));
  t.match(counts(), { vxlan: 0, pieces: 0 });
  t.not(counts().wireguard, 0);
  t.match(one.lab.run("ip", "-d", "link", "show", tunnelLink), new RegExp(`mtu ${mtu + 70} `));
}

t.test("networks of several MTUs are in one tunnel, and small ones alone", canRun, async (t) => {
  const [one, other] = await twoTunnelHosts(t);
  const ofMtu = (host: TunnelHost, mtu: number): TunnelHost => {
    const isV4 = ({ ip }: { ip: string }) => !ip.includes(":"); // of IPv6 there is none below 1280
    const network = { ...host.network, mtu, hasIPv6: false, addresses: host.network.addresses.filter(isV4) };
    const endpoint = {
      ...host.endpoint,
      mtu,
      addresses: host.endpoint.addresses.filter(isV4),
      gateways: host.endpoint.gateways.filter((ip) => isV4({ ip })),
      isDefault: { ipv4: true, ipv6: false },
    };
    const change = { ...host.change, networks: [network], endpoints: [endpoint] };
    return { ...host, network, endpoint, change, neighbours: host.neighbours.filter(isV4) };
  };
  const [small, smallOther] = [ofMtu(one, 1000), ofMtu(other, 1000)];
  await bringUp(t, small, smallOther);
  await bringUp(t, smallOther, small);
  t.ok(pings(one, "10.7.0.12", { size: 1000 - 28 }));
  const mtuOf = (link: string) => Number(/mtu (\d+)/.exec(one.lab.run("ip", "link", "show", link))?.[1]);
  t.equal(mtuOf(tunnelLink), 1280);
  const overlay = { ...one.network.overlay!, link: "pvx-8", vni: 4712 };
  const second = {
    ...one.network,
    id: "net8",
    name: "network8",
    bridge: "br8",
    overlay,
    addresses: [],
    firewall: undefined,
  };
  await done(t, one, { kind: "change", change: { networks: [second] } });
  t.same([tunnelLink, "pvx-8", "pvx-7"].map(mtuOf), [1440, 1370, 1000]);
  t.ok(pings(one, "10.7.0.12", { size: 1000 - 28 }));
  await done(t, one, { kind: "change", change: { removed: { networks: ["net8"] } } });
  t.ok(pings(one, "10.7.0.12", { size: 1000 - 28 }));
  t.equal(mtuOf(tunnelLink), 1280);
  t.equal(await done(t, one, { kind: "mend-neighbours" }), 0);
});

for (const family of ["ipv4", "ipv6"] as const) {
  const what = `what sandboxes of two hosts send each other is encrypted on ${family}, up to the MTU`;
  t.test(what, canRun, (t) => upToTheMtu(t, family));
  t.test(`${what}, by the kernel`, byKernel, (t) => upToTheMtu(t, family, "kernel"));
}

t.test(
  "with the tunnel down, gone, or served by nobody, nothing leaves in plain; and it comes back",
  canRun,
  async (t) => {
    const [one] = await connected(t);
    t.ok(pings(one, "10.7.0.12"));
    const state = stateOf(one.lab);
    // A way that plain packets would take.
    one.lab.run("ip", "-6", "route", "add", "default", "dev", "u0");
    one.lab.run("ip", "-6", "route", "add", "fe80::/64", "dev", "u0", "metric", "1");
    const counts = leaving(one);
    const pid = () => one.lab.run("pgrep", "-x", "wireguard-go", "--ns", String(one.lab.pid), "--nslist", "net").trim();
    const harms: [harm: string, request: WorkerRequest][] = [
      [`ip link set ${tunnelLink} down`, { kind: "mend-links" }],
      [`kill -9 $PID`, { kind: "mend-links" }],
      [`ip link delete ${tunnelLink}`, { kind: "mend-links" }],
      [`ip -6 address flush dev ${tunnelLink}`, { kind: "mend-neighbours" }],
      // The program notices a little later, and ends.
      [
        `rm /run/wireguard/*.sock; until ip link show ${tunnelLink} | grep -q NO-CARRIER; do sleep 0.05; done`,
        { kind: "mend-neighbours" },
      ],
    ];
    for (const [harm, request] of harms) {
      one.lab.run("sh", "-c", harm.replace("$PID", pid()));
      const before = counts();
      t.notOk(pings(one, "10.7.0.12", { times: 1 }), harm);
      t.equal(counts().vxlan, before.vxlan, `${harm}: nothing in plain`);
      t.not(await done(t, one, request), 0, harm);
      await done(t, one, { kind: "mend-links" });
      t.ok(pings(one, "10.7.0.12"), harm);
      t.same(stateOf(one.lab), state, harm);
      t.equal(await done(t, one, { kind: "mend-neighbours" }), 0, harm);
    }
    t.equal(counts().vxlan, 0);
  },
);

t.test(
  "a plain packet with the number of an encrypted network is dropped, and no service is open by the tunnel",
  canRun,
  async (t) => {
    const [one, other] = await connected(t);
    t.ok(pings(other, "10.7.0.11"));
    const inside = ["ip", "netns", "exec", one.sandbox.id, "nft"].join(" ");
    one.lab.run(
      "sh",
      "-c",
      `${inside} 'add table inet seen; add chain inet seen input { type filter hook input priority 0; }'`,
    );
    one.lab.run("sh", "-c", `${inside} 'add rule inet seen input icmp type echo-request counter'`);
    const seen = () => Number(/packets (\d+)/.exec(one.lab.run("sh", "-c", `${inside} list table inet seen`))?.[1]);
    // The other host, or who has its address, sends in plain to the address that hosts advertise.
    const send = (words: string) => other.lab.run("sh", "-c", words);
    send("ip link add forged type vxlan id 4711 local 192.0.2.2 remote 192.0.2.1 dstport 4789");
    send("ip link set forged address 02:42:0a:07:00:12 up; ip address add 10.7.0.99/24 dev forged");
    send(`ip neighbour add 10.7.0.11 lladdr ${one.endpoint.mac} dev forged`);
    const sent = () => Number(/TX:[^\n]*\n\s+\d+\s+(\d+)/.exec(send("ip -s link show forged"))?.[1]);
    send("busybox ping -c 3 -W 1 -I forged 10.7.0.11 > /dev/null || true");
    t.not(sent(), 0);
    t.equal(seen(), 0);
    t.ok(pings(other, "10.7.0.11"), "and the way itself is open");
    t.not(seen(), 0);
    // Even where something of the host would take them: a plain link of that number.
    one.lab.run("sh", "-c", "ip link add theirs type vxlan id 4711 local 192.0.2.1 remote 192.0.2.2 dstport 4789");
    one.lab.run("sh", "-c", "ip address add 198.51.100.1/24 dev theirs; ip link set theirs up");
    send("ip address add 198.51.100.2/24 dev forged");
    const isAnswered = "busybox ping -c 3 -W 1 -I forged 198.51.100.1 > /dev/null && echo yes || true";
    t.equal(send(isAnswered), "");
    const reach = `busybox ping -6 -c 1 -W 1 ${one.tunnel.address}%${tunnelLink} > /dev/null && echo yes || true`;
    t.equal(send(reach), "", "nor is the host's own address there answered");
  },
);

t.test(
  "without any rule, too, the kernel takes packets of an encrypted network from the tunnel alone",
  canRun,
  async (t) => {
    const [one, other] = await twoTunnelHosts(t, "ipv6");
    const network = { ...one.network, firewall: undefined };
    await bringUp(t, { ...one, change: { ...one.change, networks: [network] } }, other);
    t.notMatch(one.lab.run("nft", "list", "tables"), /pontoon/);
    const inside = ["ip", "netns", "exec", one.sandbox.id, "nft"].join(" ");
    for (const words of [`${inside} 'add table netdev seen'`, "nft 'add table netdev seen'"]) {
      const link = words.startsWith("nft") ? "u0" : one.endpoint.ifname;
      const rule = words.startsWith("nft") ? "udp dport 4789 counter" : "icmp type echo-request counter";
      const nft = words.split(" 'add")[0]!;
      const chain = `add chain netdev seen in { type filter hook ingress device ${link} priority 0; }`;
      one.lab.run("sh", "-c", `${words}; ${nft} '${chain}'; ${nft} 'add rule netdev seen in ${rule}'`);
    }
    const packets = (nft: string) =>
      Number(/packets (\d+)/.exec(one.lab.run("sh", "-c", `${nft} list table netdev seen`))?.[1]);
    const forged = "ip link add forged type vxlan id 4711 local 2001:db8::2 remote 2001:db8::1 dstport 4789";
    other.lab.run(
      "sh",
      "-c",
      `${forged}; ip link set forged address 02:42:0a:07:00:12 up; ip address add 10.7.0.99/24 dev forged`,
    );
    other.lab.run("ip", "neighbour", "add", "10.7.0.11", "lladdr", one.endpoint.mac!, "dev", "forged");
    other.lab.run("sh", "-c", "busybox ping -c 3 -W 1 -I forged 10.7.0.11 > /dev/null || true");
    t.ok(packets("nft") >= 3, "they come to the host");
    t.equal(packets(inside), 0);
    other.lab.run("ip", "link", "delete", "forged");
    await bringUp(t, other, one);
    t.ok(pings(other, "10.7.0.11"));
    t.not(packets(inside), 0, "and others to the sandbox");
  },
);

t.test("a host with another key, or at another address, is followed; others' sessions go on", canRun, async (t) => {
  const [one, other] = await connected(t);
  t.ok(pings(one, "10.7.0.12"));
  const key = newKey();
  const moved = { ...other.tunnel, privateKey: key.privateKey, address: key.address, port: 51841 };
  const overlay = { ...other.network.overlay!, local: key.address };
  await done(t, other, wanting(moved));
  await done(t, other, { kind: "change", change: { networks: [{ ...other.network, overlay }] } });
  t.notOk(pings(one, "10.7.0.12", { times: 1 }), "it is not known yet");
  const peer = { publicKey: key.publicKey, host: "192.0.2.2", port: 51841, address: key.address };
  await done(t, one, wanting({ ...one.tunnel, peers: [peer] }));
  await done(t, one, neighbours({ put: other.neighbours.map((each) => ({ ...each, host: key.address })) }));
  t.ok(pings(one, "10.7.0.12"));
  t.equal(await done(t, one, wanting({ ...one.tunnel, peers: [peer] })), 0);
  await done(t, one, wanting({ ...one.tunnel, peers: [] }));
  t.notOk(pings(one, "10.7.0.12", { times: 1 }), "a host that is none any more");
});

t.test("an encrypted network without a tunnel leads to no other host, and is never plain", canRun, async (t) => {
  const [one, other] = await twoTunnelHosts(t);
  await done(t, one, neighbours({ put: other.neighbours, isAll: true }));
  const outcome = await one.worker.do({ kind: "change", change: one.change });
  t.same(
    outcome?.failures.map(({ code }) => code),
    ["ENCRYPTION_MISSING"],
  );
  t.notMatch(one.lab.run("ip", "link"), /pvx-7/);

  if (!hasWireguard())
    t.same(
      (await one.worker.do(wanting({ ...one.tunnel, by: "kernel" })))?.failures.map(({ code }) => code),
      ["ENCRYPTION_MISSING"],
    );

  const failing = async (by: WantedTunnel["by"]) => {
    await one.worker.do(wanting({ ...one.tunnel, by }));
    return (await one.worker.do({ kind: "mend-links" }))?.failures.map(({ code }) => code);
  };
  t.same(await failing({ program: "/usr/bin/false" }), ["WIREGUARD_FAILED"]);
  t.same(await failing({ program: "/nonexistent" }), ["WIREGUARD_FAILED"]);
  await one.worker.do(wanting(undefined));
  one.lab.run("ip", "link", "delete", tunnelLink);
  one.lab.run("ip", "link", "add", tunnelLink, "type", "bridge");
  t.same(await failing({ program: wireguardGo }), ["LINK_NAME_TAKEN", "ENCRYPTION_MISSING"]);
  one.lab.run("ip", "link", "delete", tunnelLink);
  await done(t, one, wanting(one.tunnel));
  await done(t, one, { kind: "change", change: one.change });
  t.match(one.lab.run("ip", "link"), /pvx-7/);
});

t.test(
  "nothing is sent to an address beside the tunnel, whoever says so, nor where the port is another's",
  canRun,
  async (t) => {
    const [one, other] = await connected(t, "ipv6");
    t.ok(pings(one, "10.7.0.12"));
    const counts = leaving(one);
    const elsewhere = other.neighbours.map((neighbour) => ({ ...neighbour, host: "2001:db8::2" }));
    await done(t, one, neighbours({ put: elsewhere }));
    pings(one, "10.7.0.12", { times: 1 });
    await done(t, one, { kind: "mend-neighbours" });
    t.notMatch(one.lab.run("bridge", "fdb", "show", "dev", "pvx-7"), /2001:db8/);
    t.equal(counts().vxlan, 0);
    await done(t, one, neighbours({ put: other.neighbours }));
    t.ok(pings(one, "10.7.0.12"));

    const port = 51842;
    const listen = `require("dgram").createSocket("udp6").bind(${port}, () => console.log("bound"))`;
    one.lab.run("sh", "-c", `${process.execPath} -e '${listen}' > /run/netns/told 2>&1 & echo $! > /run/netns/pid`);
    one.lab.run("sh", "-c", "until grep -q bound /run/netns/told; do sleep 0.05; done");
    const outcome = await one.worker.do(wanting({ ...one.tunnel, port }));
    one.lab.run("sh", "-c", "kill $(cat /run/netns/pid); rm /run/netns/pid /run/netns/told");
    t.same(
      outcome?.failures.map(({ code, subject }) => `${code} ${subject}`),
      [`WIREGUARD_PORT_TAKEN ${port}`],
    );
    await done(t, one, wanting(one.tunnel));
    await done(t, one, { kind: "mend-links" });
    t.ok(pings(one, "10.7.0.12"));
  },
);

t.test("the link and its program go with the last network, and after a lost store", canRun, async (t) => {
  const [one, other] = await twoTunnelHosts(t);
  const before = stateOf(one.lab);
  const socket = () =>
    one.lab.run(
      "sh",
      "-c",
      "for n in $(seq 100); do ls /run/wireguard | grep -q . || break; sleep 0.05; done; ls /run/wireguard",
    );
  await done(t, one, wanting(one.tunnel));
  t.notMatch(one.lab.run("ip", "link"), tunnelLink, "nothing needs it yet");
  await done(t, one, { kind: "change", change: one.change });
  t.match(one.lab.run("ip", "link"), tunnelLink);
  const removed = { networks: ["net7"], sandboxes: [one.sandbox.id], endpoints: [one.endpoint.id] };
  await done(t, one, { kind: "change", change: { removed } });
  await done(t, one, { kind: "finish" });
  t.same(stateOf(one.lab), before);
  t.equal(socket(), "");

  await bringUp(t, one, other);
  await one.worker.end();
  const again = { worker: one.lab.worker() };
  t.equal(await done(t, again, wanting(one.tunnel)), 0);
  t.equal(await done(t, again, { kind: "change", change: one.change }), 0, "a start finds all as it was");
  await again.worker.end();
  const next = { worker: one.lab.worker() };
  await done(t, next, { kind: "repair", handovers: [] });
  t.notMatch(one.lab.run("ip", "link"), new RegExp(`${tunnelLink}|pvx-7|br7`));
});

t.test("a crash before any step, and the next start ends where all is wanted", canRun, async (t) => {
  const [one, other] = await twoTunnelHosts(t);
  const requests: WorkerRequest[] = [
    wanting(one.tunnel),
    neighbours({ put: other.neighbours, isAll: true }),
    { kind: "change", change: { networks: [one.network] } },
    { kind: "repair", handovers: [] },
  ];
  const stateAfter = async (killAtStep?: number) => {
    const first = one.lab.worker(killAtStep);
    let hasEnded = false;
    for (const request of requests) hasEnded ||= (await first.do(request)) === undefined;
    if (!hasEnded) await first.end();
    const worker = one.lab.worker();
    for (const request of requests) await done(t, { worker }, request);
    t.equal(await done(t, { worker }, { kind: "mend-neighbours" }), 0);
    const state = stateOf(one.lab);
    await worker.end();
    const last = one.lab.worker();
    await done(t, { worker: last }, { kind: "repair", handovers: [] });
    await last.end();
    return { state, hasEnded };
  };
  await one.worker.end();
  const { state: whole } = await stateAfter();
  let step = 1;
  for (let hasEnded = true; hasEnded; step++) {
    const after = await stateAfter(step);
    t.same(after.state, whole, `step ${step}`);
    ({ hasEnded } = after);
  }
  t.ok(step > 8, "there are that many");
});
