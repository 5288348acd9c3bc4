// Networks of pontoon's and Docker's on one host.
import t, { type Test } from "tap";
import { DockerHost, until, type Container } from "../lab/index.js";
import { run } from "./host.js";
import { both, Talk } from "./talk.js";

const host4 = "10.77.0.1";
const outside4 = "10.77.0.2";

async function joinTalk(talk: Talk, host: DockerHost, name: string, container: Container): Promise<void> {
  const pid = await host.docker("inspect", "--format", "{{.State.Pid}}", container.id);
  talk.name(name, `/proc/${pid}/ns/net`);
  await talk.serve(name, 80);
}

const bridgeName = (name: string) => ({ options: { "com.docker.network.bridge.name": name } });

async function keptApart(t: Test, dockerd: string[]): Promise<void> {
  const host = await DockerHost.start(t, { dockerd });
  await host.outside();
  const pontoon = await host.pontoon();
  const talk = new Talk(host);
  await talk.serve("outside", 7000);
  await host.network("early", { subnet: "10.88.1.0/24", ...bridgeName("shop0") });
  await run(pontoon, "network create front --subnet 10.66.1.0/24 --bridge-name br-front");
  await run(pontoon, "sandbox create web --network front");
  await run(pontoon, "publish web 8001:80/tcp 8001:80/udp");
  await talk.serve("web", 80);
  await host.network("late", { subnet: "10.88.2.0/24", ...bridgeName("late.1") });
  await host.network("usual", { subnet: "10.88.3.0/24" });
  const published = { options: ["-p", "8100:80/tcp", "-p", "8100:80/udp"] };
  const containers = [
    ["box0", await host.container()],
    ["box1", await host.container({ networks: ["early"], ...published })],
    ["box2", await host.container({ networks: ["late"] })],
    ["box3", await host.container({ networks: ["usual"] })],
  ] as const;
  const addresses = new Map<string, string>();
  for (const [name, container] of containers) {
    await joinTalk(talk, host, name, container);
    const format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    addresses.set(name, await host.docker("inspect", "--format", format, container.id));
  }
  // Everything forwards but what somebody's rules drop.
  await host.exec(["sh", "-c", "iptables -P FORWARD ACCEPT"]);
  const apart = () =>
    talk.wrong([
      ...[...addresses].flatMap(([name, ip]) => [...both("web", `${ip} 80`, ""), ...both(name, "10.66.1.2 80", "")]),
      ...both("outside", "10.66.1.2 80", ""),
      ...both("web", `${outside4} 7000`, `outside ${host4}`),
      ...both("outside", `${host4} 8001`, `web ${outside4}`),
    ]);
  const others = async () => (await host.exec("nft list set inet pontoon others".split(" "))).stdout;
  await until(async () => (await others()).includes(`"late.1"`), {
    what: "Docker has told of its bridges",
  });
  t.same(await apart(), []);
  t.same(
    await talk.wrong([...addresses.keys()].flatMap((name) => both(name, `${host4} 8001`, "web 10.66.1.1"))),
    [],
    "a published port is reached from Docker's networks",
  );
  t.equal(await pontoon.stop(), 0);
}

t.test("neither reaches the other, whatever Docker's bridges are called", (t) => keptApart(t, []));
t.test("… where Docker leaves the firewall alone", (t) => keptApart(t, ["--iptables=false"]));

t.test("a port that Docker publishes is reached from a sandbox", async (t) => {
  const host = await DockerHost.start(t);
  await host.outside();
  const pontoon = await host.pontoon();
  const talk = new Talk(host);
  await run(pontoon, "network create front --subnet 10.66.1.0/24");
  await run(pontoon, "sandbox create web --network front");
  const box = await host.container({ options: ["-p", "8100:80/tcp", "-p", "8100:80/udp"] });
  await joinTalk(talk, host, "box", box);
  const [tcp, udp] = await Promise.all(
    ["tcp", "udp"].map((transport) => talk.ask("web", `${transport} ${host4} 8100`)),
  );
  t.match(tcp, /^box /);
  t.match(udp, /^box /);
  t.equal(await pontoon.stop(), 0);
});
