// Networks and addresses of the driver pontoon, later: after restarts, in turn with Docker's own, and with names that several have.
import t from "tap";
import { until } from "../lab/index.js";
import { docker, inside, inspected, networkOn, placeWith, reaches, refusal, runOn, whereIs } from "./place.js";

const place = await placeWith(t, "pontoon");
const { host, outside } = place;
let pontoon = place.pontoon!;

async function restartAll(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  await host.stopDockerd({ signal }); // it takes leave of its containers' networks
  await pontoon.stop(signal);
  pontoon = await host.pontoon({ untilReady: false });
  await host.startDockerd();
}

const addressOf = (name: string) =>
  docker(place, `inspect --format {{range.NetworkSettings.Networks}}{{.IPAddress}}{{end}} ${name}`);

const isRunning = async (name: string) =>
  (await docker(place, `inspect --format {{.State.Running}} ${name}`)) === "true";

const addressesOfOwn = async () =>
  (await host.exec(["sh", "-c", "ip -brief -4 address show own0"])).stdout
    .replaceAll(/UP|DOWN|UNKNOWN/g, "")
    .replaceAll(/\s+/g, " ");

t.test("both daemons end, are killed, and start again", async (t) => {
  await networkOn(place, "one", "--ipam-driver pontoon --subnet 10.9.0.0/24");
  await networkOn(place, "shut", "--internal --subnet 10.9.1.0/24");
  await host.exec([
    "sh",
    "-ec",
    "ip link add own0 type bridge; ip address add 10.9.2.75/24 dev own0; ip link set own0 up",
  ]);
  const before = await addressesOfOwn();
  const onBridge = "--gateway 10.9.2.1 --aux-address h=10.9.2.75 -o com.docker.network.bridge.name=own0";
  await networkOn(place, "lent", `--subnet 10.9.2.0/24 ${onBridge}`);
  const always = (words: string) => `--restart always ${words}`;
  await runOn(place, "any", always("--network one"));
  await runOn(place, "fixed", always("--network one --ip 10.9.0.4"));
  await runOn(place, "other", always("--network one"));
  await runOn(place, "inner", always("--network shut --cap-add NET_ADMIN"));
  await runOn(place, "owned", always("--network lent"));
  const names = ["any", "fixed", "other", "inner", "owned"];
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    await restartAll(signal);
    for (const name of names) await until(() => isRunning(name), { what: `${name} runs`, timeoutMs: 30_000 });
    const addresses = await Promise.all(["any", "fixed", "other"].map(addressOf));
    t.equal(addresses[1], "10.9.0.4", signal);
    t.equal(new Set(addresses).size, 3);
    t.equal(
      (await inside(place, "inner")).some((line) => line.startsWith("default")),
      false,
    );
    await host.exec("ip route add default via 10.9.1.1".split(" "), { netns: "inner" });
    t.notOk(await reaches(place, "inner", outside.address), "what is internal stays so");
    t.ok(await reaches(place, "owned", outside.address));
  }
  await docker(place, `rm -f ${names.join(" ")}`);
  await docker(place, "network rm one shut lent");
  t.equal(await addressesOfOwn(), before, "what was lent is given back, also by the next daemon");
  await host.exec("ip link del own0".split(" "));
});

t.test("in turn with Docker's own", async (t) => {
  await networkOn(place, "one", "--subnet 10.9.0.0/24");
  await docker(place, "network create --subnet 10.9.1.0/24 dockers");
  await runOn(place, "box", "--network dockers");
  const { pid } = host.dockerd;
  for (let time = 0; time < 8; time++) {
    await docker(place, "network connect one box");
    await docker(place, "network disconnect dockers box");
    await docker(place, "network connect dockers box");
    const defaults = (await inside(place, "box")).filter((line) => line.startsWith("default"));
    t.equal(defaults.length, 1);
    await docker(place, "network disconnect one box");
  }
  t.equal(host.dockerd.pid, pid);
  t.notMatch(host.dockerd.log, /panic|retrying in/);
  await docker(place, "rm -f box");
  await docker(place, "network rm one dockers");
});

t.test("an address that another container has had", async (t) => {
  await networkOn(place, "one", "--ipv6 --subnet 10.9.0.0/24 --subnet fd09::/64");
  await runOn(place, "peer", "--network one --ip 10.9.0.9");
  for (const name of ["first", "second"]) {
    await runOn(place, name, "--network one --ip 10.9.0.10 --ip6 fd09::10");
    const { exitCode } = await host.exec("busybox ping -c 1 -W 1 10.9.0.10".split(" "), { reject: false });
    t.equal(exitCode, 0, `the host reaches the ${name} at once`);
    t.ok(await reaches(place, "peer", "10.9.0.10"), "and so does its neighbour");
    await until(() => reaches(place, "peer", "fd09::10"), { what: "its neighbour reaches it by IPv6" });
    await docker(place, `rm -f ${name}`);
  }
  await docker(place, "rm -f peer");
  await docker(place, "network rm one");
});

const version = parseInt((await host.exec(["docker", "version", "--format", "{{.Server.Version}}"])).stdout, 10);
const refusesDoubles = version >= 25 && "dockerd since 25 has no two networks of one name";

t.test("two networks of one name", { skip: refusesDoubles }, async (t) => {
  const make = async (subnet: string) => {
    const request = { Name: "same", Driver: "pontoon", IPAM: { Config: [{ Subnet: subnet }] } };
    return ((await host.engine.post("/networks/create", request)) as { Id: string }).Id;
  };
  const [first, second] = [await make("10.9.0.0/24"), await make("10.9.1.0/24")];
  await docker(place, `network rm ${first}`);
  await runOn(place, "box", `--network ${second}`);
  t.match((await inspected(place, "box")).join(), "10.9.1.");
  await docker(place, "rm -f box");
  await docker(place, `network rm ${second}`);
});

t.test("networks without containers that run are pruned", async (t) => {
  await networkOn(place, "empty");
  await networkOn(place, "stopped");
  await networkOn(place, "used");
  await runOn(place, "ended", "--network stopped");
  await docker(place, "stop ended");
  await runOn(place, "runs", "--network used");
  t.match(await docker(place, "network prune -f"), /empty/);
  t.match(await refusal(place, "network inspect empty"), /No such network|not found/);
  t.match((await whereIs(place, "runs")).join("\n"), /^default via/m);
  await docker(place, "rm -f ended runs");
  await docker(place, "network prune -f");
});

t.test("the daemon ends in peace", async (t) => {
  t.equal(await pontoon.stop(), 0);
});
