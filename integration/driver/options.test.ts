// What is said of a network or a container means the same with the driver pontoon as with Docker's bridge.
import t, { type Test } from "tap";
import { until } from "../lab/index.js";
import {
  docker,
  inside,
  marksOn,
  nameFor,
  networkOn,
  placeWith,
  reaches,
  refusal,
  runOn,
  whereIs,
  type Place,
} from "./place.js";

const bridge = "com.docker.network.bridge";

const [pontoon, reference] = await Promise.all([placeWith(t, "pontoon"), placeWith(t, "bridge")]);
await networkOn(pontoon, "first"); // some of the firewall comes with the first, and stays
await remove(pontoon, "", "first");
const clean = await marksOn(pontoon);

const version = parseInt(await docker(pontoon, "version --format {{.Server.Version}}"), 10);

/** Docker's driver has random MAC addresses from 28 on, where nobody names one. */
const comparable = (outcome: unknown): string => withoutRandomMacs(JSON.stringify(outcome, null, 1));
const withoutRandomMacs = (text: string): string =>
  text.replaceAll(/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, (mac) => (version >= 28 ? "MAC" : mac));

/** A link on its way out of a container is there for a moment still. */
async function untilLeft(place: Place, container: string): Promise<void> {
  const isWhole = async () => !(await inside(place, container)).join().includes("ptx");
  await until(isWhole, { what: "what the container has left is gone" });
}

/** The same on both, with the same outcome. @returns it */
async function same<Outcome>(t: Test, scenario: (place: Place) => Promise<Outcome>): Promise<Outcome> {
  const [ours, docker] = await Promise.all([scenario(pontoon), scenario(reference)]);
  t.equal(comparable(ours), comparable(docker));
  return ours;
}

async function remove(place: Place, containers: string, networks: string): Promise<void> {
  if (containers !== "") await docker(place, `rm -f ${containers}`);
  if (networks !== "") await docker(place, `network rm ${networks}`);
}

/** As {@link remove}; nothing is left of them on a host. */
async function clear(t: Test, containers: string, networks: string): Promise<void> {
  await remove(pontoon, containers, networks);
  await until(async () => (await marksOn(pontoon)) === clean, { what: "the host is as it was" }).catch(() => undefined);
  t.equal(await marksOn(pontoon), clean, "nothing is left");
}

t.test("--subnet, --gateway, --ip-range, --aux-address, --ip", async (t) => {
  const pool = "--subnet 10.9.0.0/24 --gateway 10.9.0.254 --ip-range 10.9.0.64/28";
  const outcome = await same(t, async (place) => {
    await networkOn(place, "one", `${pool} --aux-address r=10.9.0.65 --aux-address f=10.9.0.9`);
    await runOn(place, "any", "--network one");
    await runOn(place, "next", "--network one");
    await runOn(place, "fixed", "--network one --ip 10.9.0.10");
    const seen = [
      ...(await whereIs(place, "any")),
      ...(await whereIs(place, "next")),
      ...(await whereIs(place, "fixed")),
    ];
    const refused: boolean[] = [];
    for (const ip of ["10.9.0.9", "10.9.0.65", "10.9.0.10", "10.9.0.254", "10.9.0.255", "10.9.0.0", "10.8.0.1"])
      refused.push((await refusal(place, `run --rm --network one --ip ${ip} busybox true`)) !== "");
    const ways = [await reaches(place, "any", "10.9.0.10"), await reaches(place, "any", place.outside.address)];
    await remove(place, "any next fixed", "one");
    return { seen, refused, ways };
  });
  t.same(outcome.seen.slice(0, 3), [
    "10.9.0.0/24 dev eth0",
    "default via 10.9.0.254 dev eth0",
    "eth0 02:42:0a:09:00:40 1500 10.9.0.64/24",
  ]);
  t.ok(outcome.seen.includes("eth0 02:42:0a:09:00:42 1500 10.9.0.66/24"), "the auxiliary address is left out");
  t.notOk(outcome.refused.includes(false));
  t.same(outcome.ways, [true, true]);
});

t.test("--ipv6, --ip6", async (t) => {
  const outcome = await same(t, async (place) => {
    await networkOn(place, "six", "--ipv6 --subnet 10.9.0.0/24 --subnet fd09::/64");
    await runOn(place, "any", "--network six");
    await runOn(place, "fixed", "--network six --ip 10.9.0.99 --ip6 fd09::99");
    const seen = [...(await whereIs(place, "any")), ...(await whereIs(place, "fixed"))];
    const isNear = await reaches(place, "any", "fd09::99");
    await remove(place, "any fixed", "six");
    return { seen, isNear };
  });
  t.ok(outcome.isNear);
  t.ok(outcome.seen.includes("default via fd09::1 dev eth0"));
});

t.test("several subnets of both families", async (t) => {
  const subnets = ["10.9.0.0/24", "10.9.1.0/24", "fd09::/64", "fd09:1::/64"].map((each) => `--subnet ${each}`);
  await networkOn(pontoon, "many", `--ipv6 ${subnets.join(" ")}`);
  await runOn(pontoon, "one", "--network many");
  await runOn(pontoon, "two", "--network many --ip 10.9.1.5 --ip6 fd09:1::5");
  t.same(await inside(pontoon, "two"), [
    "10.9.1.0/24 dev eth0",
    "default via 10.9.1.1 dev eth0",
    "default via fd09:1::1 dev eth0",
    "eth0 02:42:0a:09:01:05 1500 10.9.1.5/24 fd09:1::5/64",
    "fd09:1::/64 dev eth0",
  ]);
  const { stdout } = await pontoon.host.exec("ip -brief address show eth0".split(" "), { netns: "one" });
  const near = stdout.match(/\d+\.\d+\.\d+\.\d+|fd[0-9a-f:]+/g) ?? []; // Docker chooses from whichever subnet
  t.equal(near.length, 2);
  for (const target of [pontoon.outside.address, "fd77::2", ...near])
    await until(() => reaches(pontoon, "two", target), { what: `${target} is reached` }); // neighbours are found late at times
  await clear(t, "one two", "many");
});

t.test("a MAC address", async (t) => {
  const outcome = await same(t, async (place) => {
    await networkOn(place, "one", "--subnet 10.9.0.0/24");
    await place.host.engine.post("/containers/create?name=mac", {
      Image: "busybox",
      Cmd: ["sleep", "1000000"],
      StopSignal: "KILL",
      MacAddress: "02:00:5E:00:00:aa",
      HostConfig: { NetworkMode: "one" },
    });
    await docker(place, "start mac");
    const seen = await whereIs(place, "mac");
    await docker(place, "restart mac");
    const again = await whereIs(place, "mac");
    await remove(place, "mac", "one");
    return [...seen, ...again];
  });
  t.ok(outcome.includes("eth0 02:00:5e:00:00:aa 1500 10.9.0.2/24"));
});

t.test("--internal", async (t) => {
  await networkOn(pontoon, "shut", "--internal --subnet 10.9.0.0/24");
  await runOn(pontoon, "one", "--network shut");
  await runOn(pontoon, "two", "--network shut --network-alias peer");
  t.same(await inside(pontoon, "one"), ["10.9.0.0/24 dev eth0", "eth0 02:42:0a:09:00:02 1500 10.9.0.2/24"]);
  await until(async () => (await docker(pontoon, "exec one nslookup peer")).includes("10.9.0.3"), { what: "names" });
  t.ok(await reaches(pontoon, "one", "10.9.0.3"));
  await pontoon.host.exec("ip route add default via 10.9.0.1".split(" "), { netns: "one" });
  t.notOk(
    await reaches(pontoon, "one", pontoon.outside.address),
    "nothing leaves, whatever the container's routes are",
  );
  await clear(t, "one two", "shut");
});

t.test("MTU, prefix of links, name of the bridge", async (t) => {
  const outcome = await same(t, async (place) => {
    const options = `-o com.docker.network.driver.mtu=1400 -o com.docker.network.container_iface_prefix=lan -o ${bridge}.name=shop0`;
    await networkOn(place, "one", `--subnet 10.9.0.0/24 ${options}`);
    await networkOn(place, "two", "--subnet 10.9.1.0/24 -o com.docker.network.container_iface_prefix=");
    await runOn(place, "box", "--network one");
    await docker(place, "network connect two box");
    const seen = await inside(place, "box");
    const { stdout } = await place.host.exec(["cat", "/sys/class/net/shop0/mtu"]);
    await remove(place, "box", "one two");
    return [...seen, stdout.trim()];
  });
  t.match(outcome.join("\n"), /^lan0 \S+ 1400 10\.9\.0\.2\/24$/m);
});

t.test("the name of one link", async (t) => {
  await networkOn(pontoon, "one", "--subnet 10.9.0.0/24");
  await runOn(pontoon, "box", "--network name=one,driver-opt=com.docker.network.endpoint.ifname=lan0");
  t.match((await inside(pontoon, "box")).join("\n"), /^lan0 .* 10\.9\.0\.2\/24$/m);
  t.match(
    await refusal(
      pontoon,
      "run --rm --network name=one,driver-opt=com.docker.network.endpoint.ifname=a/b busybox true",
    ),
    /remote: "a\/b" cannot be a link's name/,
  );
  await clear(t, "box", "one");
});

t.test("enable_icc=false", async (t) => {
  const outcome = await same(t, async (place) => {
    await networkOn(place, "quiet", `--subnet 10.9.0.0/24 -o ${bridge}.enable_icc=false`);
    await runOn(place, "one", "--network quiet");
    await runOn(place, "two", "--network quiet");
    const { exitCode } = await place.host.exec("busybox ping -c 1 -W 1 10.9.0.2".split(" "), { reject: false });
    const seen = {
      peer: await reaches(place, "one", "10.9.0.3"),
      gateway: await reaches(place, "one", "10.9.0.1"),
      outside: await reaches(place, "one", place.outside.address),
      fromHost: exitCode === 0,
    };
    await remove(place, "one two", "quiet");
    return seen;
  });
  t.same(outcome, { peer: false, gateway: true, outside: true, fromHost: true });
});

t.test("whom others see: enable_ip_masquerade, host_ipv4", async (t) => {
  const outcome = await same(t, async (place) => {
    await place.host.exec("ip address add 10.77.0.9/24 dev outside".split(" "));
    await place.talk.serve("outside", 7000);
    await networkOn(place, "usual", "--subnet 10.9.0.0/24");
    await networkOn(place, "plain", `--subnet 10.9.1.0/24 -o ${bridge}.enable_ip_masquerade=false`);
    await networkOn(place, "named", "--subnet 10.9.2.0/24 -o com.docker.network.host_ipv4=10.77.0.9");
    const seen: string[] = [];
    // Docker 28 drops answers to containers whose addresses are not translated.
    const isLeftOut = (network: string) => network === "plain" && version >= 28 && place.driver === "bridge";
    for (const network of ["usual", "plain", "named"]) {
      if (isLeftOut(network)) {
        seen.push("outside 10.9.1.2", "outside 10.9.1.2");
        continue;
      }
      await runOn(place, `on-${network}`, `--network ${network}`);
      await nameFor(place, `on-${network}`);
      for (const transport of ["tcp", "udp"])
        seen.push(await place.talk.ask(`on-${network}`, `${transport} ${place.outside.address} 7000`));
      await place.talk.end(`on-${network}`);
    }
    await remove(place, isLeftOut("plain") ? "on-usual on-named" : "on-usual on-plain on-named", "usual plain named");
    await place.host.exec("ip address del 10.77.0.9/24 dev outside".split(" "));
    return seen;
  });
  t.same(
    outcome,
    ["10.77.0.1", "10.9.1.2", "10.77.0.9"].flatMap((ip) => [`outside ${ip}`, `outside ${ip}`]),
  );
});

const bridgeNow = async ({ host }: Place): Promise<string> =>
  (await host.exec(["sh", "-c", "ip -brief link show own0; ip -brief -4 address show own0"])).stdout
    .replaceAll(/UP|DOWN|UNKNOWN|NO-CARRIER,|,LOWER_UP/g, "")
    .replaceAll(/\s+/g, " ");

t.test("a bridge that is there, and down", async (t) => {
  const outcome = await same(t, async (place) => {
    await place.host.exec("ip link add own0 type bridge".split(" "));
    const named = `-o ${bridge}.name=own0`;
    await networkOn(place, "one", `--subnet 10.9.0.0/24 ${named} --aux-address DefaultGatewayIPv4=10.9.0.7`);
    await runOn(place, "box", "--network one");
    const seen = [...(await whereIs(place, "box")), await reaches(place, "box", "10.9.0.1")];
    await remove(place, "box", "one");
    await place.host.exec("ip link del own0".split(" "));
    return seen;
  });
  t.ok(outcome.includes("default via 10.9.0.7 dev eth0"), "another router was named");
  t.equal(outcome.at(-1), true);
});

for (const [what, own, options] of [
  ["has the gateway's address", "10.9.0.75/24", "--gateway 10.9.0.75"],
  ["lacks the gateway's address", "10.8.0.1/24", "--gateway 10.9.0.1"],
  ["has another address of the subnet", "10.9.0.75/24", "--gateway 10.9.0.1 --aux-address host=10.9.0.75"],
] as const)
  t.test(`a bridge that is there, and ${what}`, async (t) => {
    const make = `ip link add own0 type bridge; ip link set own0 address 02:00:00:00:00:75; ip address add ${own} dev own0; ip link set own0 up`;
    await pontoon.host.exec(["sh", "-ec", make]);
    const before = await bridgeNow(pontoon);
    await networkOn(pontoon, "one", `--subnet 10.9.0.0/24 ${options} -o ${bridge}.name=own0`);
    await runOn(pontoon, "box", "--network one");
    const gateway = options.split(" ")[1]!;
    t.match(await inside(pontoon, "box"), { 1: `default via ${gateway} dev eth0` });
    t.ok(await reaches(pontoon, "box", gateway));
    t.ok(await reaches(pontoon, "box", pontoon.outside.address));
    t.match(await refusal(pontoon, `network create -d pontoon -o ${bridge}.name=own0 two`), /own0 belongs to network/);
    await remove(pontoon, "box", "one");
    t.equal(await bridgeNow(pontoon), before, "it is given back as it was");
    await pontoon.host.exec("ip link del own0".split(" "));
  });

t.test("a container on several networks, of both drivers, and their order", async (t) => {
  const outcome = await same(t, async (place) => {
    for (const [index, name] of ["bb", "aa", "cc"].entries())
      await networkOn(place, name, `--subnet 10.9.${index}.0/24`);
    await docker(place, "network create --subnet 10.9.9.0/24 dockers");
    const seen: string[][] = [];
    const look = async () => {
      await untilLeft(place, "box");
      // Docker numbers links in any order.
      const lines = (await whereIs(place, "box")).map((line) => line.replaceAll(/\beth\d/g, "ethN"));
      seen.push(lines.map(withoutRandomMacs).sort());
    };
    await docker(place, "create --stop-signal KILL --name box --network bb busybox sleep 1000000");
    await docker(place, "network connect aa box");
    await docker(place, "network connect dockers box");
    await docker(place, "start box");
    await look();
    await docker(place, "network connect --ip 10.9.2.77 --alias third cc box");
    await look();
    await docker(place, "network disconnect aa box");
    await look();
    await docker(place, "network disconnect bb box");
    await look();
    await docker(place, "network connect bb box");
    await docker(place, "network disconnect dockers box");
    await look();
    await docker(place, "restart box");
    await look();
    const none = await refusal(place, "network connect none box");
    await docker(place, "run -d --stop-signal KILL --name alone --network none busybox sleep 1000000");
    const alone = await refusal(place, "network connect aa alone");
    await docker(place, "run -d --stop-signal KILL --name plain busybox sleep 1000000");
    await docker(place, "network connect aa plain");
    seen.push(await whereIs(place, "plain"));
    await docker(place, "network disconnect bridge plain");
    seen.push(await whereIs(place, "plain"));
    await remove(place, "box alone plain", "aa bb cc dockers");
    return { seen, none, alone };
  });
  t.match(outcome.seen[0]!.join("\n"), /^default via 10\.9\.1\.1 dev ethN$/m, "the first by name leads out");
});

t.test("the priority of gateways", { skip: version < 28 && "Docker has it from 28 on" }, async (t) => {
  const outcome = await same(t, async (place) => {
    await networkOn(place, "aa", "--subnet 10.9.0.0/24");
    await networkOn(place, "bb", "--subnet 10.9.1.0/24");
    await runOn(place, "box", "--network aa");
    await docker(place, "network connect --gw-priority 1 bb box");
    const seen = [await whereIs(place, "box")];
    await docker(place, "network disconnect bb box");
    await untilLeft(place, "box");
    seen.push(await whereIs(place, "box"));
    await remove(place, "box", "aa bb");
    return seen;
  });
  t.match(outcome[0]?.join("\n"), /default via 10\.9\.1\.1/);
  t.match(outcome[1]?.join("\n"), /default via 10\.9\.0\.1/);
});

t.test("the life of a container", async (t) => {
  const outcome = await same(t, async (place) => {
    await networkOn(place, "one", "--subnet 10.9.0.0/24");
    await runOn(place, "asks", "--network one");
    await runOn(place, "box", "--network one --network-alias shop");
    await docker(place, "run -d --stop-signal KILL --name with --network container:box busybox sleep 1000000");
    const seen: string[][] = [await inside(place, "with")];
    await docker(place, "rm -f with");
    const known = async (name: string, ip: string) => {
      const ask = async () => {
        const { stdout } = await place.host.exec(["docker", "exec", "asks", "nslookup", name], { reject: false });
        return ip === "" ? !stdout.includes("10.9.0.") : stdout.includes(ip);
      };
      await until(ask, { what: `${name} is ${ip || "nobody"}` });
    };
    const look = async (after: string, name: string) => {
      await known(name, "10.9.0.3");
      await known("shop", "10.9.0.3");
      seen.push([after, ...(await whereIs(place, name)), String(await reaches(place, "asks", "10.9.0.3"))]);
    };
    await look("run", "box");
    await docker(place, "restart box");
    await look("restart", "box");
    await docker(place, "rename box crate");
    await look("rename", "crate");
    await known("box", "");
    await docker(place, "pause crate");
    await docker(place, "unpause crate");
    await look("pause", "crate");
    await docker(place, "kill crate");
    await known("crate", "");
    await docker(place, "start crate");
    await look("kill", "crate");
    await docker(place, "rm -f crate");
    await known("shop", "");
    await runOn(place, "box", "--network one --network-alias shop --ip 10.9.0.3");
    await look("rm", "box");
    await docker(place, "network disconnect -f one box");
    await remove(place, "box asks", "one");
    return seen;
  });
  t.equal(outcome.length, 7);
});

t.test("pontoon.driver=bridge", async (t) => {
  await networkOn(pontoon, "one", "-o pontoon.driver=bridge");
  await clear(t, "", "one");
});

t.test("nothing is left at the end", async (t) => {
  await clear(t, "", "");
  t.equal(await pontoon.pontoon?.stop(), 0);
});
