// Broken set-ups between containers: each has one right answer.
import t from "tap";
import { DockerHost, type Pontoon } from "../lab/index.js";
import { endOf, trace } from "./traced.js";

const web = ["httpd", "-f", "-p", "0.0.0.0:80"];
let host: DockerHost;
let pontoon: Pontoon;

t.before(async () => {
  host = await DockerHost.start(t);
  await host.outside();
  await host.network("front", { subnet: "172.31.1.0/24", options: { "com.docker.network.bridge.name": "br-front" } });
  await host.network("back", { subnet: "172.31.2.0/24" });
  await host.network("quiet", {
    subnet: "172.31.4.0/24",
    options: { "com.docker.network.bridge.enable_icc": "false", "com.docker.network.bridge.name": "br-quiet" },
  });
  pontoon = await host.pontoon();
  const app = await host.container({ name: "app", networks: ["front", "quiet"] });
  const both = await host.container({ name: "web", networks: ["front"], command: web });
  await pontoon.answersIn(app, both);
});

t.test("what is well arrives, by name and by address", async (t) => {
  t.match(endOf(await trace(pontoon, "app", "web:80")), /^arrives in web: httpd \(pid \d+\) listens at 0\.0\.0\.0:80$/);
  t.match(endOf(await trace(pontoon, "app", "web")), /^arrives in web: web answers ping at 172\.31\.1\.\d+$/);
  t.match(endOf(await trace(pontoon, "host", "web:80")), /^arrives in web: httpd/);
  t.match(
    endOf(await trace(pontoon, "app", "10.77.0.2:80")),
    /^arrives in outside: it leaves this host for 10\.77\.0\.2/,
  );
});

t.test("each step of the way is told", async (t) => {
  const { steps } = await trace(pontoon, "app", "web:80");
  t.same(
    steps.map(({ kind }) => kind).filter((kind) => kind !== "rules" && kind !== "conntrack"),
    ["name", "route", "bridge", "listener", "mtu", "answer"],
  );
  t.match(steps[0], { where: "app", text: /^web is 172\.31\.1\.\d+: pontoon-dns, a name on network front$/ });
});

t.test("containers that may not reach one another", async (t) => {
  await host.container({ name: "hush", networks: ["quiet"], command: web });
  const { end, steps } = await trace(pontoon, "app", "hush:80");
  t.match(end, {
    arrives: false,
    where: "host",
    why: /^containers on network quiet do not reach one another \(icc is off\): ip filter \S+: drops/,
    remedy: "docker network create shared && docker network connect shared app && docker network connect shared hush",
  });
  t.match(steps.at(-1), { kind: "rules", verdict: "stops", whose: "Docker" });
});

t.test("nobody listens at that port", async (t) => {
  t.match(
    endOf(await trace(pontoon, "app", "web:8080")),
    /^stops in web: nobody listens at port 8080\/tcp in web, but at 80 \| ask for port 80$/,
  );
  t.match(
    endOf(await trace(pontoon, "app", "web:80/udp")),
    /over tcp httpd \(pid \d+\) listens at 0\.0\.0\.0:80 \| ask for port 80\/tcp$/,
  );
});

t.test("a service on the loopback address of its container", async (t) => {
  await host.container({ name: "shy", networks: ["front"], command: ["httpd", "-f", "-p", "127.0.0.1:80"] });
  t.match(
    endOf(await trace(pontoon, "app", "shy:80")),
    /^stops in shy: httpd \(pid \d+\) listens at 127\.0\.0\.1:80, which is reached from inside shy only, and not at 172\.31\.1\.\d+ \| have it listen at 0\.0\.0\.0:80$/,
  );
});

t.test("a container's own rules", async (t) => {
  const guarded = await host.container({ name: "guarded", networks: ["front"], command: web });
  await host.exec(["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP"], { netns: guarded });
  const { end } = await trace(pontoon, "app", "guarded:80");
  t.match(end, {
    where: "guarded",
    why: /^guarded has rules of its own that refuse it: ip filter INPUT: drops: (tcp|ip protocol 6) dport 80 drop$/,
  });
  await host.exec(["sh", "-c", end.remedy!]);
  t.match(endOf(await trace(pontoon, "app", "guarded:80")), /^arrives in guarded/, "the remedy is one");
});

t.test("a link on the way takes smaller packets", async (t) => {
  await host.exec(["ip", "link", "set", "br-front", "mtu", "1300"]);
  t.match(
    endOf(await trace(pontoon, "app", "web:80")),
    /^arrives in web: .*; but \S+ of host takes 1300 bytes, eth\d of app sends up to 1500: larger packets are lost without a word \| make the network anew with -o com\.docker\.network\.driver\.mtu=1300$/,
  );
  await host.exec(["ip", "link", "set", "br-front", "mtu", "1500"]);
});

t.test("a default route that leads to nobody, with two networks", async (t) => {
  const lost = await host.container({ name: "lost", networks: ["front", "back"] });
  await host.exec(["ip", "route", "replace", "default", "via", "172.31.2.200"], { netns: lost });
  const { end } = await trace(pontoon, "lost", "10.77.0.2:80");
  t.match(end, { where: "host", why: "nobody has 172.31.2.200, the gateway for 10.77.0.2, on network back" });
  await host.exec(["sh", "-c", end.remedy!]);
  t.match(endOf(await trace(pontoon, "lost", "10.77.0.2:80")), /^arrives in outside/, "the remedy is one");
});
