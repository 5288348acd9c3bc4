import { rmSync } from "node:fs";
import t, { type Test } from "tap";
import { DockerHost, until, type DockerHostOptions, type Pontoon } from "../lab/index.js";
import { docker, nothingRemains, page, tryDocker } from "./host.js";

const web = "--network front -p 8080:80 busybox httpd -f -p 80 -h /etc";

async function started(t: Test, options?: DockerHostOptions): Promise<[DockerHost, Pontoon]> {
  const host = await DockerHost.start(t, options);
  const pontoon = await host.pontoon();
  await docker(host, "network create -d pontoon --ipam-driver pontoon --subnet 172.18.0.0/16 front");
  await docker(host, `run -d --name web --restart always --ip 172.18.0.9 ${web}`);
  await until(async () => (await page(host, "http://127.0.0.1:8080/hostname")) !== undefined, { what: "it is served" });
  return [host, pontoon];
}

/** Everything works, and can be removed without leaving anything. */
async function worksOn(t: Test, host: DockerHost, pontoon: Pontoon): Promise<void> {
  await until(async () => (await page(host, "http://127.0.0.1:8080/hostname")) !== undefined, { what: "it is served" });
  const client = await tryDocker(host, "run --rm --network front busybox nslookup web");
  t.match(client.stdout, /172\.18\.0\.9/, client.stderr);
  t.match((await pontoon.cli("port", "web")).stdout, /80\/tcp -> 0\.0\.0\.0:8080/);
  await docker(host, "rm -f web");
  await docker(host, "network rm front");
  await nothingRemains(t, host, pontoon);
  t.equal(await pontoon.stop(), 0);
}

t.test("the daemon is killed and started again", async (t) => {
  const [host, pontoon] = await started(t);
  await pontoon.kill();
  t.ok(await page(host, "http://127.0.0.1:8080/hostname"), "nobody notices");
  const next = await host.pontoon();
  await worksOn(t, host, next);
});

t.test("everything of pontoon's is killed, and what it had stored is lost", async (t) => {
  const [host, pontoon] = await started(t);
  await pontoon.killEverything();
  rmSync(host.path("/var/lib/pontoon"), { recursive: true });
  const next = await host.pontoon();
  await until(() => next.logs.some((line) => line.includes("as Docker has it")), { what: "it is known again" });
  const client = await tryDocker(host, "run --rm --network front busybox nslookup web");
  t.match(client.stdout, /172\.18\.0\.9/, client.stderr);
  t.match(await docker(host, "exec web ip address show dev eth0"), /172\.18\.0\.9/);
  await docker(host, "restart -t 0 web");
  await worksOn(t, host, next);
});

t.test("dockerd is restarted", async (t) => {
  const [host, pontoon] = await started(t);
  await host.restartDockerd();
  await worksOn(t, host, pontoon);
});

t.test("a daemon that was killed costs those nothing who have no networks of the driver", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  await docker(host, "network create -d pontoon front"); // dockerd has found the driver
  await docker(host, "network rm front");
  const useVolumes = async () => {
    await docker(host, "volume ls");
    await docker(host, "run --rm -v data:/data busybox true");
    await docker(host, "volume rm data");
  };
  await pontoon.killEverything();
  await useVolumes();
  await host.restartDockerd();
  await useVolumes();
  t.notMatch(host.dockerd.log, /pontoon\.sock/, "dockerd has asked nobody for volumes");
  const { stderr } = await tryDocker(host, "network create -d pontoon front");
  t.match(stderr, /pontoon/, "the driver is missed where it is needed");
  t.match(host.dockerd.log, /pontoon\.sock/, "as the log tells");
});

t.test("dockerd is killed", async (t) => {
  const [host, pontoon] = await started(t);
  await host.restartDockerd({ signal: "SIGKILL" });
  await worksOn(t, host, pontoon);
});

t.test("dockerd is restarted while containers go on", async (t) => {
  const [host, pontoon] = await started(t, { liveRestore: true });
  await host.stopDockerd();
  t.ok(await page(host, "http://127.0.0.1:8080/hostname"), "nobody notices");
  await host.startDockerd();
  await worksOn(t, host, pontoon);
});

t.test("both are killed, and the host's links and rules are gone", async (t) => {
  const [host, pontoon] = await started(t);
  await docker(host, "run -d --name other --restart always --network front busybox sleep 1000");
  await host.stopDockerd({ signal: "SIGKILL" });
  await pontoon.killEverything();
  const running = await host.exec(["pgrep", "-f", "^(httpd -f|sleep 1000)"]);
  await host.signal("SIGKILL", ...running.stdout.split("\n").filter(Boolean).map(Number));
  await host.exec(["nft", "flush", "ruleset"]);
  const links = await host.exec(["ip", "-o", "link"]);
  for (const [, name = ""] of links.stdout.matchAll(/: (pt-[0-9a-f]{12}):/g))
    await host.exec(["ip", "link", "delete", name]);
  const next = await host.pontoon({ untilReady: false });
  await host.startDockerd();
  await until(async () => (await docker(host, "ps -q")).split("\n").length === 2, { what: "both run" });
  await docker(host, "rm -f other");
  await worksOn(t, host, next);
});
