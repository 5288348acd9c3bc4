// Containers that have a firewall of their own: it must not make a difference to them who answers.
import t from "tap";
import { DockerHost, until, type Container } from "../lab/index.js";

/** TTL of Docker's own resolver; pontoon's is 5. It tells who has answered. */
const dockersTtl = 600;
const tracked = ["-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"];
const firewalls: Record<string, string[][]> = {
  "out-by-state": [
    ["-A", "OUTPUT", "-d", "127.0.0.11", "-j", "ACCEPT"],
    ["-A", "OUTPUT", ...tracked],
    ["-P", "OUTPUT", "DROP"],
  ],
  "in-by-state": [
    ["-A", "INPUT", "-d", "127.0.0.11", "-j", "ACCEPT"],
    ["-A", "INPUT", ...tracked],
    ["-P", "INPUT", "DROP"],
  ],
  "both-by-state": [
    ["-A", "OUTPUT", "-d", "127.0.0.11", "-j", "ACCEPT"],
    ["-A", "INPUT", "-d", "127.0.0.11", "-j", "ACCEPT"],
    ["-A", "OUTPUT", ...tracked],
    ["-A", "INPUT", ...tracked],
    ["-P", "OUTPUT", "DROP"],
    ["-P", "INPUT", "DROP"],
  ],
  "what-is-new": [
    ["-A", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW,ESTABLISHED", "-j", "ACCEPT"],
    ["-A", "OUTPUT", "-j", "REJECT"],
  ],
  loopback: [
    ["-A", "INPUT", "-i", "lo", "-j", "ACCEPT"],
    ["-A", "OUTPUT", "-o", "lo", "-j", "ACCEPT"],
    ["-P", "INPUT", "DROP"],
    ["-P", "OUTPUT", "DROP"],
  ],
  masquerade: [["-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"]],
  "redirect-all": [
    ["-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT", "--to-ports", "9"],
    ["-t", "nat", "-A", "OUTPUT", "-p", "udp", "-j", "REDIRECT", "--to-ports", "9"],
  ],
};

async function answeredBy(container: Container, tcp: boolean): Promise<"pontoon" | "docker" | "nobody"> {
  const reply = await container.dig("web", "A", { tcp, timeoutMs: 1000 }).catch(() => undefined);
  const ttl = reply?.answers[0]?.ttl;
  return ttl === undefined ? "nobody" : ttl === dockersTtl ? "docker" : "pontoon";
}

t.test("a container's own firewall lets through to pontoon what it lets through to Docker", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  await host.container({ name: "web", networks: ["n1"] });
  const before = new Map<string, Container>();
  const after = new Map<string, Container>();
  const protect = async (containers: Map<string, Container>) => {
    for (const [name, container] of containers)
      for (const rule of firewalls[name]!) await host.exec(["iptables", ...rule], { netns: container });
  };
  for (const name of Object.keys(firewalls)) {
    before.set(name, await host.container({ name: `${name}-before`, networks: ["n1"] }));
    after.set(name, await host.container({ name: `${name}-after`, networks: ["n1"] }));
  }
  await protect(before);
  for (const [name, container] of before)
    for (const tcp of [false, true])
      t.equal(await answeredBy(container, tcp), "docker", `${name}: as Docker has it, ${tcp ? "TCP" : "UDP"}`);

  const pontoon = await host.pontoon();
  await pontoon.answersIn(...after.values());
  await protect(after);
  for (const [when, containers] of [
    ["set up before", before],
    ["set up after", after],
  ] as const)
    for (const [name, container] of containers)
      for (const tcp of [false, true])
        t.not(await answeredBy(container, tcp), "nobody", `${name}, ${when}, ${tcp ? "TCP" : "UDP"}`);
  for (const name of ["out-by-state", "in-by-state", "both-by-state", "what-is-new", "loopback", "masquerade"])
    t.equal(await answeredBy(before.get(name)!, false), "pontoon", `${name}: is taken over`);

  t.equal(await pontoon.stop(), 0);
  for (const [name, container] of [...before, ...after])
    for (const tcp of [false, true])
      t.equal(await answeredBy(container, tcp), "docker", `${name}: given back, ${tcp ? "TCP" : "UDP"}`);
});

t.test("a client that keeps its port is answered throughout, by whoever has the resolver", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const asked = await host.startProgram(
    [
      process.execPath,
      "-e",
      `
    const { createSocket } = require("node:dgram");
    const query = Buffer.from("1234010000010000000000000377656200" + "00010001", "hex");
    const socket = createSocket("udp4").bind(45454, "127.0.0.1");
    const fs = require("node:fs");
    socket.on("message", (reply) => fs.appendFileSync("/tmp/heard", reply.readUInt32BE(reply.length - 10) + "\\n"));
    setInterval(() => socket.send(query, 53, "127.0.0.11"), 50);
    console.log(process.pid);
  `,
    ],
    { netns: web },
  );
  t.teardown(() => host.signal("SIGKILL", asked).catch(() => undefined));
  const last = async () => (await host.exec(["sh", "-c", "tail -n1 /tmp/heard"], { reject: false })).stdout.trim();
  for (let turn = 0; turn < 2; turn++) {
    await until(async () => (await last()) === "600", { what: "Docker answers" });
    const pontoon = await host.pontoon();
    await until(async () => (await last()) === "5", { what: "pontoon answers" });
    t.equal(await pontoon.stop(), 0);
  }
  await until(async () => (await last()) === "600", { what: "Docker answers again" });
});
