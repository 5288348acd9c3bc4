// Endpoints are as fast as they may be, and no faster, with real traffic. Bands are wide: this is about whether a rate is held.
import { fileURLToPath } from "node:url";
import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { callCni, makeNamespaces } from "../cni/engine.js";
import { marksOn, run } from "./host.js";
import type { RateRequest } from "./rate-child.js";

const program = fileURLToPath(new URL("rate-child.js", import.meta.url));
const time = 2_000; // ms

/** Measures how fast one namespace sends to another. */
function rates(host: BareHost) {
  const helpers = new Map<string, ReturnType<typeof host.helper<RateRequest, number>>>();
  const at = (name: string) => {
    const helper = helpers.get(name) ?? host.helper<RateRequest, number>(program, `/run/netns/${name}`);
    helpers.set(name, helper);
    return helper;
  };
  return {
    send: (from: string) => at(from).call({ kind: "send", port: 7000 }),
    /** mbit/s from an address. */
    receive: async (to: string, ip: string) =>
      (await at(to).call({ kind: "receive", ip, port: 7000, time })) / 1_000_000,
    end: async () => {
      for (const helper of helpers.values()) await helper.release();
    },
  };
}

const queues = async (host: BareHost) =>
  (await host.exec(["tc", "qdisc", "show"])).stdout
    .split("\n")
    .filter((line) => /tbf|ingress/.test(line))
    .map((line) => line.replaceAll(/\b(pt[vs])\w+/g, "$1").replaceAll(/qdisc tbf \w+:/g, "qdisc tbf"))
    .sort();

/** Links, their queues, and tables of the firewall. */
const marksOf = async (host: BareHost) =>
  (await host.exec(["sh", "-c", "ip -brief link; tc qdisc show; nft list tables"])).stdout;

t.test("a rate is held both ways, whatever becomes of the daemon, and nothing of it is left", async (t) => {
  const host = await BareHost.start(t);
  let pontoon = await host.pontoon();
  const before = await marksOf(host);
  const measured = rates(host);
  await run(pontoon, "network create front --subnet 10.66.1.0/24");
  await run(pontoon, "sandbox create peer --network front");
  await run(pontoon, "sandbox create web --network front --bandwidth 20mbit/8mbit");
  for (const name of ["peer", "web"]) await measured.send(name);
  const isHeld = async (what: string) => {
    const [to, from] = [await measured.receive("web", "10.66.1.2"), await measured.receive("peer", "10.66.1.3")];
    t.ok(to > 8 && to < 24, `${what}: ${to.toFixed(1)} mbit/s to the sandbox, of 20`);
    t.ok(from > 3.2 && from < 9.6, `${what}: ${from.toFixed(1)} mbit/s from it, of 8`);
  };
  await isHeld("made");
  const places = JSON.parse(await run(pontoon, "sandbox inspect web peer --json")) as {
    networks: { bandwidth: string | null }[];
  }[];
  t.same(
    places.map(({ networks }) => networks[0]?.bandwidth),
    ["20mbit/8mbit", null],
  );
  t.match(await run(pontoon, "network inspect front"), /"Bandwidth": "20mbit\/8mbit"/);
  const whole = await queues(host);
  t.matchOnly(whole, [
    /^qdisc ingress ffff: dev ptv parent ffff:fff1/,
    /^qdisc tbf dev pts root refcnt \d+ rate 8Mbit/,
    /^qdisc tbf dev ptv root refcnt \d+ rate 20Mbit/,
  ]);

  await pontoon.kill();
  await isHeld("without a daemon");
  const links = (await host.exec(["ip", "-o", "link"])).stdout;
  const [hostLink, shaper] = [/(ptv\w+)@[^]*?(?=\n)/g, /pts\w+/g].map(
    (pattern) => links.match(pattern)!.at(-1)!.split("@")[0]!,
  );
  await host.exec(["tc", "qdisc", "del", "dev", hostLink!, "root"]);
  await host.exec(["ip", "link", "del", shaper!]);
  pontoon = await host.pontoon();
  await until(async () => JSON.stringify(await queues(host)) === JSON.stringify(whole), {
    what: "it is mended at the start",
  });
  await isHeld("with the next daemon");

  for (const harm of [`dev ${hostLink} root`, `dev ${hostLink} ingress`, `dev ${shaper} root`]) {
    await host.exec(["tc", "qdisc", "del", ...harm.split(" ")]);
    await until(async () => JSON.stringify(await queues(host)) === JSON.stringify(whole), {
      what: `${harm} is put back`,
    });
  }
  await isHeld("after somebody has deleted it");
  t.ok((await measured.receive("peer", "10.66.1.2")) > 40, "others are as fast as they can be");

  await run(pontoon, "network disconnect front web");
  await until(async () => (await queues(host)).length === 0, { what: "nothing of it is left" });
  await run(pontoon, "network connect front web --bandwidth unlimited/8mbit");
  t.match(await queues(host), { length: 2 });
  t.match(await run(pontoon, "sandbox inspect web"), /"bandwidth": "unlimited\/8mbit"/);
  await measured.end();
  await run(pontoon, "sandbox rm web peer");
  await run(pontoon, "network rm front");
  t.equal(await pontoon.stop(), 0);
  t.equal(await marksOf(host), before, "nothing is left");
});

t.test("CNI's runtimes say it in bits, and what they have left is removed by the next daemon", async (t) => {
  const host = await BareHost.start(t);
  let pontoon = await host.pontoon();
  const measured = rates(host);
  await run(pontoon, "network create front --subnet 10.66.0.0/24");
  const before = await marksOn(host);
  const [web, peer] = await makeNamespaces(host, "web", "peer");
  // As kubelet has it, which knows of no burst.
  const largest = 2 ** 31 - 1;
  const bandwidth = { ingressRate: 20e6, ingressBurst: largest, egressRate: 8e6, egressBurst: largest };
  t.match(await callCni(host, "ADD", { container: "c2", netns: peer! }), { exitCode: 0 });
  t.match(await callCni(host, "ADD", { container: "c1", netns: web! }, { runtimeConfig: { bandwidth } }), {
    exitCode: 0,
  });
  for (const name of ["peer", "web"]) await measured.send(name);
  const [to, from] = [await measured.receive("web", "10.66.0.2"), await measured.receive("peer", "10.66.0.3")];
  t.ok(to > 8 && to < 24, `${to.toFixed(1)} mbit/s to the container, of 20`);
  t.ok(from > 3.2 && from < 9.6, `${from.toFixed(1)} mbit/s from it, of 8`);
  const small = { ingressRate: 10, ingressBurst: 1, egressRate: 0, egressBurst: 0 };
  t.match(
    await callCni(
      host,
      "ADD",
      { container: "c3", netns: peer!, ifname: "eth1" },
      { runtimeConfig: { bandwidth: small } },
    ),
    { exitCode: 1, answer: { msg: /ingressRate 10 is out of bounds/, details: /^BANDWIDTH_INVALID/ } },
  );
  await measured.end();

  // While there is no daemon, the container goes with its namespace, and nobody says DEL.
  await pontoon.kill();
  await host.exec(["ip", "netns", "delete", "web"]);
  t.match((await host.exec(["ip", "-o", "link"])).stdout, /pts/);
  pontoon = await host.pontoon();
  await until(async () => !(await host.exec(["ip", "-o", "link"])).stdout.includes("pts"), {
    what: "the shaper is gone",
  });
  t.same(await callCni(host, "DEL", { container: "c1" }), { exitCode: 0, answer: {} });
  t.same(await callCni(host, "DEL", { container: "c2", netns: peer! }), { exitCode: 0, answer: {} });
  await host.exec(["ip", "netns", "delete", "peer"]);
  await until(async () => (await marksOn(host)) === before, { what: "nothing is left" });
  t.equal(await pontoon.stop(), 0);
});

t.test("what cannot be limited is refused, and nothing is changed", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon();
  await host.exec(["sh", "-c", "ip link add lan0 up type veth peer name lan1 && ip link set lan1 up"]);
  await run(pontoon, "network create front --subnet 10.66.1.0/24");
  await run(pontoon, "network create lan -d macvlan --parent lan0 --subnet 10.66.2.0/24 --ip-range 10.66.2.128/25");
  await run(pontoon, "sandbox create web --network none");
  await run(pontoon, "sandbox create other --network none");
  await run(pontoon, "sandbox pair web other --subnet 10.66.3.0/30 --network wire");
  const before = await marksOn(host);
  for (const [line, error] of [
    ["network connect front web --bandwidth 10", /is not a bandwidth; write a number and one of bit, kbit, mbit, gbit/],
    ["network connect front web --bandwidth 10kbps", /is not a bandwidth/],
    ["network connect front web --bandwidth 10mbit/1bit", /is out of bounds/],
    ["network connect lan web --bandwidth 10mbit", /links on lan0 have no end on the host/],
    ["sandbox create x --network front --bandwidth 1", /is not a bandwidth/],
    ["sandbox create x --network none --bandwidth 1mbit", /cannot be on the network none with/],
    ["sandbox create x --join web --bandwidth 1mbit", /bandwidth, .*are that one's/],
  ] as const) {
    const { exitCode, stderr } = await pontoon.cli(...line.split(" "));
    t.match([exitCode, stderr].join(" "), error, line);
    t.match(exitCode, 1, line);
    await until(async () => (await marksOn(host)) === before, { what: `${line}: nothing is changed` });
  }
  t.equal(await pontoon.stop(), 0);
});
