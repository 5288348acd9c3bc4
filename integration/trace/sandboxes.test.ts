// Sandboxes and networks of pontoon's own, without Docker; and what a real packet says.
import t from "tap";
import { BareHost, until, type Pontoon } from "../lab/index.js";
import { run, startShell } from "../networks/host.js";
import { endOf, trace } from "./traced.js";

let host: BareHost;
let pontoon: Pontoon;

t.before(async () => {
  host = await BareHost.start(t);
  await host.outside();
  pontoon = await host.pontoon();
  for (const line of [
    "network create front --subnet 10.89.1.0/24",
    "network create back --subnet 10.89.2.0/24",
    "network create quiet --subnet 10.89.3.0/24 --icc false",
    "network create closed --subnet 10.89.4.0/24 --internal",
    "sandbox create a --network front --network quiet",
    "sandbox create b --network front",
    "sandbox create c --network back",
    "sandbox create d --network quiet --expose 80",
    "sandbox create e --network closed",
    "sandbox create f --network quiet --link d",
  ])
    await run(pontoon, line);
  for (const sandbox of ["b", "c", "d"])
    await startShell(host, `exec ip netns exec ${sandbox} busybox httpd -f -p 0.0.0.0:80`);
  await until(async () => (await host.exec(["ip", "netns", "exec", "d", "ss", "-ltnH"])).stdout !== "", {
    what: "they listen",
  });
});

t.test("a sandbox reaches another of its network, and is told which program it is", async (t) => {
  t.match(endOf(await trace(pontoon, "a", "b:80")), /^arrives in b: busybox \(pid \d+\) listens at 0\.0\.0\.0:80$/);
  t.match(endOf(await trace(pontoon, "b", "10.77.0.2:53/udp")), /^arrives in outside: /);
});

t.test("networks that are kept apart, by name and by address", async (t) => {
  const { end } = await trace(pontoon, "b", "c:80");
  t.match(end, { where: "b", remedy: "pontoon network connect back b" });
  const { end: byAddress, steps } = await trace(pontoon, "b", "10.89.2.2:80");
  t.match(byAddress, { where: "host", why: /^networks front and back are kept apart: inet pontoon forward: drops: / });
  t.match(steps.at(-1), { whose: "pontoon" });
  await run(pontoon, byAddress.remedy!.replace("pontoon ", ""));
  t.match(endOf(await trace(pontoon, "b", "10.89.2.2:80")), /^arrives in c/, "the remedy is one");
});

t.test("icc off, and an internal network", async (t) => {
  t.match(
    endOf(await trace(pontoon, "a", "d:80")),
    /^stops in host: containers on network quiet do not reach one another \(icc is off\): bridge pontoon forward: drops: drop \| pontoon network create shared && /,
  );
  t.match(
    endOf(await trace(pontoon, "e", "10.77.0.2:80")),
    /^stops in e: there is no route to 10\.77\.0\.2: e is only on an internal network \(closed\) \| pontoon network create out && pontoon network connect out e$/,
  );
});

t.test("a link, and a port that its target does not expose", async (t) => {
  t.match(endOf(await trace(pontoon, "f", "d:80")), /^arrives in d/);
  t.match(
    endOf(await trace(pontoon, "f", "d:81")),
    /^stops in host: f is linked to d, which exposes 80\/tcp alone \(icc is off on network quiet\): .* \| make d anew with --expose 81$/,
  );
});

t.test("a program that takes IPv6 only", async (t) => {
  await startShell(
    host,
    `exec ip netns exec b ${process.execPath} -e 'require("net").createServer().listen({ host: "::", ipv6Only: true, port: 81 })'`,
  );
  await until(async () => (await trace(pontoon, "a", "b:81")).end.why.includes("IPv6"), { what: "it listens" });
  t.match(
    endOf(await trace(pontoon, "a", "b:81")),
    /^stops in b: \S+ \(pid \d+\) listens at \[::\]:81, for IPv6 only, and not at 10\.89\.1\.\d+ \| have it listen at 0\.0\.0\.0:81$/,
  );
});

t.test("a published port of a sandbox, by the kernel's way", async (t) => {
  await run(pontoon, "publish b 8080:80");
  t.match(endOf(await trace(pontoon, "10.77.0.2", "b:80")), /^arrives in b: busybox/);
  t.match(endOf(await trace(pontoon, "host", "127.0.0.1:8080")), /^arrives in b: busybox/, "by pontoon-proxy");
});

t.test("over a link between two sandboxes, and on the LAN with the host's access and without", async (t) => {
  await run(pontoon, "sandbox pair a b --subnet 10.89.9.0/30");
  t.match(endOf(await trace(pontoon, "a", "10.89.9.2:80")), /^arrives in b: busybox/);
  for (const [name, options] of [
    ["far", "--ip-range 10.77.0.64/28"],
    ["near", "--subnet 10.89.7.0/24 --host-access"],
  ] as const) {
    await run(pontoon, `network create -d macvlan --parent outside ${options} ${name}`);
    for (const number of [1, 2]) await run(pontoon, `sandbox create ${name}${number} --network ${name}`);
    t.match(endOf(await trace(pontoon, `${name}1`, `${name}2`)), /^arrives in \w+2: /);
    if (name === "far")
      t.match(
        endOf(await trace(pontoon, "far1", "10.77.0.1")),
        /^stops in far1: eth0 is a macvlan link, which does not reach the host/,
      );
  }
  t.match(endOf(await trace(pontoon, "host", "near1")), /^arrives in near1: /);
  t.match(endOf(await trace(pontoon, "near1", "10.89.7.2")), /^arrives in host: /);
});

t.test("a real packet confirms what was reasoned, or contradicts it", async (t) => {
  const ends = async (to: string) => (await trace(pontoon, "a", to, "--probe")).steps.at(-1)!;
  t.match(await ends("b:80"), {
    kind: "probe",
    verdict: "passes",
    text: /^tcp to 10\.89\.1\.\d+:80: answered .*, as expected$/,
  });
  t.match(await ends("b"), { verdict: "passes", text: /^a ping to 10\.89\.1\.\d+: answered .*, as expected$/ });
  t.match(await ends("b:9"), { verdict: "passes", text: /: refused .*, as expected$/ });
  t.match(await ends("b:9/udp"), { verdict: "passes", text: /^udp .*: refused .*, as expected$/ });
  await host.exec(["nft", "add table netdev t"]);
  const links = JSON.parse((await pontoon.cli("network", "links", "front", "--json")).stdout) as {
    ports: { link: string; sandbox: string }[];
  }[];
  const { link } = links[0]!.ports.find(({ sandbox }) => sandbox === "a")!;
  await host.exec(["nft", `add chain netdev t i { type filter hook ingress device ${link} priority 0; policy drop; }`]);
  t.match(
    endOf(await trace(pontoon, "a", "b:80", "--probe")),
    /^stops in b: it does not arrive all the same \(tcp to 10\.89\.1\.\d+:80: (nothing came back|cannot be reached).*\), against what was reasoned: busybox/,
  );
  await host.exec(["nft", "delete table netdev t"]);
});

t.test("what people read", async (t) => {
  const { stdout, exitCode } = await pontoon.cli("trace", "a", "b:9");
  t.equal(exitCode, 1);
  const lines = stdout.trimEnd().split("\n");
  t.match(lines[0], /^a → b:9$/);
  t.match(lines[1], /^ok +a +name +b is 10\.89\.1\.\d+: pontoon-dns, a name on network front$/);
  t.match(
    lines.at(-1),
    /^It ends in b: nobody listens at port 9\/tcp in b, but at 80, 81; to change it: ask for port 80$/,
  );
});
