import t from "tap";
import { DockerHost, until } from "../lab/index.js";
import { docker, nothingRemains, tryDocker } from "./host.js";

const rounds = 5;

/** A container's first process asks at once, once and again. */
const asker = ["sh", "-c", "nslookup web; nslookup shop; echo asked; sleep 1000"];

t.test("from the first question of the first process on, Docker's resolver is not asked", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  await docker(host, "network create -d pontoon front");
  await docker(host, "run -d --name web --network front --network-alias shop busybox sleep 1000");
  const ip = await docker(host, "inspect --format {{.NetworkSettings.Networks.front.IPAddress}} web");
  const isHeld = parseInt(await docker(host, "version --format {{.Server.Version}}"), 10) >= 26;
  let unasked = 0;
  for (let round = 0; round < rounds; round++) {
    const name = `asker${round}`;
    await host.exec(["docker", "run", "-d", "--name", name, "--network", "front", "busybox", ...asker]);
    await until(async () => (await docker(host, `logs ${name}`)).includes("asked"), { what: "it has asked" });
    t.equal((await docker(host, `logs ${name}`)).split(`Address: ${ip}`).length, 3, "both names are answered");
    const pid = await docker(host, `inspect --format {{.State.Pid}} ${name}`);
    const rules = await host.exec([
      "nsenter",
      `--net=/proc/${pid}/ns/net`,
      ..."iptables -t nat -vnxL DOCKER_OUTPUT".split(" "),
    ]);
    const asked = rules.stdout.split("\n").filter((line) => line.includes("DNAT"));
    t.equal(asked.length, 2, "Docker has its rules there");
    if (asked.every((rule) => /^\s*0\s/.test(rule))) unasked++;
    await docker(host, `rm -f ${name}`);
  }
  // dockerd before 26 has the namespace made after it has asked the driver, and does not wait: a busy host may be too slow.
  t.ok(unasked >= (isHeld ? rounds : rounds / 2), `no packet went by them in ${unasked} of ${rounds} rounds`);
  t.equal(await pontoon.stop(), 0);
});

t.test("where containers do not reach one another, a link opens what is exposed", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  await docker(
    host,
    "network create -d pontoon --subnet 10.92.0.0/24 -o com.docker.network.bridge.enable_icc=false front",
  );
  const serve = ["sh", "-c", "httpd -f -p 80 -h /etc & httpd -f -p 81 -h /etc"];
  await host.exec(["docker", "run", "-d", "--name", "db", "--network", "front", "--expose", "80", "busybox", ...serve]);
  await docker(host, "run -d --name linked --network front --link db:store busybox sleep 1000");
  await docker(host, "run -d --name other --network front busybox sleep 1000");
  const db = () => docker(host, "inspect --format {{.NetworkSettings.Networks.front.IPAddress}} db");
  const reaches = async (from: string, ip: string, port: number) => {
    const pid = await docker(host, `inspect --format {{.State.Pid}} ${from}`);
    const asked = ["curl", "-s", "-m", "1", "-o", "/dev/null", `http://${ip}:${port}/hostname`];
    return (await host.exec(["nsenter", `--net=/proc/${pid}/ns/net`, ...asked], { reject: false })).exitCode === 0;
  };
  const ip = await db();
  t.ok(await reaches("linked", ip, 80), "what is exposed");
  t.notOk(await reaches("linked", ip, 81), "and nothing else");
  t.notOk(await reaches("other", ip, 80), "nobody without the link");
  t.match((await tryDocker(host, "exec linked nslookup store")).stdout, new RegExp(ip.replaceAll(".", "\\.")));
  await docker(host, "restart -t 0 db");
  const again = await db();
  await until(() => reaches("linked", again, 80), { what: "the link leads to where it is now" });
  await docker(host, "rm -f linked");
  const links = async () => (await host.exec(["nft", "list", "set", "inet", "pontoon", "linked4"])).stdout;
  await until(async () => !(await links()).includes("elements"), { what: "the link is closed" });
  await docker(host, "rm -f db other");
  await docker(host, "network rm front");
  await nothingRemains(t, host, pontoon);
  t.equal(await pontoon.stop(), 0);
});
