import t from "tap";
import { DockerHost, until } from "../lab/index.js";
import { FlakyPlugin, type Fault } from "./flaky-plugin.js";
import { docker, nothingRemains, tryDocker } from "./host.js";

/** Containers started and removed one after the other; CI has less time than a release. */
const runs = Number(process.env.PONTOON_LEAK_RUNS ?? 40);

const ofStart = [
  "IpamDriver.RequestAddress",
  "NetworkDriver.CreateEndpoint",
  "NetworkDriver.Join",
  "NetworkDriver.ProgramExternalConnectivity",
  "NetworkDriver.EndpointOperInfo",
];
const ofEnd = [
  "NetworkDriver.RevokeExternalConnectivity",
  "NetworkDriver.Leave",
  "NetworkDriver.DeleteEndpoint",
  "IpamDriver.ReleaseAddress",
];
const ofNetwork = [
  "IpamDriver.RequestPool",
  "IpamDriver.RequestAddress",
  "NetworkDriver.CreateNetwork",
  "NetworkDriver.DeleteNetwork",
  "IpamDriver.ReleasePool",
];

/** A call whose connection is cut is made again after a second, without its text. */
const faults: Fault[] = ["refused", "refused-late", "cut"];

t.test("whatever fails on the way, nothing remains", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  const flaky = await FlakyPlugin.start(host);
  t.teardown(() => flaky.stop());
  const create = "network create -d pontoon --ipam-driver pontoon --subnet 10.91.0.0/24";
  const start = "run -d --name web --network front -p 8080:80 busybox httpd -f -p 80";
  await docker(host, `${create} front`);
  for (const kind of faults) {
    for (const method of [...ofStart, ...ofEnd]) {
      flaky.failNext(method, kind);
      const { exitCode, stderr } = await tryDocker(host, start);
      if (ofStart.includes(method) && method !== "NetworkDriver.EndpointOperInfo") {
        t.equal(exitCode, 125, `${kind} ${method}`);
        t.match(stderr, /Error response from daemon: .*(as the test wants it|cut|closed|EOF)/s);
      }
      await docker(host, "rm -f web");
      t.notOk(flaky.isWaiting, `${method} was called`);
    }
  }
  await docker(host, "network rm front");
  for (const kind of faults)
    for (const method of ofNetwork) {
      flaky.failNext(method, kind);
      const made = await tryDocker(host, "network create -d pontoon --ipam-driver pontoon other");
      await tryDocker(host, "network rm other");
      t.notOk(flaky.isWaiting, `${kind} ${method}: ${made.stderr}`);
    }
  t.equal((await docker(host, "network ls -q --filter driver=pontoon")).trim(), "");
  await nothingRemains(t, host, pontoon, 150_000);
  // Names, addresses and files, too: the same can be had again.
  await docker(host, `${create} front`);
  await docker(host, start);
  t.match(
    await docker(host, "exec web ip address show dev eth0"),
    /10\.91\.0\.2\/24/,
    "the first address is free again",
  );
  await docker(host, "rm -f web");
  await docker(host, "network rm front");
  await nothingRemains(t, host, pontoon);
  t.equal(await pontoon.stop(), 0);
});

t.test("many containers come and go", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  await docker(host, "network create -d pontoon --ipam-driver pontoon --subnet 10.91.0.0/24 front");
  for (let run = 0; run < runs; run += 4)
    await Promise.all(
      [0, 1, 2, 3].map((one) =>
        docker(
          host,
          `run --rm --name c${one} --network front -p ${8000 + one}:80 busybox ${run % 8 === 0 ? "false" : "true"}`,
        ).catch(() => undefined),
      ),
    );
  await until(async () => (await host.exec(["ip", "-o", "link"])).stdout.match(/pt[vcx]/) === null, {
    what: "no link remains",
  });
  const list = await host.exec(["nft", "list", "map", "inet", "pontoon", "published4"]);
  t.notMatch(list.stdout, /elements/);
  await docker(host, "network rm front");
  await nothingRemains(t, host, pontoon);
  t.equal(await pontoon.stop(), 0);
});
