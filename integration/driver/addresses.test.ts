// Subnets and addresses that dockerd has of the IPAM driver pontoon.
import t from "tap";
import { until } from "../lab/index.js";
import { docker, placeWith, refusal, runOn, type Place } from "./place.js";

const place: Place & { pontoon: NonNullable<Place["pontoon"]> } = await started();
let { pontoon } = place;

async function started() {
  const made = await placeWith(t, "pontoon");
  return { ...made, pontoon: made.pontoon! };
}

/** Kills the daemon, and starts the next. */
async function restart(): Promise<void> {
  await pontoon.stop("SIGKILL");
  pontoon = await place.host.pontoon();
}

async function create(name: string, options = "", driver = "pontoon"): Promise<string> {
  await docker(place, `network create -d ${driver} --ipam-driver pontoon ${options} ${name}`.replaceAll(/ +/g, " "));
  return docker(place, `network inspect --format {{range.IPAM.Config}}{{.Subnet}},{{end}} ${name}`);
}

const addressOf = (name: string) =>
  docker(place, `inspect --format {{range.NetworkSettings.Networks}}{{.IPAddress}}{{end}} ${name}`);

/** Starts containers, one after the other. @returns their addresses */
async function run(network: string, ...names: string[]): Promise<string[]> {
  const addresses: string[] = [];
  for (const name of names) {
    await runOn(place, name, `--network ${network}`);
    addresses.push(await addressOf(name));
  }
  return addresses;
}

/** The address of a container that is gone at once. */
async function passing(network: string): Promise<string> {
  const shown = await docker(place, `run --rm --network ${network} busybox ip -4 -o address show dev eth0`);
  return /inet ([\d.]+)/.exec(shown)?.[1] ?? shown;
}

const overlapping = /remote: [\d./]+ overlaps [\d./]+, which .+ has; choose another subnet$/;

t.test("subnets overlap nobody's", async (t) => {
  await place.host.exec("ip route add 172.18.0.0/15 dev outside".split(" "));
  t.equal((await pontoon.cli("network", "create", "own", "--subnet", "172.20.0.0/16")).exitCode, 0);
  await docker(place, "network create --subnet 172.21.0.0/16 dockers");
  await until(
    async () => (await refusal(place, "network create --ipam-driver pontoon --subnet 172.21.0.0/24 no")) !== "",
    {
      what: "Docker has told of its network",
    },
  );
  t.equal(await create("one"), "172.22.0.0/16,");
  t.equal(await create("two", "", "bridge"), "172.23.0.0/16,");
  t.equal(await create("three"), "172.24.0.0/16,");
  t.match(await create("six", "--ipv6"), /^172\.25\.0\.0\/16,fd[0-9a-f:]+::\/64,$/);
  t.match(await create("more", "--ipv6"), /^172\.26\.0\.0\/16,fd[0-9a-f:]+::\/64,$/);
  await runOn(place, "both", "--network six");
  t.match(
    await docker(place, "inspect --format {{range.NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end}} both"),
    /^fd.*::2$/,
  );
  for (const subnet of [
    "172.20.1.0/24",
    "172.21.0.0/24",
    "172.17.0.0/24",
    "172.22.0.0/16",
    "172.22.9.0/24",
    "172.16.0.0/12",
  ])
    for (const driver of ["bridge", "pontoon"])
      t.match(
        await refusal(place, `network create -d ${driver} --ipam-driver pontoon --subnet ${subnet} no`),
        overlapping,
      );
  await docker(place, "rm -f both");
  await docker(place, "network rm one two three six more dockers");
  t.equal((await pontoon.cli("network", "rm", "own")).exitCode, 0);
  await place.host.exec("ip route del 172.18.0.0/15 dev outside".split(" "));
});

t.test("a subnet is free again at once, whoever had it", async (t) => {
  for (const driver of ["pontoon", "bridge", "pontoon"])
    for (const options of ["--subnet 10.9.0.0/24", "--subnet 10.9.0.0/16 --ip-range 10.9.4.0/24"]) {
      t.equal(await create("one", options, driver), `${options.split(" ")[1]},`);
      await docker(place, "network rm one");
    }
});

for (const driver of ["pontoon", "bridge"])
  t.test(`addresses of networks with the driver ${driver}`, async (t) => {
    await create("one", "--subnet 10.9.0.0/24", driver);
    t.same(await run("one", "aa", "bb"), ["10.9.0.2", "10.9.0.3"]);
    t.equal(await passing("one"), "10.9.0.4");
    t.equal(await passing("one"), "10.9.0.5", "in order, and used again last");
    await docker(place, "restart aa");
    t.equal(await addressOf("aa"), "10.9.0.6");
    t.match(
      await refusal(place, "run --rm --network one --ip 10.9.0.3 busybox true"),
      "remote: 10.9.0.3 is taken by container bb;",
    );
    t.match(
      await refusal(place, "run --rm --network one --ip 10.9.0.1 busybox true"),
      "10.9.0.1 is taken by the network's gateway;",
    );
    t.match(
      await refusal(place, "run --rm --network one --ip 10.9.0.255 busybox true"),
      "10.9.0.255 is the broadcast address of",
    );
    await docker(place, "rm -f aa bb");
    await docker(place, "network rm one");
  });

t.test("a range, what is left out of it, and its end", async (t) => {
  await create("one", "--subnet 10.9.0.0/28 --ip-range 10.9.0.0/30 --aux-address r=10.9.0.2 --aux-address f=10.9.0.6");
  t.same(await run("one", "aa"), ["10.9.0.3"]);
  t.match(
    await refusal(place, "run --rm --network one busybox true"),
    /remote: no address of 10\.9\.0\.0\/28 is left from 10\.9\.0\.1 to 10\.9\.0\.3: .*; disconnect what is not needed/,
  );
  for (const ip of ["10.9.0.2", "10.9.0.6"])
    t.match(await refusal(place, `run --rm --network one --ip ${ip} busybox true`), `${ip} is taken by`);
  await runOn(place, "far", "--network one --ip 10.9.0.14");
  t.equal(await addressOf("far"), "10.9.0.14");
  await docker(place, "rm -f aa far");
  t.equal(await passing("one"), "10.9.0.3", "what was given back is there again");
  await docker(place, "network rm one");
});

t.test("an address that was asked for by its number is kept for its container", async (t) => {
  await create("one", "--subnet 10.9.0.0/29");
  await runOn(place, "fixed", "--network one --ip 10.9.0.3");
  await docker(place, "stop fixed");
  t.same(await run("one", "aa"), ["10.9.0.2"]);
  await restart();
  t.same(await run("one", "bb"), ["10.9.0.4"]);
  await docker(place, "start fixed");
  t.equal(await addressOf("fixed"), "10.9.0.3");
  await restart();
  t.same(await run("one", "cc", "dd"), ["10.9.0.5", "10.9.0.6"], "of those that run none is given again");
  t.match(await refusal(place, "run --rm --network one busybox true"), "no address of 10.9.0.0/29 is left");
  await docker(place, "rm -f fixed");
  t.equal(await passing("one"), "10.9.0.3", "before there is none, one that is only kept is given");
  await docker(place, "rm -f aa bb cc dd");
  await docker(place, "network rm one");
});

t.test("a container that cannot be started gives its address back", async (t) => {
  await create("one", "--subnet 10.9.0.0/29");
  const bad = "run --rm --network name=one,driver-opt=com.docker.network.endpoint.ifname=a/b busybox true";
  for (let time = 0; time < 7; time++) t.match(await refusal(place, bad), /cannot be a link's name/);
  t.match(await refusal(place, "run --rm --network one busybox /nothing"), /no such file|not found/);
  t.match(await passing("one"), /^10\.9\.0\.\d$/);
  await docker(place, "network rm one");
});

t.test("containers that start at once", async (t) => {
  await create("one", "--subnet 10.9.0.0/28");
  const names = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"];
  await Promise.all(names.map((name) => runOn(place, name, "--network one")));
  const addresses = await Promise.all(names.map(addressOf));
  t.equal(new Set(addresses).size, names.length);
  await docker(place, `rm -f ${names.join(" ")}`);
  await docker(place, "network rm one");
});

t.test("the daemon ends in peace", async (t) => {
  t.equal(await pontoon.stop(), 0);
});
