// Containers are as fast as their label, or an option of their network, says.
import { fileURLToPath } from "node:url";
import t from "tap";
import { DockerHost, until } from "../lab/index.js";
import type { RateRequest } from "../networks/rate-child.js";
import { docker, nothingRemains, tryDocker } from "./host.js";

const program = fileURLToPath(new URL("../networks/rate-child.js", import.meta.url));

/** Rates at which links of the host send, in their order; `in` for one whose incoming frames are redirected. */
async function limits(host: DockerHost): Promise<string[]> {
  const { stdout } = await host.exec(["tc", "qdisc", "show"]);
  return [...stdout.matchAll(/qdisc (?:tbf .* dev (pt[vs]).* rate (\S+)|ingress .* dev (pt[vs]))/g)]
    .map(([, link, rate, from]) => (link === undefined ? `${from} in` : `${link} ${rate}`))
    .sort();
}

t.test("a container is limited by its label and by an option of its network, and restarts so", async (t) => {
  const host = await DockerHost.start(t);
  let pontoon = await host.pontoon();
  await docker(host, "network create -d pontoon front");
  const helperOf = async (name: string) => {
    const pid = await docker(host, `inspect -f {{.State.Pid}} ${name}`);
    return host.helper<RateRequest, number>(program, `/proc/${pid}/ns/net`);
  };
  const sleep = "busybox sleep 1000000";
  await docker(host, `run -d --name peer --network front ${sleep}`);
  t.same(await limits(host), []);
  await docker(host, `run -d --name web --network front --label pontoon.bandwidth=20mbit/8mbit ${sleep}`);
  const both = ["pts 8Mbit", "ptv 20Mbit", "ptv in"];
  await until(async () => JSON.stringify(await limits(host)) === JSON.stringify(both), { what: "it is limited" });
  const [web, peer] = [await helperOf("web"), await helperOf("peer")];
  const measured = async (sender: typeof web, name: string, receiver: typeof peer) => {
    const address = "{{.NetworkSettings.Networks.front.IPAddress}}";
    await sender.call({ kind: "send", port: 7000 });
    const ip = await docker(host, `inspect -f ${address} ${name}`);
    return (await receiver.call({ kind: "receive", ip, port: 7000, time: 3000 })) / 1_000_000;
  };
  const [to, from] = [await measured(peer, "peer", web), await measured(web, "web", peer)];
  t.ok(to > 8 && to < 24, `${to.toFixed(1)} mbit/s to the container, of 20`);
  t.ok(from > 3.2 && from < 9.6, `${from.toFixed(1)} mbit/s from it, of 8`);
  for (const helper of [web, peer]) await helper.release();

  const option = "--network name=front,driver-opt=pontoon.bandwidth=3mbit";
  await docker(host, `run -d --name other ${option} --label pontoon.bandwidth=1mbit ${sleep}`);
  const all = ["pts 3Mbit", "pts 8Mbit", "ptv 20Mbit", "ptv 3Mbit", "ptv in", "ptv in"];
  t.same(await limits(host), all, "an option counts before a label, and from the start");
  await pontoon.kill();
  pontoon = await host.pontoon();
  await docker(host, "restart -t 0 web other");
  await until(async () => JSON.stringify(await limits(host)) === JSON.stringify(all), {
    what: "they are limited again",
  });

  const refused = await tryDocker(host, "run --rm --network name=front,driver-opt=pontoon.bandwidth=3mb busybox true");
  t.match(refused.stderr, /the bandwidth 3mb is not a bandwidth; write a number and one of bit, kbit, mbit, gbit/);
  await docker(host, `run -d --name wrong --network front --label pontoon.bandwidth=3mb ${sleep}`);
  const log = () => pontoon.logs.join("\n");
  await until(() => log().includes("the bandwidth of a container could not be limited"), { what: "that is logged" });
  t.same(await limits(host), all, "a label that makes no sense limits nothing");

  await docker(host, "rm -f web other wrong peer");
  await docker(host, "network rm front");
  await nothingRemains(t, host, pontoon);
  t.same(await limits(host), []);
  t.equal(await pontoon.stop(), 0);
});
