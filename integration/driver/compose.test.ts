// One project of Docker Compose, unchanged on networks of Docker's bridge driver and of the driver pontoon.
import t, { type Test } from "tap";
import { DockerHost, until, type CommandResult } from "../lab/index.js";

const host = await DockerHost.start(t);
const outside = await host.outside();
const pontoon = await host.pontoon();
t.teardown(() => pontoon.stop());

/** The web service and the cache tell their names to whoever asks, and what stands for the database tells rows. */
const project = (networks: string) => `
services:
  web:
    image: busybox
    command: ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www"]
    stop_signal: SIGKILL
    ports: ["8080:80", "127.0.0.1:8081:80"]
    depends_on: [cache, db]
    networks:
      front:
      back:
  cache:
    image: busybox
    command: ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 6379 -h /www"]
    stop_signal: SIGKILL
    depends_on: [db]
    networks:
      back:
        aliases: [redis, session-store]
  db:
    image: busybox
    command: ["sh", "-c", "mkdir -p /www && echo rows > /www/index.html && exec httpd -f -p 5432 -h /www"]
    stop_signal: SIGKILL
    networks:
      back:
        aliases: [postgres]
networks:
${networks}
`;
const both = (body: string) => `  front:${body}  back:${body}`;
const variants = {
  "Docker's bridge": both("\n    driver: bridge\n"),
  "the driver pontoon": both("\n    driver: pontoon\n"),
  "the driver pontoon with options and its own addresses": `
  front:
    driver: pontoon
    driver_opts: {com.docker.network.driver.mtu: "1400", com.docker.network.bridge.name: front0}
    ipam: {driver: pontoon, config: [{subnet: 10.95.1.0/24}]}
  back:
    driver: pontoon
    internal: true
    ipam: {driver: pontoon}
`,
};

function compose(line: string, reject = true): Promise<CommandResult> {
  const argv = ["docker-compose", "--project-directory=/etc/app", "--file=/etc/app/compose.yml", "--ansi=never"];
  return host.exec([...argv, "--project-name=app", ...line.split(" ")], { reject, timeoutMs: 60_000 });
}

/** Between the parts of containers' names: Compose 1 and 2 have others. */
const separator = (await host.exec(["docker-compose", "version", "--short"])).stdout.startsWith("1.") ? "_" : "-";

/** What a command in a service's first container prints; undefined when it fails. */
async function inService(service: string, ...argv: readonly string[]): Promise<string | undefined> {
  const { stdout, exitCode } = await host.exec(["docker", "exec", `app${separator}${service}${separator}1`, ...argv], {
    reject: false,
  });
  return exitCode === 0 ? stdout.trim() : undefined;
}

/** Addresses of a name, as a service's first container is told them. */
async function addresses(service: string, name: string): Promise<string[]> {
  const said = (await inService(service, "nslookup", name)) ?? "";
  const answer = said.slice(said.indexOf("Name:"));
  return [...answer.matchAll(/^Address(?: \d+)?:\s+(\d+\.\d+\.\d+\.\d+)/gm)].map(([, ip]) => ip!).sort();
}

async function addressesOn(network: string, service: string): Promise<string[]> {
  const format = "--format={{range .Containers}}{{.Name}} {{.IPv4Address}},{{end}}";
  const listed = (await host.docker("network", "inspect", `app_${network}`, format)).split(",");
  return listed
    .filter((each) => each.startsWith(`app${separator}${service}${separator}`))
    .map((each) => each.replace(/^.* |\/.*$/g, ""))
    .sort();
}

const page = async (url: string) => (await host.exec(["curl", "-sm", "3", url], { reject: false })).stdout.trim();
const fromOutside = async () =>
  (await outside.exec(["curl", "-sm", "3", "http://10.77.0.1:8080"], { reject: false })).stdout.trim();

async function isServed(what: string): Promise<void> {
  const hostname = await inService("web", "hostname");
  await until(async () => (await fromOutside()) === hostname, { what: `${what}: the published port answers outside` });
  for (const url of ["http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://[::1]:8080"])
    await until(async () => (await page(url)) === hostname, { what: `${what}: ${url} answers` });
}

/** What would be left: containers, networks, links, ports. */
async function left(): Promise<string> {
  const look =
    "docker ps -aq; docker network ls -q --filter name=app_; ip -o link | grep -E 'ptv|ptc|pt-|front0'; ss -Hlnt | grep 808";
  return (await host.exec(["sh", "-c", `{ ${look}; } || true`])).stdout;
}

async function comesUp(t: Test, networks: string): Promise<void> {
  host.writeFile("/etc/app/compose.yml", project(networks));
  await compose("up -d");
  t.match((await compose("up -d")).stderr, /app_web_1 is up-to-date|Container app-web-1 +Running/);
  await isServed("up");
  for (const name of ["cache", "redis", "session-store", `app${separator}cache${separator}1`])
    t.same(await addresses("web", name), await addressesOn("back", "cache"), name);
  t.equal(await inService("web", "wget", "-qO-", "http://postgres:5432"), "rows");
  t.equal(await inService("web", "wget", "-qO-", "http://redis:6379"), await inService("cache", "hostname"));
}

async function changes(t: Test): Promise<void> {
  await compose("up -d --scale cache=4");
  const four = await addressesOn("back", "cache");
  t.equal(new Set(four).size, 4);
  for (const name of ["cache", "redis"])
    await until(async () => (await addresses("web", name)).join() === four.join(), {
      what: `${name} has all addresses`,
    });
  await compose("up -d --scale cache=2");
  const two = await addressesOn("back", "cache");
  t.equal(two.length, 2);
  await until(async () => (await addresses("web", "redis")).join() === two.join(), { what: "two are left" });

  await compose("restart --timeout 1");
  await isServed("restart");
  t.same(await addresses("web", "cache"), await addressesOn("back", "cache"));
  await compose("stop --timeout 1 web");
  t.equal(await fromOutside(), "");
  await compose("start web");
  await isServed("stop and start");
  t.match((await compose("ps")).stdout, /app.web.1 .* Up/);
}

for (const [name, networks] of Object.entries(variants))
  t.test(name, async (t) => {
    const before = await left();
    try {
      await comesUp(t, networks);
      if (!networks.includes("driver_opts")) await changes(t);
    } finally {
      t.match(await compose("down --timeout 1", false), {
        exitCode: 0,
        stderr: /Removing network app_front|Network app_front +Removed/,
      });
    }
    await until(async () => (await left()) === before, { what: "nothing is left" });
    t.equal((await pontoon.cli("port")).stdout, "");
  });

t.test("a web service that is scaled shares a range of ports, and one too many is told why it has none", async (t) => {
  host.writeFile(
    "/etc/app/compose.yml",
    project(variants["the driver pontoon"]).replace('"8080:80", "127.0.0.1:8081:80"', '"8080-8082:80"'),
  );
  await compose("up -d --scale web=3");
  const ports = async () =>
    (await pontoon.cli("port")).stdout
      .match(/(?<=0\.0\.0\.0:)\d+/g)
      ?.sort()
      .join();
  t.equal(await ports(), "8080,8081,8082");
  const { exitCode, stderr } = await compose("up -d --scale web=4", false);
  t.not(exitCode, 0);
  t.match(stderr, /no tcp port from 8080 to 8082 of 0\.0\.0\.0 and :: is free; choose others/);
  t.equal(await ports(), "8080,8081,8082");
  await compose("down --timeout 1");
  await until(async () => (await pontoon.cli("port")).stdout === "", { what: "nothing is published" });
});
