import t from "tap";
import { DockerHost, Podman, until, withoutCni } from "../lab/index.js";
import { run } from "../networks/host.js";
import { pontoonCni } from "./engine.js";

const conflist = JSON.stringify({
  cniVersion: "0.4.0",
  name: "shop",
  plugins: [
    { type: "pontoon", network: "front", capabilities: { portMappings: true, ips: true, mac: true, aliases: true } },
  ],
});

const skip = withoutCni();

t.test("containers of podman and Docker, and a sandbox, reach one another by name", { skip }, async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const podman = await Podman.prepare(host, pontoonCni);
  host.writeFile("/etc/cni/net.d/shop.conflist", conflist);
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front --subnet 10.66.0.0/24");
  await podman.start("web", ["--network=shop", "-p", "8080:80", "--network-alias=www"], "httpd -f -p 80 -h /etc");
  await podman.start("client", ["--network=shop", "--ip=10.66.0.9", "--cap-add=NET_RAW"]);
  await host.docker("run", "-d", "--name", "db", "--network", "none", "busybox", "sleep", "1d");
  await until(
    async () => (await pontoon.cli("sandbox", "adopt", "db", "--container", "db", "--network", "front")).exitCode === 0,
    {
      what: "Docker's container is known, and adopted",
    },
  );
  const ping = (name: string) => `ping -c 1 -W 2 ${name}`;
  for (const name of ["web", "www", "db"]) t.equal((await podman.exec("client", ping(name))).exitCode, 0, name);
  for (const name of ["web", "client"])
    t.equal((await host.exec(["docker", "exec", "db", ...ping(name).split(" ")], { reject: false })).exitCode, 0, name);
  t.match((await podman.exec("client", "ip address show eth0")).stdout, /10\.66\.0\.9\/24/);
  t.match((await podman.exec("client", "cat /etc/resolv.conf")).stdout, /^nameserver 127\.0\.0\.11$/m);
  const ask = async () =>
    (await outside.exec(["curl", "-s", "-m", "3", `http://${outside.hostAddress}:8080/hostname`], { reject: false }))
      .exitCode;
  t.equal(await ask(), 0, "a published port");
  t.match(await run(pontoon, "port web"), /^80\/tcp -> 0\.0\.0\.0:8080$/m);

  await podman.run("restart", "--time=0", "web");
  t.equal((await podman.exec("client", ping("web"))).exitCode, 0, "a container that was started anew");
  t.equal(await ask(), 0);
  await podman.run("rm", "--force", "--time=0", "web", "client");
  t.same(JSON.parse(await run(pontoon, "port --json")), []);
  t.match(JSON.parse(await run(pontoon, "sandbox ls --json")), { length: 1, 0: { name: "db" } });
  t.equal(await pontoon.stop(), 0);
});

// As in containers/podman#8399, #4500 and #12335: of several networks one alone had names, and none a chosen address.
t.test(
  "a container on two networks has the names of both, and an address of its own choice on each",
  { skip },
  async (t) => {
    const host = await DockerHost.start(t);
    const podman = await Podman.prepare(host, pontoonCni);
    const pontoon = await host.pontoon();
    for (const [index, name] of ["front", "back"].entries()) {
      host.writeFile(`/etc/cni/net.d/${name}.conflist`, conflist.replace("shop", name).replace("front", name));
      await run(pontoon, `network create ${name} --subnet 10.6${index}.0.0/24`);
      await podman.start(`of-${name}`, [`--network=${name}`]);
    }
    const networks = ["--network=front:ip=10.60.0.9,alias=both", "--network=back:ip=10.61.0.9,alias=both"];
    await podman.start("proxy", [...networks, "--cap-add=NET_RAW"]);
    for (const name of ["of-front", "of-back"])
      t.equal((await podman.exec("proxy", `ping -c 1 -W 2 ${name}`)).exitCode, 0, name);
    for (const [name, ip] of [
      ["of-front", "10.60.0.9"],
      ["of-back", "10.61.0.9"],
    ] as const)
      t.match(
        (await podman.exec(name, "nslookup both 127.0.0.11")).stdout,
        ip,
        "each network has its own address of it",
      );
    await podman.run("network", "disconnect", "back", "proxy");
    // podman 4.3 takes a network's servers from resolv.conf with it, though another network has told them as well.
    const asked = await podman.exec("proxy", "nslookup of-front 127.0.0.11");
    const [ip = ""] = /10\.60\.0\.\d+/.exec(asked.stdout) ?? [];
    t.equal((await podman.exec("proxy", `ping -c 1 -W 2 ${ip}`)).exitCode, 0, "the other network goes on");
    t.not((await podman.exec("of-back", "nslookup both 127.0.0.11")).exitCode, 0);
    await podman.run("restart", "--time=0", "proxy");
    t.equal(
      (await podman.exec("proxy", "ping -c 1 -W 2 of-front")).exitCode,
      0,
      "by its name, too, once it is restarted",
    );
    await podman.run("network", "connect", "--ip=10.61.0.10", "back", "proxy");
    await until(async () => (await podman.exec("proxy", "ping -c 1 -W 2 of-back")).exitCode === 0, {
      what: "it is back",
    });
    await podman.run("rm", "--force", "--time=0", "proxy", "of-front", "of-back");
    t.same(JSON.parse(await run(pontoon, "sandbox ls --json")), []);
    t.equal(await pontoon.stop(), 0);
  },
);

t.test("podman says why no container starts without the daemon, or when a port is taken", { skip }, async (t) => {
  const host = await DockerHost.start(t);
  const podman = await Podman.prepare(host, pontoonCni);
  host.writeFile("/etc/cni/net.d/shop.conflist", conflist);
  await t.rejects(podman.start("web", ["--network=shop"]), /no pontoon daemon answers/);
  await podman.run("rm", "--force", "web");
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front");
  await podman.start("web", ["--network=shop", "-p", "8080:80"]);
  await t.rejects(podman.start("other", ["--network=shop", "-p", "8080:80"]), /pontoon publishes it for web/);
  await podman.run("rm", "--force", "--time=0", "other", "web");
  t.same(JSON.parse(await run(pontoon, "sandbox ls --json")), []);
  t.equal(await pontoon.stop(), 0);
});
