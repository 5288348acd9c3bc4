import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import t, { type Test } from "tap";
import { endpoint, network, sandbox } from "./plan/testing/wanted.js";
import type { Change } from "./protocol.js";
import { HostLab, type Worker } from "./testing/lab.js";
import { aOnFirst, aOnSecond, bOnSecond, everything, first, stateOf } from "./testing/situation.js";
import type { WorkerRequest } from "./testing/worker.js";

const needsRoot = process.getuid?.() === 0 ? {} : { skip: "network namespaces are made by root" };

async function labOf(t: Test): Promise<HostLab> {
  const lab = await HostLab.make();
  t.teardown(() => lab.close());
  return lab;
}

/** Has it done, and all of it. @returns how many steps it took */
async function done(t: Test, worker: Worker, request: WorkerRequest): Promise<number> {
  const outcome = await worker.do(request);
  t.same(outcome?.failures, [], `${request.kind}: nothing fails`);
  return outcome?.steps ?? -1;
}

const change = (change: Change): WorkerRequest => ({ kind: "change", change });
const repair: WorkerRequest = { kind: "repair", handovers: [] };
const retired: WorkerRequest = { kind: "delete-retired" };
const allIds = { networks: ["net1", "net2"], sandboxes: ["a", "b"], endpoints: ["a-net1", "a-net2", "b-net2"] };

/** What a host has once everything is made. */
async function wholeState(t: Test): Promise<Record<string, unknown>> {
  const lab = await labOf(t);
  await done(t, lab.worker(), change(everything));
  return stateOf(lab);
}

t.test("networks, sandboxes and endpoints are made, looked at and removed", needsRoot, async (t) => {
  const lab = await labOf(t);
  const before = stateOf(lab);
  const worker = lab.worker();
  const outcome = await worker.do(change(everything));
  t.match(outcome, { failures: { length: 0 }, steps: 18, notes: { length: 2, 0: /IPv4/, 1: /IPv6/ } });
  const inodes = Object.fromEntries(
    ["a", "b"].map((name) => [name, Number(lab.run("stat", "-c", "%i", `/run/netns/${name}`))]),
  );
  t.same(outcome?.inodes, inodes);
  t.same(lab.run("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding").split(/\s+/), [
    "1",
    "1",
    "",
  ]);
  t.match(lab.run("nft", "list", "tables"), /pontoon/);
  const whole = stateOf(lab);
  t.matchOnly(whole.host, [
    /^ifname=br1 kind=bridge isUp=true mtu=1500 ifalias=pontoon network net1 .* mac=02:42:0a:01:00:01 addresses=10.1.0.1\/24$/,
    /^ifname=br2 kind=bridge isUp=true mtu=1500 ifalias=pontoon network net2 .* addresses=10.2.0.1\/24 fd00:2::1\/64$/,
    /^ifname=lo /,
    /^ifname=v-a-1 kind=veth isUp=true mtu=1500 master=br1 ifalias=pontoon endpoint a-net1 group=default$/,
    /^ifname=v-a-2 kind=veth isUp=true mtu=1500 master=br2 ifalias=pontoon endpoint a-net2 group=default$/,
    /^ifname=v-b-2 kind=veth isUp=true mtu=1500 master=br2 ifalias=pontoon endpoint b-net2 group=7$/,
  ]);
  t.matchOnly((whole.a as { links: string[] }).links, [
    /^ifname=eth1 kind=veth isUp=true mtu=1500 .*mac=02:42:0a:01:00:02 addresses=10.1.0.2\/24$/,
    /^ifname=eth2 kind=veth isUp=true mtu=1500 .*mac=02:42:0a:02:00:02 addresses=10.2.0.2\/24 fd00:2::2\/64$/,
    /^ifname=lo isUp=true .*127.0.0.1\/8/,
  ]);
  t.equal(await done(t, worker, change(everything)), 0, "the same again takes no step");
  t.equal(await done(t, worker, repair), 0);
  await worker.end(); // it has the firewall's tables
  const later = lab.worker();
  t.equal(await done(t, later, change(everything)), 0, "nor does it in the next process");
  t.equal(await done(t, later, repair), 0);
  t.same(stateOf(lab), whole);

  await done(t, later, change({ removed: allIds }));
  await done(t, later, retired);
  t.same(stateOf(lab), before, "nothing is left");
  t.equal(lab.run("nft", "list", "tables"), "");
  t.equal(await done(t, later, change({ removed: allIds })), 0, "what is gone can be removed again");
  t.equal(await done(t, later, retired), 0);
});

/** Where the kernel sends what goes from sandbox a to somebody. @param source the address it comes from, if it has one already */
function wayTo(lab: HostLab, to: string, source?: string): string {
  const [{ gateway, dev } = {}] = lab.ip(
    "-n",
    "a",
    "route",
    "get",
    to,
    ...(source === undefined ? [] : ["from", source]),
  );
  return [gateway, dev].join(" ");
}

t.test("replies leave by the network they were asked on", needsRoot, async (t) => {
  const lab = await labOf(t);
  const worker = lab.worker();
  await done(t, worker, change(everything));
  t.equal(wayTo(lab, "203.0.113.1", "10.1.0.2"), "10.1.0.1 eth1");
  t.equal(wayTo(lab, "203.0.113.1", "10.2.0.2"), "10.2.0.1 eth2");
  t.equal(wayTo(lab, "2001:db8::1", "fd00:2::2"), "fd00:2::1 eth2");
  t.equal(wayTo(lab, "10.1.0.77", "10.2.0.2"), " eth1", "what is at hand is reached directly");
  t.equal(wayTo(lab, "203.0.113.1"), "10.2.0.1 eth2");
});

t.test("the way out changes from one network to the other and back", needsRoot, async (t) => {
  const lab = await labOf(t);
  const worker = lab.worker();
  await done(t, worker, change(everything));
  const whole = stateOf(lab);
  const led = { ...aOnFirst, isDefault: { ipv4: true, ipv6: false } };
  const not = { ...aOnSecond, isDefault: { ipv4: false, ipv6: true } };
  for (const order of [
    [led, not],
    [not, led],
  ]) {
    await done(t, worker, change({ endpoints: order }));
    t.equal(wayTo(lab, "203.0.113.1"), "10.1.0.1 eth1");
    t.equal(await done(t, worker, repair), 0);
    await done(t, worker, change({ endpoints: order[0] === led ? [aOnFirst, aOnSecond] : [aOnSecond, aOnFirst] }));
    t.same(stateOf(lab), whole);
  }
});

t.test("a network that a sandbox leaves by is taken away and comes back", needsRoot, async (t) => {
  const lab = await labOf(t);
  const worker = lab.worker();
  await done(t, worker, change(everything));
  const whole = stateOf(lab);
  const alone = { ...aOnFirst, isDefault: { ipv4: true, ipv6: false }, table: undefined };
  await done(t, worker, change({ endpoints: [alone], removed: { endpoints: ["a-net2"] } }));
  t.equal(wayTo(lab, "203.0.113.1"), "10.1.0.1 eth1");
  t.same(
    lab.ip("-n", "a", "rule").filter(({ priority }) => priority === 10_000),
    [],
    "where there is one way out, no rule goes by the source",
  );
  await done(t, worker, change({ endpoints: [aOnFirst, aOnSecond] })); // its predecessor is not deleted yet
  await done(t, worker, retired);
  t.same(stateOf(lab), whole);
  t.equal(await done(t, worker, repair), 0);
});

t.test("what somebody breaks is mended", needsRoot, async (t) => {
  const lab = await labOf(t);
  const worker = lab.worker();
  await done(t, worker, change(everything));
  const whole = stateOf(lab);
  const harms = [
    "link delete v-a-2",
    "-n a link delete eth1",
    "link delete br2",
    "link set br1 down",
    "link set br1 mtu 1400",
    "link set br1 address 02:00:00:00:00:07",
    "link set br2 alias mine",
    "address flush dev br2",
    "link set v-b-2 down",
    "link set v-b-2 mtu 1400",
    "link set v-b-2 nomaster",
    "link set v-b-2 master br1",
    "link set v-b-2 group 9",
    "-n a address flush dev eth1",
    "-n a address flush dev eth2",
    "-n a address add 10.1.0.9/24 dev eth1",
    "-n a -6 address add fd00:2::9/64 dev eth2",
    "-n a link set eth2 down",
    "-n a link set eth2 mtu 1400",
    "-n a link set eth2 address 02:00:00:00:00:07",
    "-n a link set eth2 down name lan0",
    "-n b route delete default",
    "-n b -6 route delete default",
    "-n b route replace default via 10.2.0.77",
    "-n a route flush table 1001",
    "-n a -6 route flush table 1002",
    "-n a rule delete from 10.2.0.2",
    "-n a rule flush",
    "-n a link set eth1 netns b",
    "netns delete b",
    "link add stray type veth peer name stray2",
  ];
  for (const harm of harms) {
    lab.run("ip", ...harm.split(" "));
    if (harm.includes("stray")) lab.run("ip", "link", "set", "stray", "alias", "pontoon endpoint stray");
    if (harm.endsWith("rule flush"))
      for (const [priority, table] of ["32766 main", "32767 default"].map(
        (text) => text.split(" ") as [string, string],
      ))
        lab.run("ip", "-n", "a", "rule", "add", "priority", priority, "table", table);
    t.notSame(stateOf(lab), whole, `${harm}: makes a difference`);
    t.not(await done(t, worker, repair), 0, harm);
    t.same(stateOf(lab), whole, `${harm}: is mended`);
    t.equal(await done(t, worker, repair), 0, `${harm}: once`);
  }
});

t.test("whenever the process is killed, the next one ends in what is wanted", needsRoot, async (t) => {
  const whole = await wholeState(t);
  const left = {
    ...everything,
    endpoints: [{ ...aOnFirst, isDefault: { ipv4: true, ipv6: false }, table: undefined }, bOnSecond],
  } satisfies Change;
  const disconnecting: Change = { removed: { endpoints: ["a-net2"] }, endpoints: left.endpoints };
  const cases: [what: string, before: Change, during: Change, after: Change][] = [
    ["made", {}, everything, everything],
    ["disconnected", everything, disconnecting, left],
    ["removed, and registered still", everything, { removed: allIds }, everything],
  ];
  for (const [what, before, during, after] of cases) {
    const state = await endsInThe(t, what, [before, during, after], () => labOf(t));
    if (after === everything) t.same(state, whole);
  }
});

t.test("so it does on a LAN", needsRoot, async (t) => {
  const on = network(1, {
    bridge: "pt-1",
    addresses: [{ ip: "10.1.0.9", prefix: 32 }],
    lan: { child: { kind: "macvlan", mode: "bridge" }, parent: "lan0", vlan: undefined, hasHostAccess: true },
  });
  const [box, place] = [sandbox("a"), endpoint(sandbox("a"), on)];
  const all = { networks: [on], sandboxes: [box], endpoints: [place] } satisfies Change;
  const gone: Change = { removed: { endpoints: [place.id] } };
  const lab = async () => {
    const made = await labOf(t);
    made.run("ip", "link", "add", "lan0", "up", "type", "veth", "peer", "name", "lan1");
    made.run("ip", "link", "set", "lan1", "up");
    return made;
  };
  await endsInThe(t, "made", [{}, all, all], lab);
  await endsInThe(t, "disconnected", [all, gone, { ...all, endpoints: [] }], lab);
  const allGone: Change = { removed: { endpoints: [place.id], networks: [on.id] } };
  await endsInThe(t, "all removed", [all, allGone, { sandboxes: [box] }], lab);
});

t.test("and between two sandboxes", needsRoot, async (t) => {
  const on = network(1, { isPair: true, addresses: [] });
  const [one, other] = [sandbox("a"), sandbox("b")];
  const ends = [one, other].map((of, index) =>
    endpoint(of, on, { gateways: [], addresses: [{ ip: `10.1.0.${index + 1}`, prefix: 30 }] }),
  );
  const all = { networks: [on], sandboxes: [one, other], endpoints: ends } satisfies Change;
  const lab = () => labOf(t);
  await endsInThe(t, "made", [{}, all, all], lab);
  const gone: Change = { removed: { endpoints: [ends[0]!.id] } };
  await endsInThe(t, "taken apart", [all, gone, { ...all, endpoints: [ends[1]!] }], lab);
});

const limited = endpoint(sandbox("a"), first, {
  bandwidth: { toSandbox: { rate: 20e6 }, fromSandbox: { rate: 8e6 } },
});
const limitedOnes = { networks: [first], sandboxes: [sandbox("a")], endpoints: [limited] } satisfies Change;

t.test("a limited endpoint is held to its rate on the host, and nothing of that is left", needsRoot, async (t) => {
  const lab = await labOf(t);
  const before = stateOf(lab);
  const worker = lab.worker();
  await done(t, worker, change(limitedOnes));
  const whole = stateOf(lab);
  t.matchOnly(whole.queues, [
    /^dev=ptsa-net1 kind=tbf rate=1000000 /,
    /^dev=v-a-1 kind=ingress to=ptsa-net1$/,
    /^dev=v-a-1 kind=tbf rate=2500000 /,
  ]);
  t.match(String(whole.host), /ifname=ptsa-net1 kind=ifb isUp=true mtu=1500 ifalias=pontoon shaper a-net1 /);
  t.equal(lab.run("cat", "/proc/sys/net/ipv6/conf/ptsa-net1/disable_ipv6"), "1\n");
  const harms = [
    "tc qdisc delete dev v-a-1 root",
    "tc qdisc replace dev v-a-1 root tbf rate 1gbit burst 100k latency 50ms",
    "tc qdisc replace dev v-a-1 root pfifo",
    "tc qdisc delete dev v-a-1 ingress",
    "tc filter delete dev v-a-1 ingress",
    "tc qdisc delete dev ptsa-net1 root",
    "ip link set ptsa-net1 down",
    "ip link set ptsa-net1 alias mine",
    "ip link delete ptsa-net1",
    "ip link delete v-a-1",
  ];
  for (const ask of [repair, { kind: "mend-queues" } as const, change({ endpoints: [limited] })])
    for (const harm of harms) {
      if (ask.kind === "mend-queues" && harm === "ip link delete v-a-1") continue;
      const [program = "", ...args] = harm.split(" ");
      lab.run(program, ...args);
      t.not(await done(t, worker, ask), 0, `${ask.kind}: ${harm}`);
      t.same(stateOf(lab), whole, `${ask.kind}: ${harm} is mended`);
      t.equal(await done(t, worker, ask), 0, `${ask.kind}: ${harm}: once`);
    }
  await done(t, worker, change({ removed: { endpoints: [limited.id], sandboxes: ["a"], networks: ["net1"] } }));
  await done(t, worker, retired);
  t.same(stateOf(lab), before);
});

t.test(
  "a limited endpoint's shaper goes also when its namespace has gone before, or all is forgotten",
  needsRoot,
  async (t) => {
    const lab = await labOf(t);
    const worker = lab.worker();
    await done(t, worker, change(limitedOnes));
    lab.run("ip", "netns", "delete", "a");
    await done(t, worker, change({ removed: { endpoints: [limited.id], sandboxes: ["a"] } }));
    await done(t, worker, retired);
    const bare = stateOf(lab);
    t.notMatch(String(bare.host), /ifb/);
    await done(t, worker, change(limitedOnes));
    await worker.end();
    const forgetful = lab.worker();
    await done(t, forgetful, change({ networks: [first] }));
    await done(t, forgetful, repair);
    lab.run("ip", "netns", "delete", "a"); // as `pontoon check --repair` has it
    t.same(stateOf(lab), bare);
  },
);

t.test("whenever the process is killed, a limited endpoint is whole, or gone", needsRoot, async (t) => {
  const lab = () => labOf(t);
  await endsInThe(t, "made", [{}, limitedOnes, limitedOnes], lab);
  const gone: Change = { removed: { endpoints: [limited.id] } };
  await endsInThe(t, "disconnected", [limitedOnes, gone, { ...limitedOnes, endpoints: [] }], lab);
  await endsInThe(t, "removed, and registered still", [limitedOnes, gone, limitedOnes], lab);
});

t.test(
  "whenever the process is killed, a LAN is answered for what is there, and nothing else",
  needsRoot,
  async (t) => {
    const on = network(1, { hasIPv6: true, ndpProxy: { link: "lan0", wasOn: false } });
    const [box, place] = [sandbox("a"), endpoint(sandbox("a"), on)];
    const all = { networks: [on], sandboxes: [box], endpoints: [place] } satisfies Change;
    const lab = async () => {
      const made = await labOf(t);
      made.run("ip", "link", "add", "lan0", "up", "type", "veth", "peer", "name", "lan1");
      made.run("ip", "link", "set", "lan1", "up");
      return made;
    };
    const state = await endsInThe(t, "made", [{}, all, all], lab);
    t.same(state.proxies, ["/proc/sys/net/ipv6/conf/lan0/proxy_ndp", "dst=fd00:1::2 dev=lan0"]);
    const gone: Change = { removed: { endpoints: [place.id] } };
    const without = await endsInThe(t, "disconnected", [all, gone, { ...all, endpoints: [] }], lab);
    t.same(without.proxies, ["/proc/sys/net/ipv6/conf/lan0/proxy_ndp"]);
    const allGone: Change = { removed: { endpoints: [place.id], networks: [on.id] } };
    await endsInThe(t, "all removed, and registered still", [all, allGone, all], lab);
    // The LAN has another prefix.
    const moved = {
      ...place,
      addresses: [place.addresses[0]!, { ip: "fd00:9::2", prefix: 64 }],
      gateways: ["10.1.0.1", "fd00:9::1"],
    };
    const own = [on.addresses[0]!, { ip: "fd00:9::1", prefix: 64 }];
    const after = { ...all, networks: [{ ...on, addresses: own, former: [on.addresses[1]!] }], endpoints: [moved] };
    const there = await endsInThe(t, "renumbered", [all, after, after], lab);
    t.same(there.proxies, ["/proc/sys/net/ipv6/conf/lan0/proxy_ndp", "dst=fd00:9::2 dev=lan0"]);
    t.notMatch(JSON.stringify(there), /fd00:1::/);
    const bare = await lab();
    const worker = bare.worker();
    await done(t, worker, change(all));
    bare.run("ip", "link", "set", "lan0", "down");
    bare.run("ip", "link", "set", "lan0", "up");
    t.equal(await done(t, worker, { kind: "mend-proxies" }), 1);
    t.same(stateOf(bare).proxies, state.proxies);
    t.equal(await done(t, worker, { kind: "mend-proxies" }), 0);
    await done(t, worker, change(allGone));
    t.equal(stateOf(bare).proxies, undefined, "nothing is left");
  },
);

/** A process that is killed before any step of `during` leaves what the next one ends in the same state. @returns it */
async function endsInThe(
  t: Test,
  what: string,
  [before, during, after]: readonly [Change, Change, Change],
  makeLab: () => Promise<HostLab>,
) {
  const { steps, state } = await unharmed(t, before, during, after, makeLab);
  for (let step = 1; step <= steps.during; step++) {
    const lab = await makeLab();
    const killed = lab.worker(steps.before + step);
    await done(t, killed, change(before));
    t.equal(await killed.do(change(during)), undefined, "the process has ended");
    const next = lab.worker();
    await done(t, next, change(after));
    await done(t, next, repair);
    t.same(stateOf(lab), state, `${what}, killed before step ${step}`);
    t.equal(await done(t, next, repair), 0);
    await lab.close();
  }
  return state;
}

/** The same without anybody being killed. */
async function unharmed(t: Test, before: Change, during: Change, after: Change, makeLab: () => Promise<HostLab>) {
  const lab = await makeLab();
  const worker = lab.worker();
  const steps = { before: await done(t, worker, change(before)), during: await done(t, worker, change(during)) };
  t.ok(steps.during > 0);
  await done(t, worker, change(after));
  await done(t, worker, repair);
  return { steps, state: stateOf(lab) };
}

t.test("a namespace that was cut off on its way is made", needsRoot, async (t) => {
  const whole = await wholeState(t);
  const lab = await labOf(t);
  lab.run("touch", "/run/netns/a"); // as it is between being named and being there
  await done(t, lab.worker(), change(everything));
  t.same(stateOf(lab), whole);
});

t.test("what is not a namespace, and has something in it, stays", needsRoot, async (t) => {
  const lab = await labOf(t);
  lab.run("sh", "-c", "echo mine > /run/netns/a");
  const outcome = await lab.worker().do(change({ sandboxes: [sandbox("a")] }));
  t.matchOnly(outcome?.failures, [
    { object: { kind: "sandbox", id: "a" }, code: "EEXIST", subject: String, message: /\/run\/netns\/a/ },
  ]);
  t.equal(lab.run("cat", "/run/netns/a"), "mine\n");
});

t.test("a name that somebody has taken meanwhile is theirs, and stays", needsRoot, async (t) => {
  const takings = ["ip netns add a", "touch /run/netns/a", "ln -s /proc/1/ns/net /run/netns/a"];
  const targets = [undefined, "/proc/1/ns/net", "/proc/self/ns/net"];
  for (const taking of takings)
    for (const target of targets) {
      const lab = await labOf(t);
      lab.run("sh", "-c", `mkdir -p /run/netns; ${taking}`);
      const shape = () => lab.run("sh", "-c", "readlink /run/netns/a; stat -Lc %i /run/netns/a; ls /run/netns");
      const before = shape();
      if (taking.endsWith("a") && taking.includes(target ?? "none")) continue; // the very same link is what is wanted
      const worker = lab.worker();
      const outcome = await worker.do(change({ sandboxes: [{ ...sandbox("a", { target }), isFirst: true }] }));
      t.same(
        outcome?.failures.map(({ object, code }) => [object.id, code]),
        [["a", "NAME_TAKEN"]],
        `${taking}, ${target}`,
      );
      await done(t, worker, change({ removed: { sandboxes: ["a"] } }));
      t.equal(shape(), before, `${taking}, ${target}: it is as it was`);
    }
});

t.test("a name that is given once is not given again", needsRoot, async (t) => {
  const lab = await labOf(t);
  const worker = lab.worker();
  await done(t, worker, change({ sandboxes: [{ ...sandbox("a"), isFirst: true }] }));
  t.equal(await done(t, worker, repair), 0);
  await done(t, worker, change({ removed: { sandboxes: ["a"] } }));
  t.equal(lab.run("ls", "/run/netns"), "");
});

t.test("a sandbox of a process ends with it, and what is on it waits", needsRoot, async (t) => {
  const lab = await labOf(t);
  const owner = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec sleep 3600"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.teardown(() => owner.kill("SIGKILL"));
  await once(owner.stdout, "data");
  const target = `/proc/${owner.pid}/ns/net`;
  const adopted = sandbox("a", { target, inode: statSync(target).ino });
  const place = endpoint(adopted, first);
  const worker = lab.worker();
  await done(t, worker, change({ networks: [first], sandboxes: [adopted], endpoints: [place] }));
  t.match(lab.ip("-n", "a", "address", "show", "eth1")[0], { addr_info: { 0: { local: "10.1.0.2" } } });
  t.equal(await done(t, worker, repair), 0);

  owner.kill("SIGKILL");
  await once(owner, "close");
  for (let times = 0; times < 2; times++) {
    const outcome = await worker.do(repair);
    t.same(
      outcome?.failures.map(({ object, code }) => [object.id, code]),
      [["a-net1", "SANDBOX_GONE"]],
    );
    t.same(outcome?.inodes, { a: 0 });
  }
  await done(t, worker, change({ removed: { sandboxes: ["a"], endpoints: ["a-net1"] } }));
  t.equal(lab.run("ls", "/run/netns"), "");
});

t.test("another namespace in the place of one that is known is left alone", needsRoot, async (t) => {
  const lab = await labOf(t);
  lab.run("ip", "netns", "add", "a");
  const known = sandbox("a", { target: "/run/netns/a", inode: 1 });
  const worker = lab.worker();
  const outcome = await worker.do(
    change({ networks: [first], sandboxes: [known], endpoints: [endpoint(known, first)] }),
  );
  t.same(
    outcome?.failures.map(({ object, code }) => [object.id, code]),
    [["a-net1", "SANDBOX_GONE"]],
  );
  t.same(
    lab.ip("-n", "a", "link").map(({ ifname }) => ifname),
    ["lo"],
  );
  await done(t, worker, change({ removed: { sandboxes: ["a"], endpoints: ["a-net1"] } }));
  t.equal(lab.run("ls", "/run/netns"), "a\n");
});

t.test("a failure of one thing leaves the others be", needsRoot, async (t) => {
  const lab = await labOf(t);
  lab.run("ip", "link", "add", "br1", "type", "veth", "peer", "name", "other"); // takes no ports
  const outcome = await lab.worker().do(change({ ...everything, endpoints: [aOnFirst, aOnSecond, bOnSecond] }));
  t.same(
    outcome?.failures.map(({ object }) => object),
    [{ kind: "endpoint", id: "a-net1" }],
  );
  t.equal(wayTo(lab, "203.0.113.1"), "10.2.0.1 eth2");
  t.equal(lab.ip("-n", "b", "route", "get", "203.0.113.1")[0]?.gateway, "10.2.0.1");
});
