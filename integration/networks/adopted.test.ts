import { lstatSync, readlinkSync } from "node:fs";
import t from "tap";
import { BareHost, DockerHost, until } from "../lab/index.js";
import { inside, marksOn, reaches, run, startShell } from "./host.js";

const stateOf = async (pontoon: { cli(...args: string[]): Promise<{ stdout: string }> }, name: string) => {
  const { stdout } = await pontoon.cli("sandbox", "inspect", name);
  return (JSON.parse(stdout) as [{ state: string }])[0].state;
};

t.test("a process's namespace ends with the process, whatever pontoon does in it", async (t) => {
  const host = await BareHost.start(t);
  const outside = await host.outside();
  const pontoon = await host.pontoon();
  await run(pontoon, "network create front");
  await run(pontoon, "sandbox create client --network front");
  const pid = await startShell(host, "exec unshare --net busybox httpd -f -p 80 -h /usr/share/doc/busybox-static");
  const ownNet = readlinkSync(host.path("/proc/1/ns/net"));
  await until(() => readlinkSync(host.path(`/proc/${pid}/ns/net`)) !== ownNet, { what: "it has its own namespace" });
  await run(pontoon, `sandbox adopt web --pid ${pid} --network front --alias shop`);
  await run(pontoon, "publish web 8080:80");
  t.ok(await reaches(pontoon, "client", "shop"));
  t.ok(await reaches(pontoon, "web", "client"), "names are answered in it, too");
  const ask = async () =>
    (
      await outside.exec(["curl", "-s", "-o", "/dev/null", "-m", "3", `http://${outside.hostAddress}:8080/`], {
        reject: false,
      })
    ).exitCode;
  t.equal(await ask(), 0);
  t.ok(lstatSync(host.path("/run/netns/web")).isSymbolicLink());
  const links = async () => (await host.exec(["ip", "-o", "link"])).stdout.match(/ptv\w+@/g)?.length ?? 0;
  t.equal(await links(), 2);

  await host.signal("SIGKILL", pid);
  await until(async () => (await links()) === 1, {
    what: "its link is gone, so nothing holds the namespace",
    timeoutMs: 2000,
  });
  await until(async () => (await stateOf(pontoon, "web")) === "gone", { what: "it is gone", timeoutMs: 2000 });
  t.not(await ask(), 0);
  t.notOk(await reaches(pontoon, "client", "web"));
  t.match(await inside(pontoon, "web", "true"), { exitCode: 1, stderr: /^pontoon: .*web.*\n$/ });

  await pontoon.kill();
  const next = await host.pontoon();
  t.equal(await stateOf(next, "web"), "gone", "the next daemon sees the same");
  await run(next, "sandbox rm web");
  t.throws(() => lstatSync(host.path("/run/netns/web")));
  t.equal(await next.stop(), 0);
});

t.test("a process that has the number of an adopted one that ended is another one", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon({ args: ["--log-level=info"] });
  const before = await marksOn(host);
  await run(pontoon, "network create front");
  const pid = await startShell(host, "exec unshare --net sleep 1d");
  const ownNet = readlinkSync(host.path("/proc/1/ns/net"));
  const netOf = () => readlinkSync(host.path(`/proc/${pid}/ns/net`));
  await until(() => netOf() !== ownNet, { what: "it has its own namespace" });
  await run(pontoon, `sandbox adopt web --pid ${pid} --network front`);
  await host.signal("SIGKILL", pid);
  const again = `echo ${pid - 1} >/proc/sys/kernel/ns_last_pid; sleep 1d >/dev/null 2>&1 & echo $!`;
  await until(async () => Number((await host.exec(["sh", "-c", again])).stdout) === pid, {
    what: "its number is in use",
  });
  t.equal(netOf(), ownNet);
  await until(() => pontoon.logs.some((line) => line.includes("gone")), { what: "it is noticed" });
  t.equal(await stateOf(pontoon, "web"), "gone");
  t.match(await inside(pontoon, "web", "true"), { exitCode: 1, stderr: /^pontoon: .*web.*\n$/ });
  t.notMatch((await host.exec(["ip", "-brief", "link"])).stdout, /eth0/, "the host has got nothing");
  await run(pontoon, "sandbox rm web");
  await run(pontoon, "network prune");
  t.equal(await marksOn(host), before);
  t.equal(await pontoon.stop(), 0);
});

t.test("a namespace of somebody's is given back as it was, and connected again when it returns", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon({ args: ["--log-level=info"] });
  const addresses = async () => (await host.exec(["ip", "-netns", "lab", "-4", "-brief", "address"])).stdout;
  await run(pontoon, "network create front");
  await run(pontoon, "sandbox create client --network front");
  await host.exec(["ip", "netns", "add", "lab"]);
  await run(pontoon, "sandbox adopt lab --netns /run/netns/lab --network front");
  t.ok(await reaches(pontoon, "client", "lab"));
  await host.exec(["ip", "netns", "del", "lab"]);
  await until(() => pontoon.logs.some((line) => line.includes("gone")), { what: "it is noticed", timeoutMs: 2000 });
  t.equal(await stateOf(pontoon, "lab"), "gone");
  await host.exec(["ip", "netns", "add", "lab"]);
  await until(async () => (await addresses()).includes("172.17.0.3/16"), { what: "it is connected again" });
  await until(() => reaches(pontoon, "client", "lab"), { what: "it is reached by its name" });
  await until(() => reaches(pontoon, "lab", "client"), { what: "names are answered in it, too" });
  await run(pontoon, "sandbox rm lab");
  await until(async () => !(await addresses()).includes("172.17"), { what: "its links are gone" });
  t.match((await host.exec(["ip", "netns", "list"])).stdout, /^lab/m);
  t.equal(await pontoon.stop(), 0);
});

t.test("a container that was adopted stays a sandbox for as long as there is one", async (t) => {
  const host = await DockerHost.start(t);
  let pontoon = await host.pontoon();
  const before = await marksOn(host);
  const bare = await host.container({ name: "bare", options: ["--network=none", "--add-host=printer:192.0.2.7"] });
  await host.container({ name: "usual" });
  const fileOf = (name: string) => host.docker("exec", "bare", "cat", `/etc/${name}`);
  const written = await Promise.all(["hosts", "resolv.conf"].map(fileOf));
  await run(pontoon, "network create front");
  await run(pontoon, "sandbox create client --network front");
  for (const [asked, reason] of [
    ["nobody", "Docker has no container nobody"],
    ["usual", "it has a network of Docker's"],
    ["bare --hostname other", "has a hostname"],
  ] as const) {
    const { exitCode, stderr } = await pontoon.cli(..."sandbox adopt box --container".split(" "), ...asked.split(" "));
    t.equal(exitCode, 1, asked);
    t.match(stderr, reason, asked);
  }
  await run(pontoon, "sandbox adopt box --container bare --network front --link client:friend");
  const address = async () =>
    /inet (172\.\d+\.0\.\d+)/.exec(await host.docker("exec", "bare", "ip", "-4", "address"))?.[1];
  let first: string | undefined;
  const pinged = async (name: string) => {
    const { exitCode } = await host.exec(["docker", "exec", "bare", "busybox", "ping", "-c", "1", "-W", "1", name], {
      reject: false,
    });
    return exitCode === 0;
  };
  const works = async (when: string) => {
    await until(async () => (await address()) !== undefined, { what: `${when}: it is connected`, timeoutMs: 10_000 });
    t.equal((first ??= await address()), await address(), `${when}: the address stays`);
    await until(() => reaches(pontoon, "client", "box"), { what: `${when}: it is reached`, timeoutMs: 10_000 });
    await until(() => pinged("client"), { what: `${when}: it reaches a sandbox by name`, timeoutMs: 10_000 });
    await until(() => pinged("friend"), { what: `${when}: and by its link`, timeoutMs: 10_000 });
    t.match(await fileOf("hosts"), /^192\.0\.2\.7\s+printer$/m, `${when}: what Docker wrote is there`);
  };
  await works("when it is adopted");
  await bare.restart();
  await works("when it was started anew");
  await bare.kill();
  await until(async () => (await stateOf(pontoon, "box")) === "gone", { what: "it is gone", timeoutMs: 5000 });
  await pontoon.kill();
  await host.docker("start", "bare");
  pontoon = await host.pontoon();
  await works("when it was started while no daemon was there");
  await run(pontoon, "sandbox rm box");
  t.same(await Promise.all(["hosts", "resolv.conf"].map(fileOf)), written, "its files are Docker's again");
  await run(pontoon, "sandbox adopt box --container bare --network front");
  await bare.remove();
  await until(async () => !(await run(pontoon, "sandbox ls")).includes("box"), { what: "its sandbox goes with it" });
  await host.docker("rm", "--force", "usual");
  await run(pontoon, "sandbox rm client");
  await run(pontoon, "network prune");
  await until(async () => (await marksOn(host)) === before, { what: "nothing is left" });
  t.equal(await pontoon.stop(), 0);
});

t.test("a container of Docker's without a network gets one of pontoon's", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  const before = await marksOn(host);
  const bare = await host.container({ name: "bare", options: ["--network=none"] });
  await run(pontoon, "network create front");
  await run(pontoon, "sandbox create client --network front");
  await run(pontoon, `sandbox adopt lonely --pid ${await bare.pid()} --network front`);
  t.match(await host.docker("exec", "bare", "ip", "-4", "address", "show", "eth0"), /inet 172\.\d+\.0\.3\/16/);
  t.ok(await reaches(pontoon, "client", "lonely"));
  t.ok(await reaches(pontoon, "lonely", "client"));
  await run(pontoon, "sandbox rm lonely");
  await until(async () => !(await host.docker("exec", "bare", "ip", "-4", "address")).includes("172."), {
    what: "it has no network again",
  });
  t.equal(await host.docker("inspect", "-f", "{{.State.Running}}", "bare"), "true");
  await bare.remove();
  await run(pontoon, "sandbox rm client");
  await run(pontoon, "network prune");
  await until(async () => (await marksOn(host)) === before, { what: "nothing is left" });
  t.equal(await pontoon.stop(), 0);
});
