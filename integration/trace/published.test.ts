// Broken set-ups on the way to the host and to published ports: each has one right answer.
import t from "tap";
import { DockerHost, until, type Outside, type Pontoon } from "../lab/index.js";
import { endOf, trace } from "./traced.js";

const web = ["httpd", "-f", "-p", "0.0.0.0:80"];
let host: DockerHost;
let outside: Outside;
let pontoon: Pontoon;

t.before(async () => {
  host = await DockerHost.start(t);
  outside = await host.outside();
  await host.network("front", { subnet: "172.31.1.0/24", options: { "com.docker.network.bridge.name": "br-front" } });
  pontoon = await host.pontoon();
  await host.container({ name: "app", networks: ["front"] });
  await host.container({ name: "web", networks: ["front"], command: web, options: ["-p", "8080:80"] });
});

t.test("a published port is reached from outside, from the host and from a container", async (t) => {
  t.match(endOf(await trace(pontoon, outside.address, "web:80")), /^arrives in web: httpd/);
  t.match(endOf(await trace(pontoon, outside.address, "host:8080")), /^arrives in web: httpd/);
  t.match(endOf(await trace(pontoon, "host", "127.0.0.1:8080")), /^arrives in web: httpd/);
  t.match(endOf(await trace(pontoon, "app", "host:8080")), /^arrives in web: httpd/);
});

t.test("a port that is not published", async (t) => {
  t.match(
    endOf(await trace(pontoon, outside.address, "app:80")),
    /^stops in host: port 80 of app is not published \| pontoon publish app 80:80$/,
  );
});

t.test("published on the loopback address only", async (t) => {
  await host.container({ name: "local", networks: ["front"], command: web, options: ["-p", "127.0.0.1:8081:80"] });
  t.match(
    endOf(await trace(pontoon, outside.address, "local:80")),
    /^stops in host: local:80 is published at 127\.0\.0\.1:8081 only, which is reached from this host alone \| pontoon publish local 0\.0\.0\.0:8081:80$/,
  );
  t.match(
    endOf(await trace(pontoon, "app", "host:8081")),
    /^stops in host: local is published on the loopback address only, 127\.0\.0\.1:8081: nobody else reaches it/,
  );
});

t.test("the wrong address of the host", async (t) => {
  await host.container({ name: "one", networks: ["front"], command: web, options: ["-p", "10.77.0.1:8082:80"] });
  t.match(
    endOf(await trace(pontoon, "app", "172.31.1.1:8082")),
    /^stops in host: one is published at 10\.77\.0\.1:8082 only, and not at 172\.31\.1\.1 \| ask at 10\.77\.0\.1:8082, or pontoon publish/,
  );
  t.match(endOf(await trace(pontoon, "app", "10.77.0.1:8082")), /^arrives in one/);
});

t.test("a port that another program has", async (t) => {
  const holder = await host.startProgram(["sh", "-c", 'echo "$$"; exec busybox httpd -f -p 8083']);
  await until(async () => (await host.exec(["ss", "-ltnH", "sport = :8083"])).stdout !== "", { what: "it listens" });
  const taken = await host.container({ name: "taken", networks: ["front"], options: ["-p", "8083:80"], start: false });
  await t.rejects(taken.start());
  await until(async () => endOf(await trace(pontoon, outside.address, "taken:80")).includes("8083"), {
    what: "it is known that the port was taken",
  });
  t.match(
    endOf(await trace(pontoon, outside.address, "taken:80")),
    new RegExp(`^stops in host: .*8083.* is not published for taken: .*${holder}`),
  );
  t.match(
    endOf(await trace(pontoon, outside.address, "host:8083")),
    /^stops in host: .* listens at \S+:8083, and has .*8083.*, which taken is to have/,
  );
});

t.test("the proxy of a published port is down", async (t) => {
  await host.exec(["sh", "-c", "kill $(pgrep -f '[d]ocker-proxy.*-host-port 8080 ')"]);
  t.match(
    endOf(await trace(pontoon, "host", "127.0.0.1:8080")),
    /^stops in host: port 8080 of every address is published for web, and neither a rule nor Docker's docker-proxy takes it there \| docker restart web$/,
  );
  t.match(
    endOf(await trace(pontoon, outside.address, "web:80")),
    /^arrives in web/,
    "the kernel still forwards others",
  );
});

t.test("a firewall that refuses, ufw's", async (t) => {
  const chains = ["ufw-before-input", "ufw-user-input"];
  for (const chain of chains) await host.exec(["iptables", "-N", chain]);
  await host.exec(["iptables", "-A", "INPUT", "-j", "ufw-before-input"]);
  await host.exec([
    "iptables",
    "-A",
    "ufw-before-input",
    "-m",
    "conntrack",
    "--ctstate",
    "RELATED,ESTABLISHED",
    "-j",
    "ACCEPT",
  ]);
  await host.exec(["iptables", "-A", "ufw-before-input", "-j", "ufw-user-input"]);
  await host.exec(["iptables", "-A", "ufw-user-input", "-p", "tcp", "--dport", "9000", "-j", "DROP"]);
  const served = await host.startProgram(["sh", "-c", 'echo "$$"; exec busybox httpd -f -p 9000']);
  const { end, steps } = await trace(pontoon, "app", "host:9000");
  t.match(end, {
    where: "host",
    why: /^ufw refuses it: ip filter INPUT: drops in ufw-user-input: /,
    remedy: "ufw allow 9000/tcp",
  });
  t.match(steps.at(-1), { whose: "ufw" });
  await host.exec(["iptables", "-F", "ufw-user-input"]);
  t.match(endOf(await trace(pontoon, "app", "host:9000")), /^arrives in host: /);
  host.signal("SIGKILL", served).catch(() => undefined);
});

t.test("the host does not believe where a packet comes from", async (t) => {
  await host.network("side", { subnet: "172.31.5.0/24", options: { "com.docker.network.bridge.name": "br-side" } });
  const two = await host.container({ name: "two", networks: ["front", "side"], command: web });
  await host.exec(["ip", "route", "replace", "default", "via", "172.31.5.1"], { netns: two });
  await host.exec(["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.br-side.rp_filter=1"]);
  await host.docker("exec", "two", "true");
  await host.exec(["iptables", "-I", "DOCKER-USER", "-j", "ACCEPT"]);
  const { end } = await trace(pontoon, outside.address, `${await addressOn("two", "front")}:80`);
  t.match(end, {
    arrives: false,
    where: "host",
    why: /^what comes from 172\.31\.1\.\d+ by br-side is dropped without a word: br-front leads back there \(rp_filter 1\)$/,
  });
  await host.exec(["sh", "-c", end.remedy!]);
  t.match(
    endOf(await trace(pontoon, outside.address, `${await addressOn("two", "front")}:80`)),
    /^arrives in two: .* go back by br-side/,
  );
  await host.exec(["iptables", "-D", "DOCKER-USER", "-j", "ACCEPT"]);
});

t.test("a policy that drops, in the legacy tables", async (t) => {
  await host.exec(["iptables-legacy", "-P", "FORWARD", "DROP"]);
  const { end } = await trace(pontoon, "app", "10.77.0.2:80");
  t.match(end, {
    where: "host",
    why: /^what no rule accepts is dropped in FORWARD: ip legacy filter FORWARD: drops by its policy$/,
  });
  await host.exec(["sh", "-c", end.remedy!]);
  t.match(endOf(await trace(pontoon, "app", "10.77.0.2:80")), /^arrives in outside/, "the remedy is one");
  await host.exec(["sh", "-c", "iptables-legacy -F; iptables-legacy -P FORWARD ACCEPT"]);
});

t.test("a firewall that was flushed", async (t) => {
  await host.exec(["sh", "-c", "iptables -F; iptables -t nat -F; iptables -P FORWARD ACCEPT"]);
  t.match(
    endOf(await trace(pontoon, "app", "10.77.0.2:80")),
    /^stops in host: it would leave by outside with its own address 172\.31\.1\.\d+: Docker's rules are gone \(the firewall was flushed\) \| systemctl restart docker$/,
  );
  await host.exec(["iptables", "-P", "FORWARD", "DROP"]);
  t.match(
    endOf(await trace(pontoon, "app", "10.77.0.2:80")),
    /^stops in host: Docker's rules are gone \(the firewall was flushed\): ip filter FORWARD: drops by its policy/,
  );
});

async function addressOn(container: string, network: string): Promise<string> {
  return host.docker("inspect", container, "--format", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`);
}
