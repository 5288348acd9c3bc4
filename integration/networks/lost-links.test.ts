// What others take away while the daemon runs comes back: bridges, links, addresses, and what was on a parent that went.
import t from "tap";
import { BareHost, DockerHost, until } from "../lab/index.js";
import { inside, marksOn, reaches, run } from "./host.js";

t.test("bridges, links and addresses", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const pontoon = await host.pontoon();
  const before = await marksOn(host);
  await run(pontoon, "network create front --bridge-name br-front --subnet 10.66.0.0/24");
  await run(pontoon, "sandbox create web --network front");
  await run(pontoon, "sandbox create client --network front");
  const works = async (what: string) => {
    await until(() => reaches(pontoon, "client", "web"), { what: `${what}: sandboxes reach each other` });
    await until(() => reaches(pontoon, "client", outside.address), { what: `${what}: and the outside` });
  };
  await works("at first");
  const ends = async () => [...(await host.exec(["ip", "-o", "link"])).stdout.matchAll(/: (ptv\w+)@/g)];
  for (const line of [
    "ip link delete br-front",
    "ip address flush dev br-front",
    "ip link set br-front down",
    `ip link delete ${(await ends())[0]![1]!}`,
  ]) {
    await host.exec(line.split(" "));
    await works(line);
  }
  await host.exec(["sh", "-c", "for link in $(ls /sys/class/net | grep ^ptv) br-front; do ip link delete $link; done"]);
  await works("all of it");
  t.match(pontoon.logs.join("\n"), /links or addresses of networks were gone: they are back/);

  const said = pontoon.logs.length;
  await run(pontoon, "sandbox rm web");
  await run(pontoon, "sandbox rm client");
  await run(pontoon, "network rm front");
  await run(pontoon, "network create next");
  await run(pontoon, "network rm next");
  await until(async () => (await marksOn(host)) === before, { what: "links are deleted" }).catch(() => undefined);
  t.equal(await marksOn(host), before, "what pontoon takes away itself does not come back");
  t.notMatch(pontoon.logs.slice(said).join("\n"), /were gone/);
  t.equal(await pontoon.stop(), 0);
});

t.test("what is on a parent comes back with it", async (t) => {
  const host = await BareHost.start(t);
  await host.exec(["ip", "netns", "add", "far"]);
  const plugIn = async () => {
    await host.exec(["ip", "link", "add", "usb0", "type", "veth", "peer", "name", "eth0", "netns", "far"]);
    await host.exec(["ip", "-n", "far", "address", "add", "10.9.0.1/24", "dev", "eth0"]);
    await host.exec(["ip", "-n", "far", "link", "set", "eth0", "up"]);
    await host.exec(["ip", "link", "set", "usb0", "up"]);
  };
  await plugIn();
  const pontoon = await host.pontoon();
  await run(pontoon, "network create -d macvlan --parent usb0 --subnet 10.9.0.0/24 --host-access lan");
  await run(pontoon, "sandbox create box --network lan");
  const reached = async (ip: string) =>
    (await host.exec(["busybox", "ping", "-c", "1", "-W", "1", ip], { reject: false })).exitCode === 0;
  const ip = /10\.9\.0\.\d+/.exec((await inside(pontoon, "box", "ip -br -4 address show eth0")).stdout)![0];
  await until(() => reaches(pontoon, "box", "10.9.0.1"), { what: "it reaches the LAN" });
  await host.exec(["ip", "link", "set", "usb0", "down"]);
  await run(pontoon, "sandbox create second --network lan"); // a parent that is down takes links
  await host.exec(["ip", "link", "set", "usb0", "up"]);
  await until(() => reaches(pontoon, "second", "10.9.0.1"), { what: "one that was made meanwhile does, too" });

  await host.exec(["ip", "link", "delete", "usb0"]);
  await until(() => pontoon.logs.some((line) => line.includes("usb0 is gone, on which network lan is")), {
    what: "it is told",
  });
  t.notOk(await reaches(pontoon, "box", "10.9.0.1"));
  const { exitCode, stderr } = await pontoon.cli("sandbox", "create", "third", "--network", "lan");
  t.equal(exitCode, 1);
  t.match(stderr, /usb0/, "nothing can be put there");
  await plugIn();
  for (const name of ["box", "second"])
    await until(() => reaches(pontoon, name, "10.9.0.1"), { what: `${name} is on the LAN again` });
  await until(() => reached(ip), { what: "and the host reaches it" });
  t.match((await inside(pontoon, "box", "ip -br -4 address show eth0")).stdout, new RegExp(ip), "as before");
  for (const name of ["box", "second"]) await run(pontoon, `sandbox rm ${name}`);
  await run(pontoon, "network rm lan");
  t.equal(await pontoon.stop(), 0);
});

t.test("the bridge of Docker's containers", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  await host.docker("network", "create", "-d", "pontoon", "-o", "com.docker.network.bridge.name=br-front", "front");
  await host.container({ name: "web", networks: ["front"] });
  const client = await host.container({ name: "client", networks: ["front"] });
  const works = async () =>
    (await client.exec(["ping", "-c", "1", "-W", "1", "web"], { reject: false })).exitCode === 0;
  await until(works, { what: "they reach each other" });
  await host.exec(["ip", "link", "delete", "br-front"]);
  await until(works, { what: "and do so again" });
  t.equal(await pontoon.stop(), 0);
});
