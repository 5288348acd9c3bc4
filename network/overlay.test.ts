import t, { type Test } from "tap";
import { HostLab } from "./testing/lab.js";
import { twoHosts, type OverlayHost } from "./testing/overlay.js";
import { stateOf } from "./testing/situation.js";
import { QUIET_GROUP } from "./firewall/wanted.js";
import type { WorkerRequest } from "./testing/worker.js";
import { aliasOf, type NeighbourChange } from "./wanted.js";

const needsRoot = process.getuid?.() === 0 ? {} : { skip: "network namespaces are made by root" };
const network = "net7";
const mend: WorkerRequest = { kind: "mend-neighbours" };

/** @returns how many steps it took */
async function done(t: Test, { worker }: Pick<OverlayHost, "worker">, request: WorkerRequest): Promise<number> {
  const outcome = await worker.do(request);
  t.same(outcome?.failures, [], `${request.kind}: nothing fails`);
  return outcome?.steps ?? -1;
}

const neighbours = (change: Partial<NeighbourChange>): WorkerRequest => ({
  kind: "neighbours",
  changes: [{ network, put: [], removed: [], ...change }],
});

/** Both hosts with all that is wanted of them. */
async function connected(t: Test, family: "ipv4" | "ipv6" = "ipv4"): Promise<[OverlayHost, OverlayHost]> {
  const [one, other] = await twoHosts(t, family);
  for (const [host, { neighbours: put }] of [
    [one, other],
    [other, one],
  ] as const) {
    await done(t, host, { kind: "change", change: host.change });
    t.equal(await done(t, host, neighbours({ put, isAll: true })), 3, "one MAC address, two IP addresses");
  }
  return [one, other];
}

/** Whether a sandbox is answered, at the latest when it has asked so often. @param size bytes behind ICMP's header */
function pings({ lab, sandbox }: OverlayHost, to: string, { size = 56, times = 30 } = {}): boolean {
  const ping = `ip netns exec ${sandbox.id} busybox ping -c 1 -W 1 -s ${size} ${to}`;
  const script = `for n in $(seq ${times}); do ${ping} > /dev/null 2>&1 && echo yes && break; done; true`;
  return lab.run("sh", "-c", script) !== "";
}

/** What the kernel has for endpoints on other hosts, as `bridge` and `ip` tell it. */
function entriesOf({ lab, network: { bridge, overlay } }: OverlayHost): string[] {
  const fdb = lab.run("bridge", "fdb", "show", "dev", overlay!.link).split("\n");
  const known = lab.run("ip", "neighbour", "show", "dev", bridge, "nud", "permanent").split("\n");
  const known6 = lab.run("ip", "-6", "neighbour", "show", "dev", bridge, "nud", "permanent").split("\n");
  const isOne = (line: string) => line !== "" && !/^(33:33|01:00|ff0)/.test(line) && !/ permanent$| vlan /.test(line);
  const words = (line: string) =>
    line.trim().replace(/ (dev|master|lladdr) \S+/g, (part) => (part.startsWith(" lladdr") ? part : ""));
  return [...fdb, ...new Set([...known, ...known6])].filter(isOne).map(words).sort();
}

/** Counts what the overlay network of a host sends into the underlay from now on. @returns how many packets it was so far */
function carriedBy({ lab }: OverlayHost): () => number {
  lab.run("nft", "add table inet carried; add chain inet carried output { type filter hook output priority 0; }");
  lab.run("nft", "add rule inet carried output udp dport 4789 counter");
  return () => Number(/packets (\d+)/.exec(lab.run("nft", "list", "table", "inet", "carried"))?.[1]);
}

for (const family of ["ipv4", "ipv6"] as const)
  t.test(`sandboxes of two hosts reach each other over ${family}, up to the MTU`, needsRoot, async (t) => {
    const [one, other] = await connected(t, family);
    const carried = carriedBy(one);
    t.ok(pings(one, "10.7.0.12"));
    t.ok(pings(one, "fd00:7::12"));
    t.ok(pings(other, "10.7.0.11"));
    const [{ mtu }, before] = [one.network, carried()];
    t.ok(pings(one, "10.7.0.12", { size: mtu - 28 }));
    t.ok(pings(one, "fd00:7::12", { size: mtu - 48 }));
    t.equal(carried() - before, 2, "neither in pieces");
    t.ok(pings(one, "10.7.0.1") && pings(other, "fd00:7::1"), "each has the gateway on its own host");
  });

t.test("what is for nobody who is known stays on the host", needsRoot, async (t) => {
  const [one] = await connected(t);
  t.ok(pings(one, "10.7.0.12"));
  const carried = carriedBy(one);
  for (const unknown of ["10.7.0.77", "fd00:7::77", "10.7.0.255"]) t.notOk(pings(one, unknown, { times: 1 }), unknown);
  // To a MAC address that nobody is known to have.
  one.lab.run(
    "ip",
    "-n",
    one.sandbox.id,
    "neighbour",
    "add",
    "10.7.0.78",
    "lladdr",
    "02:42:0a:07:00:78",
    "dev",
    "eth7",
  );
  t.notOk(pings(one, "10.7.0.78", { times: 1 }));
  t.equal(carried(), 0);
  t.ok(pings(one, "10.7.0.12"));
  t.equal(carried(), 1, "and it is counted");
});

t.test("an endpoint moves to another host, and is gone", needsRoot, async (t) => {
  const [one, other] = await connected(t);
  const all = entriesOf(one);
  t.same(all, [
    "02:42:0a:07:00:12 dst 192.0.2.2 self static",
    "02:42:0a:07:00:12 static",
    "10.7.0.12 lladdr 02:42:0a:07:00:12 PERMANENT proto 112",
    "fd00:7::12 lladdr 02:42:0a:07:00:12 PERMANENT proto 112",
  ]);
  const elsewhere = other.neighbours.map((neighbour) => ({ ...neighbour, host: "192.0.2.9" }));
  t.equal(await done(t, one, neighbours({ put: elsewhere })), 1);
  t.equal(entriesOf(one)[0], "02:42:0a:07:00:12 dst 192.0.2.9 self static");
  t.equal(await done(t, one, neighbours({ put: other.neighbours })), 1);
  t.ok(pings(one, "10.7.0.12"));
  t.equal(await done(t, one, neighbours({ removed: ["10.7.0.12"] })), 1, "the other address needs its MAC address");
  t.ok(pings(one, "fd00:7::12"));
  t.equal(await done(t, one, neighbours({ removed: ["fd00:7::12", "fd00:7::99"] })), 3);
  t.same(entriesOf(one), []);

  // It comes to this host: the bridge learns by which port once more.
  await done(t, one, neighbours({ put: other.neighbours }));
  const place = other.endpoint;
  await done(t, other, { kind: "change", change: { removed: { endpoints: [place.id] } } });
  await done(t, one, neighbours({ removed: ["10.7.0.12", "fd00:7::12"] }));
  await done(t, one, { kind: "change", change: { sandboxes: [other.sandbox], endpoints: [place] } });
  t.ok(pings(one, "10.7.0.12"));
  await done(t, other, neighbours({ put: other.neighbours.map((each) => ({ ...each, host: "192.0.2.1" })) }));
});

t.test("what somebody takes away comes back", needsRoot, async (t) => {
  const [one] = await connected(t);
  const [all, state] = [entriesOf(one), stateOf(one.lab)];
  const harms: [harm: string, steps: number][] = [
    ["bridge fdb del 02:42:0a:07:00:12 dev pvx-7 self", 1],
    ["bridge fdb del 02:42:0a:07:00:12 dev pvx-7 master", 1],
    ["bridge fdb replace 02:42:0a:07:00:12 dev pvx-7 dst 192.0.2.9 self", 1],
    ["bridge fdb add 02:42:0a:07:00:99 dev pvx-7 dst 192.0.2.9 self", 1],
    ["bridge fdb add 00:00:00:00:00:00 dev pvx-7 dst 192.0.2.9 self permanent", 1],
    ["ip neighbour del 10.7.0.12 dev br7", 1],
    ["ip -6 neighbour replace fd00:7::12 lladdr 02:42:0a:07:00:99 dev br7", 1],
    ["ip neighbour flush dev br7 nud permanent; bridge fdb flush dev pvx-7", 0],
  ];
  for (const [harm, steps] of harms) {
    one.lab.run("sh", "-c", harm);
    const found = await done(t, one, mend);
    if (steps > 0) t.equal(found, steps, harm);
    t.same(entriesOf(one), all, harm);
    t.equal(await done(t, one, mend), 0, harm);
  }
  for (const harm of [
    "ip link delete pvx-7",
    "ip link set pvx-7 down",
    "ip link delete br7",
    "ip link set br7 down",
    "ip link set pvx-7 nomaster down",
  ]) {
    one.lab.run("sh", "-c", harm);
    t.not(await done(t, one, { kind: "mend-links" }), 0, harm);
    t.same(stateOf(one.lab), state, harm);
    t.same(entriesOf(one), all, harm);
    t.ok(pings(one, "10.7.0.12"), harm);
  }
});

t.test("neighbours of a network that comes later, and of one that goes", needsRoot, async (t) => {
  const [one, other] = await twoHosts(t);
  const before = stateOf(one.lab);
  t.equal(await done(t, one, neighbours({ put: other.neighbours, isAll: true })), 0, "they are kept");
  await done(t, one, { kind: "change", change: one.change });
  t.equal(entriesOf(one).length, 4);
  t.equal(await done(t, one, { kind: "repair", handovers: [] }), 0);
  t.equal(await done(t, one, neighbours({ put: other.neighbours, isAll: true })), 0, "and written once");

  const { overlay } = one.network;
  const moved = { ...one.network, overlay: { ...overlay!, vni: 4712 } };
  await done(t, one, { kind: "change", change: { networks: [moved] } });
  t.match(one.lab.run("ip", "-d", "link", "show", "pvx-7"), /vxlan id 4712 /);
  t.equal(entriesOf(one).length, 4);

  const removed = { networks: [network], sandboxes: [one.sandbox.id], endpoints: [one.endpoint.id] };
  await done(t, one, { kind: "change", change: { removed } });
  await done(t, one, { kind: "finish" });
  t.same(stateOf(one.lab), before);
  await done(t, one, { kind: "change", change: one.change });
  t.same(entriesOf(one), [], "they are forgotten with the network");
});

t.test("a number or a name that is taken is told", needsRoot, async (t) => {
  const [one] = await twoHosts(t);
  const codes = async () => {
    const outcome = await one.worker.do({ kind: "change", change: { networks: [one.network] } });
    return outcome?.failures.map(({ code, subject }) => `${code} ${subject}`);
  };
  one.lab.run("ip", "link", "add", "theirs", "type", "vxlan", "id", "4711", "dstport", "4789");
  t.same(await codes(), ["VNI_TAKEN 4711"]);
  one.lab.run("ip", "link", "delete", "theirs");
  one.lab.run("ip", "link", "add", "pvx-7", "type", "bridge");
  t.same(await codes(), ["LINK_NAME_TAKEN pvx-7"]);
  one.lab.run("ip", "link", "delete", "pvx-7");
  // Of a kind that shares its port with no other.
  one.lab.run("ip", "link", "add", "theirs", "type", "vxlan", "id", "99", "dstport", "4789", "gbp");
  one.lab.run("ip", "link", "set", "theirs", "up");
  t.same(await codes(), ["VNI_TAKEN 4789"]);
  one.lab.run("ip", "link", "delete", "theirs");
  t.same(await codes(), []);
});

t.test("a crash before any step, and the next start ends where all is wanted", needsRoot, async (t) => {
  const [, other] = await twoHosts(t);
  const requests: WorkerRequest[] = [
    { kind: "change", change: { networks: [other.network] } },
    neighbours({ put: other.neighbours, isAll: true }),
    { kind: "repair", handovers: [] },
  ];
  const whole = { ...(await stateAfter(t, requests)) };
  const steps = 7;
  for (let step = 1; step <= steps + 1; step++) {
    const lab = await hostWithin(t);
    const first = lab.worker(step);
    let ended = false;
    for (const request of requests.slice(0, 2)) ended ||= (await first.do(request)) === undefined;
    t.equal(ended, step <= steps, `step ${step}`);
    if (!ended) await first.end();
    const worker = lab.worker();
    for (const request of requests) await done(t, { worker }, request);
    t.same(stateWithEntries(lab, other), whole, `step ${step}`);
    await worker.end();
    // The store is lost.
    await done(t, { worker: lab.worker() }, { kind: "repair", handovers: [] });
    t.notMatch(lab.run("ip", "link"), /pvx-7|br7/);
    await lab.close();
  }

  async function stateAfter(t: Test, requests: readonly WorkerRequest[]) {
    const lab = await hostWithin(t);
    const worker = lab.worker();
    for (const request of requests) await done(t, { worker }, request);
    t.match(lab.run("ip", "link"), aliasOf.overlay({ id: network }));
    return stateWithEntries(lab, other);
  }
});

async function hostWithin(t: Test): Promise<HostLab> {
  const lab = await HostLab.make();
  t.teardown(() => lab.close());
  return lab;
}

function stateWithEntries(lab: HostLab, host: OverlayHost): Record<string, unknown> {
  return { ...stateOf(lab), entries: entriesOf({ ...host, lab }) };
}

t.test("where endpoints are kept from one another, so are those of other hosts", needsRoot, async (t) => {
  const hosts = await connected(t);
  for (const host of hosts) {
    const { firewall } = host.network;
    const quiet = { ...host.network, firewall: { ...firewall!, icc: false } };
    const change = { networks: [quiet], endpoints: [{ ...host.endpoint, group: QUIET_GROUP }] };
    await done(t, host, { kind: "change", change });
  }
  const [one, other] = hosts;
  t.ok(pings(one, "10.7.0.1") && pings(other, "10.7.0.1"));
  t.notOk(pings(one, "10.7.0.12", { times: 1 }));
  t.notOk(pings(other, "fd00:7::11", { times: 1 }));
  // By the rules of one host alone.
  await done(t, one, { kind: "change", change: one.change });
  t.notOk(pings(one, "10.7.0.12", { times: 1 }));
  await done(t, other, { kind: "change", change: other.change });
  t.ok(pings(one, "10.7.0.12"));
});

t.test("frames of hosts that are not on the network are dropped, and other networks' are not", needsRoot, async (t) => {
  const [one, other] = await twoHosts(t);
  for (const host of [one, other]) await done(t, host, { kind: "change", change: host.change });
  await done(t, other, neighbours({ put: one.neighbours, isAll: true }));
  const inside = ["ip", "netns", "exec", one.sandbox.id, "nft"];
  for (const words of [
    "add table inet seen; add chain inet seen input { type filter hook input priority 0; }",
    "add rule inet seen input icmp type echo-request counter",
  ])
    one.lab.run("sh", "-c", [...inside, `'${words}'`].join(" "));
  const seen = () =>
    Number(/packets (\d+)/.exec(one.lab.run("sh", "-c", [...inside, "list table inet seen"].join(" ")))?.[1]);
  t.notOk(pings(other, "10.7.0.11", { times: 1 }));
  t.equal(seen(), 0);
  await done(t, one, neighbours({ put: [{ ...other.neighbours[1]!, host: "192.0.2.9" }] }));
  t.notOk(pings(other, "10.7.0.11", { times: 1 }));
  t.equal(seen(), 0, "from another host than those that are known");
  const elsewhere = { network: "net8", put: [{ ...other.neighbours[1]!, ip: "fd00:8::12" }], removed: [] };
  await done(t, one, { kind: "neighbours", changes: [elsewhere] });
  t.notOk(pings(other, "10.7.0.11", { times: 1 }));
  t.equal(seen(), 0, "from a host that is on another network");

  for (const [{ lab }, number, remote] of [
    [one, 1, 2],
    [other, 2, 1],
  ] as const) {
    const settings = `id 4712 local 192.0.2.${number} remote 192.0.2.${remote} dstport 4789`;
    lab.run("ip", "link", "add", "theirs", "type", "vxlan", ...settings.split(" "));
    lab.run("ip", "address", "add", `198.51.100.${number}/24`, "dev", "theirs");
    lab.run("ip", "link", "set", "theirs", "up");
  }
  const isAnswered = () =>
    other.lab.run("sh", "-c", "busybox ping -c 1 -W 1 198.51.100.1 > /dev/null && echo yes || true");
  let answer = "";
  for (let tried = 0; answer === "" && tried < 30; tried++) answer = isAnswered();
  t.not(answer, "", "Docker's swarm may be at the same port");

  await done(t, one, neighbours({ put: other.neighbours, isAll: true }));
  t.ok(pings(other, "10.7.0.11"));
  t.not(seen(), 0);
  const rules = one.lab.run("nft", "list", "table", "inet", "pontoon");
  t.match(rules, /192\.0\.2\.2/);
});

t.test("packets come in where the host's own firewall lets nothing in", needsRoot, async (t) => {
  const [one, other] = await twoHosts(t);
  one.lab.run(
    "nft",
    "add table inet strict; add chain inet strict input { type filter hook input priority 0; policy drop; }",
  );
  one.lab.run("nft", "add rule inet strict input ip protocol icmp accept"); // pings of the host itself are not what is tried
  one.lab.run("nft", "add rule inet strict input meta l4proto ipv6-icmp accept");
  for (const [host, { neighbours: put }] of [
    [one, other],
    [other, one],
  ] as const) {
    await done(t, host, { kind: "change", change: host.change });
    await done(t, host, neighbours({ put, isAll: true }));
  }
  t.ok(pings(other, "10.7.0.11"));
  t.match(one.lab.run("nft", "list", "table", "inet", "strict"), /comment "pontoon"/);
});
