// `pontoon publish` on running containers, as users type it.
import t from "tap";
import { DockerHost, until, type CommandResult } from "../lab/index.js";

const tcpEcho = ["nc", "-ll", "-p", "80", "-e", "cat"];

/** What a TCP service sends back to the host; empty when it is refused. */
async function talk(host: DockerHost, ip: string, port: number, text: string): Promise<string> {
  return (await host.exec(["busybox", "nc", "-w", "10", ip, String(port)], { input: text, reject: false })).stdout;
}

const answers = (host: DockerHost, ip: string, port: number) =>
  until(async () => (await talk(host, ip, port, "hello")) === "hello", { what: `${ip} ${port} answers` });

async function refused(host: DockerHost, port: number): Promise<boolean> {
  const { stderr } = await host.exec(["busybox", "nc", "-w", "10", "127.0.0.1", String(port)], {
    input: "x",
    reject: false,
  });
  return stderr.includes("refused");
}

const lines = ({ stdout }: CommandResult) => stdout.trim().split("\n");

async function listening(host: DockerHost): Promise<string[]> {
  const { stdout } = await host.exec(["ss", "-Hltn"]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(/\s+/)[3] ?? "")
    .sort();
}

t.test("a port of a running container", async (t) => {
  const host = await DockerHost.start(t);
  await host.container({ name: "web", command: tcpEcho, networks: [] });
  let pontoon = await host.pontoon();
  const published = await pontoon.cli("publish", "web", "8080:80");
  t.equal(published.stderr, "");
  t.same(lines(published), ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]);
  t.equal(published.exitCode, 0);
  await answers(host, "127.0.0.1", 8080);
  await answers(host, "::1", 8080);

  await t.test("is listed", async (t) => {
    t.same(lines(await pontoon.cli("port", "web")), ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]);
    t.same(lines(await pontoon.cli("port", "web", "80")), ["0.0.0.0:8080", "[::]:8080"]);
    t.match(JSON.parse((await pontoon.cli("port", "--json")).stdout), {
      length: 2,
      0: { container: "web", state: "open", by: "pontoon", source: "command", accepted: Number },
      1: {},
    });
    t.match((await pontoon.cli("status")).stdout, /^pontoon-proxy {2}running, pid \d+, \d+ MB; 2 sockets published/m);
  });

  await t.test("is refused while the container is down, and follows it", async (t) => {
    await host.docker("stop", "--time=0", "web");
    await until(() => refused(host, 8080), { what: "it is refused" });
    t.same(await listening(host), []);
    await host.docker("start", "web");
    await answers(host, "127.0.0.1", 8080);
    await host.docker("rm", "--force", "web");
    await until(() => refused(host, 8080), { what: "it is refused" });
    await host.container({ name: "other", networks: [] }); // takes the address that web had
    await host.container({ name: "web", command: tcpEcho, networks: [] });
    await answers(host, "127.0.0.1", 8080);
  });

  await t.test("is free when it is unpublished", async (t) => {
    t.same(lines(await pontoon.cli("unpublish", "web", "80")), ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]);
    t.ok(await refused(host, 8080));
    t.equal((await pontoon.cli("port")).stdout, "");
  });

  for (const signal of ["SIGINT", "SIGUSR2"] as const)
    await t.test(`is published or not, and said to be, when ${signal} ends the daemon meanwhile`, async (t) => {
      const running = pontoon.cli("publish", "web", "20000-20999:20000-20999");
      const isBound = async () => (await listening(host)).length > 0;
      await until(isBound, { what: "it has begun", everyMs: 1 });
      await pontoon.stop(signal);
      const { exitCode, stdout, stderr } = await running;
      t.equal(exitCode, 0, stderr);
      t.equal(stdout.trim().split("\n").length, 2000);
      pontoon = await host.pontoon();
      t.equal(lines(await pontoon.cli("unpublish", "web")).length, 2000);
    });
});
