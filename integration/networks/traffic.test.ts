// What reaches what, seen from sandboxes, from the host, and from another machine.
import t, { type Test } from "tap";
import { until } from "../lab/until.js";
import { BareHost, type Pontoon, type TestOwner } from "../lab/index.js";
import { run } from "./host.js";
import { both, Talk } from "./talk.js";

/** The host's own addresses towards the outside, and the outside's. */
const host4 = "10.77.0.1";
const host6 = "fd77::1";
const outside4 = "10.77.0.2";
const outside6 = "fd77::2";

/** A host with somebody outside, who has routes to all its networks by way of it. */
async function makeHost(t: TestOwner, { bridgesFiltered = false, forwarding = true } = {}) {
  const host = await BareHost.start(t);
  for (const rules of ["iptables", "ip6tables"])
    await host.exec(["sysctl", "-qw", `net.bridge.bridge-nf-call-${rules}=${Number(bridgesFiltered)}`]);
  const outside = await host.outside();
  await outside.joinIPv6("fd77");
  for (const key of ["ipv4.ip_forward", "ipv6.conf.all.forwarding"])
    await host.exec(["sysctl", "-qw", `net.${key}=${Number(forwarding)}`]);
  const pontoon = await host.pontoon({ args: ["--log-level=info"] });
  const talk = new Talk(host);
  await talk.serve("outside", 7000);
  return { host, outside, pontoon, talk };
}

async function runAll(pontoon: Pontoon, ...lines: readonly string[]): Promise<void> {
  for (const line of lines) await run(pontoon, line);
}

t.test("what leaves a network has the address that was asked for, or does not leave", async (t) => {
  const { host, pontoon, talk } = await makeHost(t);
  await host.exec(["ip", "address", "add", "10.77.0.9/24", "dev", "outside"]);
  // Deprecated: not the one that masquerading chooses.
  await host.exec("ip address add fd77::9/64 dev outside nodad preferred_lft 0".split(" "));
  const networks = [
    ["front", "", host4, host6],
    ["plain", "--no-masquerade", "10.66.2.2", "fd66:2::2"],
    ["given", "--snat-address 10.77.0.9 --snat-address fd77::9", "10.77.0.9", "fd77::9"],
    ["both", "--no-masquerade --snat-address 10.77.0.9", "10.77.0.9", "fd66:4::2"],
    ["inner", "--internal", "", ""],
  ] as const;
  for (const [index, [name, options]] of networks.entries()) {
    const subnets = `--subnet 10.66.${index + 1}.0/24 --subnet fd66:${index + 1}::/64`;
    await run(pontoon, ["network", "create", name, "--ipv6", subnets, options].filter(Boolean).join(" "));
    for (const number of [1, 2]) await run(pontoon, `sandbox create ${name}${number} --network ${name}`);
    await talk.serve(`${name}1`, 80);
  }
  const wrong = await talk.wrong(
    networks.flatMap(([name, , seen4, seen6], index) => [
      ...both(`${name}1`, `${outside4} 7000`, seen4 && `outside ${seen4}`),
      ...both(`${name}1`, `${outside6} 7000`, seen6 && `outside ${seen6}`),
      // Within a network nothing is translated, and the host has its own address there.
      ...both(`${name}2`, `10.66.${index + 1}.2 80`, `${name}1 10.66.${index + 1}.3`),
      ...both(`${name}2`, `fd66:${index + 1}::2 80`, `${name}1 fd66:${index + 1}::3`),
      ...both("host", `10.66.${index + 1}.2 80`, `${name}1 10.66.${index + 1}.1`),
      ...both("host", `fd66:${index + 1}::2 80`, `${name}1 fd66:${index + 1}::1`),
      // What is not published is closed to other networks, and to who routes there by way of the host.
      ...both("outside", `10.66.${index + 1}.2 80`, ""),
      ...both("outside", `fd66:${index + 1}::2 80`, ""),
      ...networks
        .filter(([other]) => other !== name)
        .flatMap(([other]) => [
          ...both(`${other}2`, `10.66.${index + 1}.2 80`, ""),
          ...both(`${other}2`, `fd66:${index + 1}::2 80`, ""),
        ]),
    ]),
  );
  t.same(wrong, []);
  t.equal(await pontoon.stop(), 0);
});

for (const bridgesFiltered of [false, true])
  t.test(
    `published ports, from everywhere, by any address of the host and on both paths${bridgesFiltered ? ", bridges filtered by IP's rules" : ""}`,
    (t) => publishedPorts(t, bridgesFiltered),
  );

async function publishedPorts(t: Test, bridgesFiltered: boolean): Promise<void> {
  const { host, outside, pontoon, talk } = await makeHost(t, { bridgesFiltered });
  await outside.addAddress("10.77.0.3");
  await outside.exec("ip address add fd77::3/64 dev eth0 nodad preferred_lft 0".split(" "));
  await runAll(
    pontoon,
    "network create front --ipv6 --subnet 10.66.1.0/24 --subnet fd66:1::/64",
    "network create back --ipv6 --subnet 10.66.2.0/24 --subnet fd66:2::/64",
    "sandbox create web --network front",
    "sandbox create near --network front",
    "sandbox create far --network back",
  );
  await talk.serve("web", 80);
  for (const [path, first] of [
    ["kernel", 8000],
    ["proxy", 9000],
  ] as const) {
    const publish = `publish web --path ${path}`;
    const at = (offset: number) => `${first + offset}:80/tcp ${first + offset}:80/udp`;
    await runAll(
      pontoon,
      `${publish} ${at(1)}`,
      `${publish} --allow 10.77.0.2/32 --allow fd77::2/128 ${at(2)}`,
      `${publish} 10.77.0.1:${at(3).replace(" ", " 10.77.0.1:")}`,
      `${publish} 127.0.0.1:${at(4).replace(" ", " 127.0.0.1:")}`,
      `${publish} [::1]:${at(4).replace(" ", " [::1]:")}`,
    );
  }
  await host.exec("ip address add 10.77.0.9/24 dev outside".split(" "));
  await talk.serve("outside", 8001, 9001);
  // Whom the target sees on each path.
  const [byKernel, byProxy] = [
    (client: string) => `web ${client}`,
    (_: string, family: 4 | 6) => (family === 4 ? "web 10.66.1.1" : "web fd66:1::1"),
  ];
  for (const [path, first, seen, seenFromBridges] of [
    ["kernel", 8000, byKernel, bridgesFiltered ? byProxy : byKernel],
    ["proxy", 9000, byProxy, byProxy],
  ] as const)
    t.same(
      await talk.wrong([
        ...both("outside", `${host4} ${first + 1}`, seen(outside4, 4)),
        ...both("outside", `${host6} ${first + 1}`, seen(outside6, 6)),
        ...both("outside", `10.77.0.9 ${first + 1}`, seen(outside4, 4)),
        ...both("host", `${host4} ${first + 1}`, path === "kernel" ? `web ${host4}` : "web 10.66.1.1"),
        ...both("host", `127.0.0.1 ${first + 1}`, "web 10.66.1.1"),
        ...both("host", `::1 ${first + 1}`, "web fd66:1::1"),
        // Hairpin: itself, a neighbour, and one on another network, which reaches the host's address only.
        ...["web", "near"].flatMap((from) => [
          ...both(from, `${host4} ${first + 1}`, "web 10.66.1.1"),
          ...both(from, `${host6} ${first + 1}`, "web fd66:1::1"),
          ...both(from, `10.66.1.1 ${first + 1}`, "web 10.66.1.1"),
        ]),
        ...both("far", `${host4} ${first + 1}`, seenFromBridges("10.66.2.2", 4)),
        ...both("far", `${host6} ${first + 1}`, seenFromBridges("fd66:2::2", 6)),
        // Only some may.
        ...both("outside", `${host4} ${first + 2}`, seen(outside4, 4), { from: outside4 }),
        ...both("outside", `${host6} ${first + 2}`, seen(outside6, 6), { from: outside6 }),
        ...both("outside", `${host4} ${first + 2}`, "", { from: "10.77.0.3" }),
        ...both("outside", `${host6} ${first + 2}`, "", { from: "fd77::3" }),
        ...["near", "far"].flatMap((from) => [
          ...both(from, `${host4} ${first + 2}`, ""),
          ...both(from, `${host6} ${first + 2}`, ""),
        ]),
        // Such a port of somebody else's is theirs.
        ...["web", "near", "far"].flatMap((from) => [
          ...both(from, `${outside4} ${first + 1}`, `outside ${host4}`),
          ...both(from, `${outside6} ${first + 1}`, `outside ${host6}`),
        ]),
        // At one address.
        ...both("outside", `${host4} ${first + 3}`, seen(outside4, 4)),
        ...both("outside", `10.77.0.9 ${first + 3}`, ""),
        ...both("outside", `${host6} ${first + 3}`, ""),
        // At loopback addresses.
        ...both("host", `127.0.0.1 ${first + 4}`, "web 10.66.1.1"),
        ...both("host", `::1 ${first + 4}`, "web fd66:1::1"),
        ...both("host", `${host4} ${first + 4}`, ""),
        ...["outside", "near", "far"].flatMap((from) => [
          ...both(from, `${host4} ${first + 4}`, ""),
          ...both(from, `${host6} ${first + 4}`, ""),
        ]),
      ]),
      [],
      `path ${path}`,
    );

  await t.test("a neighbour who sends packets to the host's loopback addresses reaches nothing", async (t) => {
    const script = `sysctl -qw net.ipv4.conf.all.route_localnet=1
      ip route add 127.7.7.7/32 via ${host4}; ip route del local 127.0.0.0/8 dev lo table local
      ip route del local 127.0.0.1 dev lo table local
      ip route add 127.0.0.1/32 via ${host4}; ip route add ::1/128 via ${host6} || true`;
    await outside.exec(["sh", "-c", script]);
    await host.exec("sysctl -qw net.ipv4.conf.all.route_localnet=0".split(" "));
    const attacks = [8004, 9004, 8001, 9001].flatMap((port) =>
      ["127.0.0.1", "127.7.7.7"].flatMap((ip) => both("outside", `${ip} ${port}`, "", { from: outside4 })),
    );
    t.same(await talk.wrong(attacks), []);
  });
  t.equal(await pontoon.stop(), 0);
}

t.test("icc off: neighbours do not reach each other, the host does, and links do what they name", async (t) => {
  for (const bridgesFiltered of [false, true]) {
    const { host, pontoon, talk } = await makeHost(t, { bridgesFiltered });
    await runAll(
      pontoon,
      "network create quiet --icc false --ipv6 --subnet 10.66.1.0/24 --subnet fd66:1::/64",
      "sandbox create db --network quiet --expose 80 --expose 80/udp",
      "sandbox create app --network quiet --link db:base",
      "sandbox create other --network quiet",
    );
    await talk.serve("db", 80, 81);
    await talk.serve("app", 80);
    const sees = (db4: string, db6: string) => [
      ...both("app", `${db4} 80`, "db 10.66.1.3"),
      ...both("app", `${db6} 80`, "db fd66:1::3"),
      ...both("app", `${db4} 81`, ""),
      ...both("app", `${db6} 81`, ""),
      ...both("other", `${db4} 80`, ""),
      ...both("other", `${db6} 80`, ""),
      ...both("db", "10.66.1.3 80", ""),
      ...both("host", `${db4} 80`, "db 10.66.1.1"),
      ...both("host", `${db4} 81`, "db 10.66.1.1"),
      ...both("host", `${db6} 81`, "db fd66:1::1"),
      ...both("app", `${outside4} 7000`, `outside ${host4}`),
      ...both("other", `${outside6} 7000`, `outside ${host6}`),
    ];
    t.same(await talk.wrong(sees("10.66.1.2", "fd66:1::2")), []);
    // A neighbour that sends by way of the host, which would bring it back.
    await host.exec([
      "sh",
      "-ec",
      "ip -n other route add 10.66.1.2/32 via 10.66.1.1; ip -n app route add 10.66.1.2/32 via 10.66.1.1",
    ]);
    t.same(await talk.wrong(both("other", "10.66.1.2 80", "")), [], "by way of the host");
    t.same(await talk.wrong(both("app", "10.66.1.2 81", "")), [], "by way of the host, not what is not exposed");

    await talk.end("db");
    await runAll(
      pontoon,
      "sandbox rm db",
      "sandbox create thief --network quiet --ip 10.66.1.2 --ip fd66:1::2",
      "sandbox create db --network quiet --expose 80 --expose 80/udp --ip 10.66.1.77 --ip fd66:1::77",
    );
    await talk.serve("db", 80, 81);
    await talk.serve("thief", 80);
    t.same(await talk.wrong(sees("10.66.1.77", "fd66:1::77")), [], "with another address");
    t.same(await talk.wrong(both("app", "10.66.1.2 80", "")), [], "the old address is nobody's that is linked");
    t.match((await pontoon.cli("sandbox", "exec", "app", "cat", "/etc/hosts")).stdout, "10.66.1.77\tbase");
    t.equal(await pontoon.stop(), 0);
  }
});

t.test("what is asked on one of several networks is answered there, even where the kernel is strict", async (t) => {
  const { host, pontoon, talk } = await makeHost(t);
  for (const link of ["all", "default", "outside"])
    await host.exec(["sysctl", "-qw", `net.ipv4.conf.${link}.rp_filter=1`]);
  await runAll(
    pontoon,
    "network create a --ipv6 --subnet 10.66.1.0/24 --subnet fd66:1::/64",
    "network create b --ipv6 --subnet 10.66.2.0/24 --subnet fd66:2::/64",
    "network create c --internal --subnet 10.66.3.0/24",
    "network create open1 --no-firewall --ipv6 --subnet 10.66.4.0/24 --subnet fd66:4::/64",
    "network create open2 --no-firewall --ipv6 --subnet 10.66.5.0/24 --subnet fd66:5::/64",
    "sandbox create web --network a --network b --network c --network open1 --network open2",
    "sandbox create late --network a",
    "publish web 8001:80/tcp 8001:80/udp",
    "publish late 8002:80/tcp 8002:80/udp",
  );
  await talk.serve("web", 80);
  await talk.serve("late", 80);
  const asked = () =>
    talk.wrong([
      ...both("outside", `${host4} 8001`, `web ${outside4}`),
      ...both("outside", `${host6} 8001`, `web ${outside6}`),
      ...both("outside", `${host4} 8002`, `late ${outside4}`),
      ...both("outside", `${host6} 8002`, `late ${outside6}`),
      ...[4, 5].flatMap((number) => [
        ...both("outside", `10.66.${number}.2 80`, `web ${outside4}`),
        ...both("outside", `fd66:${number}::2 80`, `web ${outside6}`),
      ]),
    ]);
  t.same(await asked(), []);
  await run(pontoon, "network connect b late --gw-priority 5");
  for (const [name, before] of [
    ["b", "a"],
    ["open1", "b"],
    ["open2", "open1"],
    ["a", "open2"],
  ]) {
    await run(pontoon, `network disconnect ${name} web`);
    await run(pontoon, `network connect ${name} web --gw-priority ${10 + name!.charCodeAt(0)} --ip ${ipOn(name!)}`);
    // Ports are led to the new place as soon as it is known, which nobody waits for.
    let wrong: readonly unknown[] = [];
    const isRight = async () => (wrong = await asked()).length === 0;
    await until(isRight, { timeoutMs: 10_000 }).catch(() => undefined);
    t.same(wrong, [], `the way out is ${name}, and was ${before}`);
  }
  t.equal(await pontoon.stop(), 0);
});

function ipOn(name: string): string {
  const number = { a: 1, b: 2, c: 3, open1: 4, open2: 5 }[name]!;
  return `10.66.${number}.2 --ip fd66:${number}::2`;
}

t.test("a UDP client reaches the new target at once when the old one has gone", async (t) => {
  const { pontoon, talk } = await makeHost(t);
  await runAll(
    pontoon,
    "network create front --ipv6 --subnet 10.66.1.0/24 --subnet fd66:1::/64",
    "sandbox create near --network front",
    "sandbox create web --network front",
    "publish web --path kernel 8001:80/udp",
    "publish web --path proxy 9001:80/udp",
  );
  // A client keeps its port, as a phone or a resolver does: to the kernel it is the same flow.
  const clients = [
    ["outside", `${host4} 8001`, outside4],
    ["outside", `${host6} 8001`, outside6],
    ["outside", `${host4} 9001`, "10.66.1.1"],
    ["outside", `${host6} 9001`, "fd66:1::1"],
    ["host", `${host4} 8001`, host4],
    ["host", `${host6} 8001`, host6],
    ["near", `${host4} 8001`, "10.66.1.1"],
    ["near", `${host6} 8001`, "fd66:1::1"],
  ] as const;
  const areServed = async (what: string) =>
    t.same(
      await talk.wrong(
        clients.map(([from, to, seen], index) => ({
          from,
          to: `udp ${to}`,
          expect: `web ${seen}`,
          own: { fromPort: 5000 + index },
        })),
      ),
      [],
      what,
    );
  await talk.serve("web", 80);
  await areServed("the first one");
  for (const ip of ["--ip 10.66.1.50 --ip fd66:1::50", "--ip 10.66.1.60 --ip fd66:1::60"]) {
    await talk.end("web");
    await run(pontoon, "sandbox rm web");
    // They go on sending: a flow to nobody must not be kept either.
    const inVain = clients.map(([from, to], index) => ({
      from,
      to: `udp ${to}`,
      expect: "",
      own: { fromPort: 5000 + index },
    }));
    t.same(await talk.wrong(inVain), []);
    await run(pontoon, `sandbox create web --network front ${ip}`);
    await talk.serve("web", 80);
    await areServed(ip);
  }
  t.equal(await pontoon.stop(), 0);
});

t.test(
  "forwarding is switched on where a network leads out, which is said, and left alone where it is on",
  async (t) => {
    for (const isOn of [false, true]) {
      const { host, pontoon, talk } = await makeHost(t, { forwarding: isOn });
      const said = () => pontoon.logs.filter((line) => line.includes("forwarding of"));
      await runAll(pontoon, "network create inner --internal --ipv6", "network create own --no-firewall");
      t.same(said(), [], "nothing leads out yet");
      await run(pontoon, "sandbox create web");
      const noted = isOn ? [] : ["forwarding of IPv4 packets is on now"];
      t.equal(said().length, noted.length);
      t.ok(
        said().every((line) => noted.some((words) => line.includes(words))),
        said().join("\n"),
      );
      t.same(await talk.wrong(both("web", `${outside4} 7000`, `outside ${host4}`)), []);
      await run(pontoon, "network create six --ipv6");
      t.equal(said().length, isOn ? 0 : 2, "IPv6 with the first network that has it");
      await run(pontoon, "network create more");
      t.equal(said().length, isOn ? 0 : 2);
      t.equal((await host.exec(["sysctl", "-n", "net.ipv4.ip_forward"])).stdout.trim(), "1");
      t.equal(await pontoon.stop(), 0);
    }
  },
);

t.test(
  "nothing is published on an internal network, unless an address is named, and then by the proxy alone",
  async (t) => {
    const { pontoon, talk } = await makeHost(t);
    await run(pontoon, "network create inner --internal --ipv6 --subnet 10.66.1.0/24 --subnet fd66:1::/64");
    await run(pontoon, "sandbox create web --network inner");
    await talk.serve("web", 80);
    t.match(await pontoon.cli("publish", "web", "8001:80/tcp", "8001:80/udp"), { exitCode: 1, stderr: /internal/ });
    t.match(await pontoon.cli("publish", "web", "--path", "kernel", "8001:80/tcp"), {
      exitCode: 1,
      stderr: /internal/,
    });
    await run(pontoon, `publish web ${host4}:8002:80/tcp ${host4}:8002:80/udp`);
    t.same(
      await talk.wrong([
        ...both("outside", `${host4} 8001`, ""),
        ...both("outside", "10.66.1.2 80", ""),
        ...both("outside", `${host4} 8002`, "web 10.66.1.1"),
        ...both("web", `${outside4} 7000`, ""),
      ]),
      [],
    );
    t.equal(await pontoon.stop(), 0);
  },
);
