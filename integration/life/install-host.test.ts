import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { parseConfig } from "../../src/config.js";
import { Clone, DockerHost, until, type CommandResult, type Container } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";
import { runCommand } from "../lab/command.js";

const hasSystemd = existsSync("/usr/lib/systemd/systemd") || existsSync("/lib/systemd/systemd");
const skip = hasSystemd ? false : "systemd is not installed (Debian: systemd)";

function cloneFor(t: Test): Clone {
  const clone = Clone.make();
  t.teardown(() => clone.remove());
  return clone;
}

function brokenClone(t: Test): Clone {
  const clone = cloneFor(t);
  clone.edit("dist/src/daemon.js", (text) => `${text}\nthrow new Error("broken build");\n`);
  return clone;
}

const socketUnit = "pontoon-plugin.socket";
const pluginSocket = "/run/docker/plugins/pontoon.sock";
/** A link counts whatever it leads to. */
const isThere = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

const tool = (clone: Clone | undefined, name: string, ...args: string[]) => [
  process.execPath,
  join(clone?.root ?? repositoryRoot, "tools", `${name}.mjs`),
  ...args,
];
const installArgs = (clone?: Clone) => tool(clone, "install-host", "--no-build");

/** Every file, link and folder of the host that an installation may touch. */
async function filesOf(host: DockerHost): Promise<string[]> {
  const { stdout } = await host.exec([
    "find",
    "/usr/local",
    "/etc",
    "/var/lib/pontoon",
    "/run",
    "-path",
    "/run/host",
    "-prune",
    "-o",
    "-path",
    "/run/docker",
    "-prune",
    "-o",
    "-path",
    "/run/systemd",
    "-prune",
    "-o",
    "-print",
  ]);
  return stdout
    .split("\n")
    .filter((path) => !/^\/run\/(containerd|log|docker\.pid)/.test(path))
    .sort();
}

/** What Docker's resolver answers has a TTL of 600 s. */
async function ttlOf(container: Container): Promise<number | undefined> {
  return (await container.dig("web")).answers[0]?.ttl;
}

async function answeredBy(container: Container, resolver: "pontoon" | "docker"): Promise<void> {
  await until(async () => (await ttlOf(container)) === (resolver === "pontoon" ? 5 : 600), {
    timeoutMs: 20_000,
    what: `${resolver} answers`,
  });
}

t.test("below another root: files only, the configuration is the user's", async (t) => {
  const root = mkdtempSync("/dev/shm/pontoon-root-");
  t.teardown(() => rmSync(root, { recursive: true }));
  const config = join(root, "etc/pontoon/pontoon.yaml");
  const library = join(root, "usr/local/lib/pontoon");
  const run = (name: string, ...args: string[]) =>
    runCommand([...tool(undefined, name), `--root=${root}`, ...args], { reject: false, timeoutMs: 60_000 });
  const left = async () =>
    (await runCommand(["find", root, "-not", "-type", "d"])).stdout.replaceAll(`${root}/`, "").trim();

  t.match((await run("install-host", "--no-build")).stderr, /is installed in .*no service was touched/s);
  t.match(
    readFileSync(join(library, "current/commands/pontoon"), "utf8"),
    /^#!\/bin\/sh\nexec '.*node' '\/usr\/local\/lib\/pontoon\/bundle-/,
  );
  const files = readdirSync(library, { recursive: true, encoding: "utf8" });
  t.notOk(
    files.some((file) =>
      /dist\/.*\.test\.js$|node_modules\/(typescript|tap|eslint|prettier)\/|dist\/integration/.test(file),
    ),
    "nothing but what runs",
  );
  t.same(
    files.filter((file) => (statSync(join(library, file)).mode & 0o022) !== 0),
    [],
    "nobody else may write any",
  );
  const bundles = () => readdirSync(library).filter((name) => name.startsWith("bundle-"));
  const [first] = bundles();
  t.equal((await run("install-host", "--no-build")).exitCode, 0);
  t.equal(bundles().length, 1, "the earlier bundle is gone");
  t.not(bundles()[0], first);

  writeFileSync(config, "dns:\n  ttl: 7\n");
  t.equal((await run("install-host", "--no-build")).exitCode, 0);
  t.equal(readFileSync(config, "utf8"), "dns:\n  ttl: 7\n", "a changed configuration is kept");
  writeFileSync(config, "dns:\n  tll: 7\n");
  const [working] = bundles();
  const refused = await run("install-host", "--no-build");
  t.equal(refused.exitCode, 1);
  t.match(
    refused.stderr,
    /^(pontoon: waiting until .*\n)?pontoon: \S+pontoon\.yaml: unknown key dns\.tll.*; everything is as it was before\n$/,
  );
  t.same(bundles(), [working]);

  t.match((await run("uninstall-host")).stderr, /removed.*\npontoon: left: \S+etc\/pontoon, which was changed/);
  t.equal(await left(), "etc/pontoon/pontoon.yaml");
  rmSync(config);
  t.equal((await run("install-host", "--no-build")).exitCode, 0);
  t.equal((await run("uninstall-host")).exitCode, 0);
  t.equal(await left(), "", "nothing is left");
  t.match((await run("uninstall-host")).stderr, /is not installed/);
  t.match((await run("install-host", "--rot=/x")).stderr, /^pontoon: --rot=\/x: not an option of this; known: --root/);
});

t.test("a command of that name that is somebody else's is not replaced", async (t) => {
  const root = mkdtempSync("/dev/shm/pontoon-root-");
  t.teardown(() => rmSync(root, { recursive: true }));
  await runCommand(["mkdir", "-p", join(root, "usr/local/bin")]);
  writeFileSync(join(root, "usr/local/bin/pontoon"), "theirs");
  const { exitCode, stderr } = await runCommand([...installArgs(), `--root=${root}`], { reject: false });
  t.equal(exitCode, 1);
  t.match(
    stderr,
    /^pontoon: \S+\/bin\/pontoon is there already and was not installed by this; remove or rename it first; everything is as it was before\n$/,
  );
  t.same(readdirSync(root, { recursive: true }).sort(), ["usr", "usr/local", "usr/local/bin", "usr/local/bin/pontoon"]);
});

t.test("the default configuration shows every key with its default", (t) => {
  const text = readFileSync(join(repositoryRoot, "packaging", "pontoon.yaml"), "utf8");
  t.same(parseConfig(text, "as shipped"), parseConfig("", "empty"));
  const example = /```yaml\n([\s\S]*?)```/.exec(
    readFileSync(join(repositoryRoot, "docs/configuration.md"), "utf8"),
  )![1]!;
  t.same(
    parseConfig(text.replace(/^( *)#(?=\S)/gm, "$1"), "uncommented"),
    parseConfig(example, "docs/configuration.md"),
  );
  t.end();
});

t.test("without systemd: the installed program runs without the clone", async (t) => {
  const host = await DockerHost.start(t);
  const clone = cloneFor(t);
  await host.exec(["rmdir", "/etc/pontoon"]); // of the test host
  const before = await filesOf(host);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  t.match((await host.exec(installArgs(clone))).stderr, /there is no systemd here; run `pontoon daemon` as root/);
  clone.remove();
  const pontoon = await host.pontoon({ installed: "/usr/local/bin/pontoon" });
  await answeredBy(web, "pontoon");
  t.match((await host.exec(["pontoon", "status"])).stdout, /^pontoon 0\.1\.0\+[0-9a-f]{8}, pid \d+/);
  const uninstall = ["sh", "-c", `exec ${process.execPath} /usr/local/lib/pontoon/current/tools/uninstall-host.mjs`];
  const refused = await host.exec(uninstall, { reject: false });
  t.equal(refused.exitCode, 1);
  t.match(refused.stderr, /^pontoon: the installed pontoon runs as process \d+; end it with `kill \d+`/);
  t.equal(await ttlOf(web), 5, "and goes on running");
  await pontoon.stop();
  t.match((await host.exec(uninstall)).stderr, /pontoon is removed/);
  t.same(await filesOf(host), before, "nothing is left");
  await answeredBy(web, "docker");
});

/** Says yes to all that dockerd asks of a driver for networks and addresses; its first line is its process id. */
const willingPlugin = `
  const answers = {
    "/Plugin.Activate": { Implements: ["NetworkDriver", "IpamDriver"] },
    "/NetworkDriver.GetCapabilities": { Scope: "local" },
    "/IpamDriver.GetDefaultAddressSpaces": { LocalDefaultAddressSpace: "a", GlobalDefaultAddressSpace: "b" },
    "/IpamDriver.RequestPool": { PoolID: "p", Pool: "10.99.0.0/24" },
    "/IpamDriver.RequestAddress": { Address: "10.99.0.1/24" },
  };
  require("node:http")
    .createServer({ requireHostHeader: false }, ({ url }, answer) => answer.end(JSON.stringify(answers[url] ?? {})))
    .listen("${pluginSocket}", () => console.log(process.pid));
`;

t.test("uninstalling is refused while Docker has networks of pontoon's", async (t) => {
  const host = await DockerHost.start(t);
  const uninstall = (...variables: string[]) =>
    host.exec(["env", ...variables, ...tool(undefined, "uninstall-host")], { reject: false });
  await host.exec(installArgs());
  await host.startProgram([process.execPath, "--eval", willingPlugin]);
  await host.docker("network", "create", "--driver=pontoon", "ours");
  await host.docker("network", "create", "--ipam-driver=pontoon", "addresses");
  const refused = await uninstall();
  t.equal(refused.exitCode, 1);
  t.match(
    refused.stderr,
    /^pontoon: Docker has networks with the driver or IPAM driver pontoon: (ours, addresses|addresses, ours); .*`docker network rm .*nothing was removed\n$/,
  );
  await host.docker("network", "rm", "ours");
  t.match(
    (await uninstall()).stderr,
    /Docker has a network with .*: addresses; .* then it with `docker network rm addresses`/,
  );
  t.ok(existsSync(host.path("/usr/local/lib/pontoon/current/bin/pontoon")), "nothing was removed");
  await host.docker("network", "rm", "addresses");

  const unasked = await uninstall("DOCKER_HOST=unix:///run/nowhere.sock");
  t.equal(unasked.exitCode, 1);
  t.match(
    unasked.stderr,
    /^pontoon: dockerd \(pid \d+\) cannot be asked at \/run\/nowhere\.sock .*ENOENT.*nothing was removed\n$/,
  );
  await host.stopDockerd();
  const { exitCode, stderr } = await uninstall();
  t.equal(exitCode, 0);
  t.match(stderr, /^pontoon: no dockerd runs here, so its networks were not looked at.*\npontoon: pontoon is removed/);
});

t.test("the units are such as systemd reads without complaint", { skip }, async (t) => {
  const host = await DockerHost.start(t);
  await host.exec(installArgs());
  const { exitCode, stdout, stderr } = await host.exec(
    [
      "systemd-analyze",
      "verify",
      ...["pontoon.service", socketUnit].map((name) => join(repositoryRoot, "packaging", name)),
    ],
    { reject: false },
  );
  t.equal(exitCode, 0, stderr);
  t.equal(
    (stdout + stderr)
      .split("\n")
      .filter((line) => line.includes("pontoon"))
      .join("\n"),
    "",
  );
});

t.test("as a service of systemd", { skip }, async (t) => {
  const host = await DockerHost.start(t, { systemd: true, liveRestore: true });
  const systemctl = async (...args: string[]) =>
    (await host.exec(["systemctl", ...args], { reject: false })).stdout.trim();
  const property = (name: string, unit = "pontoon") => systemctl("show", "--value", `--property=${name}`, unit);
  const status = async () =>
    JSON.parse((await host.exec(["pontoon", "status", "--json"])).stdout) as {
      version: string;
      ready: boolean;
      dns: { kind: string; pid: number; version: string };
      docker: { state: string; detail: string };
    };
  const servers = async () =>
    (await host.exec(["pgrep", "-x", "-f", "pontoon-(dns|proxy).*"], { reject: false })).stdout
      .trim()
      .split("\n")
      .filter(Boolean);
  const install = (clone: Clone): Promise<CommandResult> =>
    host.exec(installArgs(clone), { reject: false, timeoutMs: 60_000 });
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  await web.dig("web");
  await host.exec(["rmdir", "/etc/pontoon"]); // of the test host
  const before = await filesOf(host);
  const clone = cloneFor(t);

  await t.test("an installation that does not run leaves nothing", async (t) => {
    const { stderr, exitCode } = await install(brokenClone(t));
    t.equal(exitCode, 1);
    t.match(stderr, /^pontoon: the service does not start: broken build; everything is as it was before\n$/);
    for (const unit of ["pontoon", socketUnit]) t.equal(await property("LoadState", unit), "not-found");
    t.same(await filesOf(host), before);
    t.notOk(isThere(host.path(pluginSocket)));
  });

  await t.test("one command installs and starts it", async (t) => {
    const { stderr, exitCode } = await install(clone);
    t.equal(exitCode, 0, stderr);
    t.match(stderr, /the service runs/);
    await answeredBy(web, "pontoon");
    for (const unit of ["pontoon", socketUnit]) {
      t.equal(await systemctl("is-enabled", unit), "enabled");
      t.equal(await systemctl("is-active", unit), "active");
    }
    t.equal(await property("StatusText"), `following Docker ${host.version}`);
  });

  await t.test("the socket is the daemon's, and no server's", async (t) => {
    const table = (await host.exec(["cat", "/proc/net/unix"])).stdout;
    const listener = `socket:[${/ (\d+) \/run\/pontoon-plugin\.sock$/m.exec(table)![1]}]`;
    const holds = async (pid: string) => (await host.exec(["ls", "-l", `/proc/${pid}/fd`])).stdout.includes(listener);
    t.ok(await holds(await property("MainPID")));
    for (const pid of await servers()) t.notOk(await holds(pid), pid);
  });

  await t.test("a restart of the service leaves pontoon-dns answering, and no query is lost", async (t) => {
    const [{ dns }, main] = await Promise.all([status(), property("MainPID")]);
    const stop = (await web.probe()).digSteadily("web", { everyMs: 5 });
    await systemctl("restart", "pontoon");
    await until(async () => (await status()).ready, { timeoutMs: 20_000 });
    const tally = await stop();
    t.same(tally.errors, []);
    t.same(Object.keys(tally.rcodes), ["NOERROR"]);
    t.not(await property("MainPID"), main);
    t.equal((await status()).dns.pid, dns.pid, "the same pontoon-dns");
    await answeredBy(web, "pontoon");
  });

  await t.test("a reload of the service takes up a changed configuration", async (t) => {
    const [main, config] = [await property("MainPID"), readFileSync(host.path("/etc/pontoon/pontoon.yaml"), "utf8")];
    for (const [content, ttl] of [
      ["dns:\n  ttl: 9\n", 9],
      [config, 5],
    ] as const) {
      host.writeFile("/etc/pontoon/pontoon.yaml", content);
      await systemctl("reload", "pontoon");
      await until(async () => (await ttlOf(web)) === ttl, { what: `a TTL of ${ttl}` });
    }
    t.equal(await property("MainPID"), main);
  });

  await t.test("a crash of the daemon leaves pontoon-dns answering, too", async (t) => {
    const [{ dns }, main] = await Promise.all([status(), property("MainPID")]);
    await systemctl("kill", "--kill-who=main", "--signal=SIGKILL", "pontoon");
    await until(async () => (await property("MainPID")) !== main && (await status()).ready, {
      timeoutMs: 20_000,
      what: "systemd has started it again",
    });
    t.equal((await status()).dns.pid, dns.pid);
  });

  await t.test("dockerd is restarted and stopped as if pontoon were not there", async (t) => {
    const main = await property("MainPID");
    await systemctl("restart", "docker");
    await until(async () => (await status()).docker.state === "following", {
      timeoutMs: 20_000,
      what: "the new dockerd is followed",
    });
    t.equal(await property("MainPID"), main, "pontoon was neither stopped nor restarted");
    await systemctl("stop", "docker");
    await until(async () => /held by systemd alone/.test((await status()).docker.detail), {
      timeoutMs: 20_000,
      what: "pontoon leaves the socket alone",
    });
    t.equal(await systemctl("is-active", "docker"), "inactive", "pontoon has not woken it");
    t.equal(await ttlOf(web), 5, "names go on being answered");
    await host.exec(["docker", "ps"]);
    await until(async () => (await status()).docker.state === "following", {
      timeoutMs: 20_000,
      what: "dockerd, woken by somebody else, is followed",
    });
    t.equal(await property("MainPID"), main);
  });

  await t.test("an upgrade replaces daemon and server, and loses no query", async (t) => {
    const old = await status();
    clone.edit("dist/src/version.js", (text) => `${text}\n// another build\n`);
    const stop = (await web.probe()).digSteadily("web", { everyMs: 5 });
    const { stderr, exitCode } = await install(clone);
    const tally = await stop();
    t.equal(exitCode, 0, stderr);
    const now = await status();
    t.not(now.version, old.version);
    t.equal(now.dns.version, now.version);
    t.not(now.dns.pid, old.dns.pid);
    t.same(tally.errors, []);
    t.same(Object.keys(tally.rcodes), ["NOERROR"]);
    t.equal(
      (await host.exec(["ls", "/usr/local/lib/pontoon"])).stdout
        .split("\n")
        .filter((name) => name.startsWith("bundle-")).length,
      1,
    );
  });

  /** As an earlier version left the host that had no socket. */
  const removeSocket = async () => {
    await systemctl("disable", "--now", socketUnit);
    rmSync(host.path(`/etc/systemd/system/${socketUnit}`));
    const unit = "/etc/systemd/system/pontoon.service";
    host.writeFile(unit, readFileSync(host.path(unit), "utf8").replace(/^Wants=.*\n/m, ""));
    await systemctl("daemon-reload");
    t.equal(await property("LoadState", socketUnit), "not-found");
  };

  await t.test("an upgrade from a version without the socket opens it, and loses no query", async (t) => {
    await removeSocket();
    const stop = (await web.probe()).digSteadily("web", { everyMs: 5 });
    const { stderr, exitCode } = await install(clone);
    const tally = await stop();
    t.equal(exitCode, 0, stderr);
    t.notMatch(stderr, /warning/);
    t.equal(await systemctl("is-active", socketUnit), "active");
    t.equal(await systemctl("is-enabled", socketUnit), "enabled");
    t.equal(await property("SubState", socketUnit), "running", "the service has its descriptor");
    t.ok(lstatSync(host.path(pluginSocket)).isSymbolicLink());
    t.ok(statSync(host.path("/run/pontoon-plugin.sock")).isSocket());
    t.same(tally.errors, []);
    t.same(Object.keys(tally.rcodes), ["NOERROR"]);
  });

  await t.test("an upgrade that changes the socket's unit opens the socket where it is now", async (t) => {
    const unit = `/etc/systemd/system/${socketUnit}`;
    await systemctl("stop", socketUnit, "pontoon");
    const old = readFileSync(host.path(unit), "utf8").replace(/^ListenStream=.*$/m, `ListenStream=${pluginSocket}`);
    host.writeFile(unit, old.replace(/^Symlinks=.*\n/m, ""));
    await systemctl("daemon-reload");
    await systemctl("start", socketUnit);
    t.ok(lstatSync(host.path(pluginSocket)).isSocket());
    const isWhereItIsNow = () => {
      t.ok(lstatSync(host.path(pluginSocket)).isSymbolicLink());
      t.ok(statSync(host.path("/run/pontoon-plugin.sock")).isSocket());
    };
    t.equal((await install(clone)).exitCode, 0, "while the service is stopped");
    t.equal(await systemctl("is-active", socketUnit), "active");
    isWhereItIsNow();
    await systemctl("start", "pontoon");
    host.writeFile(unit, `${readFileSync(host.path(unit), "utf8")}# as it was\n`);
    t.equal((await install(clone)).exitCode, 0, "while the service runs");
    t.equal(await property("SubState", socketUnit), "running", "the service has its descriptor");
    isWhereItIsNow();
  });

  await t.test("if it does not run, the version without the socket is back", async (t) => {
    await removeSocket();
    const { version } = await status();
    t.equal((await install(brokenClone(t))).exitCode, 1);
    await until(async () => (await status()).ready, { timeoutMs: 20_000 });
    t.equal((await status()).version, version);
    t.equal(await property("LoadState", socketUnit), "not-found");
    t.ok(isThere(host.path(pluginSocket)), "the daemon has made one itself");
    t.equal((await install(clone)).exitCode, 0);
    t.equal(await systemctl("is-active", socketUnit), "active");
  });

  await t.test("an upgrade that does not run leaves the earlier version running", async (t) => {
    const { version } = await status();
    const { stderr, exitCode } = await install(brokenClone(t));
    t.equal(exitCode, 1);
    t.match(stderr, /^pontoon: the service does not start: broken build; everything is as it was before\n$/);
    await until(async () => (await status()).ready, { timeoutMs: 20_000 });
    t.equal((await status()).version, version);
    await answeredBy(web, "pontoon");
    t.equal(
      (await host.exec(["ls", "/usr/local/lib/pontoon"])).stdout
        .split("\n")
        .filter((name) => name.startsWith("bundle-")).length,
      1,
    );
  });

  const bundles = async () =>
    (await host.exec(["ls", "/usr/local/lib/pontoon"])).stdout.split("\n").filter((name) => name.startsWith("bundle-"));
  const current = async () => (await host.exec(["readlink", "/usr/local/lib/pontoon/current"])).stdout.trim();

  await t.test(
    "an upgrade that is interrupted while the service restarts leaves the earlier version running",
    async (t) => {
      const [{ version }, before] = [await status(), await current()];
      clone.edit("dist/src/version.js", (text) => `${text}\n// one more build\n`);
      const pid = await host.startProgram(["sh", "-c", 'echo $$; exec "$@" 2>/run/said', "sh", ...installArgs(clone)]);
      await until(async () => (await current()) !== before, {
        timeoutMs: 20_000,
        everyMs: 5,
        what: "the new version is current",
      });
      await host.signal("SIGTERM", pid);
      await until(async () => /\n/.test((await host.exec(["cat", "/run/said"])).stdout), {
        timeoutMs: 40_000,
        what: "it has said why it ended",
      });
      t.equal(
        (await host.exec(["cat", "/run/said"])).stdout,
        "pontoon: interrupted (SIGTERM); everything is as it was before\n",
      );
      await until(async () => (await status()).ready, { timeoutMs: 20_000 });
      t.equal((await status()).version, version);
      t.equal(await current(), before);
      t.equal((await bundles()).length, 1);
      await host.exec(["rm", "/run/said"]);
      await answeredBy(web, "pontoon");
    },
  );

  await t.test(
    "installed without a start, the version that runs keeps all it needs until the next installation",
    async (t) => {
      const { version, dns } = await status();
      await host.exec([...installArgs(clone), "--no-start"], { timeoutMs: 60_000 });
      t.equal((await bundles()).length, 2);
      await host.signal("SIGKILL", dns.pid);
      await until(async () => (await status()).ready && (await status()).dns.pid !== dns.pid, {
        timeoutMs: 20_000,
        what: "it starts another pontoon-dns",
      });
      t.equal((await status()).dns.version, version);
      t.equal((await install(clone)).exitCode, 0);
      t.not((await status()).version, version);
      t.equal((await bundles()).length, 1);
    },
  );

  await t.test("a daemon from a clone says who is in its way", async (t) => {
    const { exitCode, stderr } = await host.exec(
      [process.execPath, join(clone.root, "bin/pontoon"), "daemon", "--run-dir=/run/other"],
      { reject: false },
    );
    t.equal(exitCode, 1);
    t.match(
      stderr,
      /^pontoon: another pontoon daemon follows \S+; stop it first, `systemctl stop pontoon` if it is the installed one\n$/,
    );
    await host.exec(["rmdir", "/run/other"]);
  });

  const time = async (name: string, unit?: string) => Number(await property(`${name}TimestampMonotonic`, unit));

  await t.test("stopped together, dockerd goes first, and pontoon gives everything back", async (t) => {
    await systemctl("stop", "docker.socket", "docker", "pontoon", socketUnit); // each begins when those before are under way
    t.equal(await property("Result"), "success");
    t.same(await servers(), [], "no pontoon-dns is left");
    const [docker, pontoon] = [await time("InactiveEnter", "docker"), await time("ActiveExit")];
    t.ok(docker <= pontoon, `${docker} is not after ${pontoon}`);
    t.notOk(isThere(host.path(pluginSocket)), "dockerd finds no socket that nobody serves");
    await systemctl("reset-failed", "docker", "docker.socket"); // later packages of Docker are started three times a minute, no more
    await systemctl("start", "docker");
    t.notMatch((await host.exec(["nft", "list", "tables"], { netns: web })).stdout, /pontoon/);
    await answeredBy(web, "docker");
  });

  await t.test("started together, pontoon is ready before dockerd begins", async (t) => {
    await systemctl("stop", "docker.socket", "docker");
    await systemctl("reset-failed", "docker", "docker.socket");
    const boot = "/etc/systemd/system/boot.target"; // at boot all begins at once, too
    host.writeFile(boot, "[Unit]\nWants=docker.service pontoon.service\n");
    await systemctl("daemon-reload");
    await systemctl("start", "boot.target");
    rmSync(host.path(boot));
    t.equal(await systemctl("is-active", "docker"), "active");
    t.equal(await systemctl("is-active", socketUnit), "active", "the service has brought the socket");
    const [pontoon, docker] = [await time("ActiveEnter"), await time("ExecMainStart", "docker")];
    t.ok(pontoon <= docker, `${pontoon} is not after ${docker}`);
    await answeredBy(web, "pontoon");
  });

  await t.test("the daemon is ready while dockerd, which may be waiting for it, answers nobody", async (t) => {
    const dockerd = Number((await host.exec(["pgrep", "-x", "dockerd"])).stdout);
    await host.signal("SIGSTOP", dockerd);
    const { exitCode } = await host.exec(["systemctl", "restart", "pontoon"], { reject: false });
    await host.signal("SIGCONT", dockerd);
    t.equal(exitCode, 0);
    await answeredBy(web, "pontoon");
  });

  await t.test("a daemon that does not start keeps neither dockerd nor a connection waiting", async (t) => {
    const dropIn = "/etc/systemd/system/pontoon.service.d/broken.conf";
    await systemctl("stop", "pontoon", "docker.socket", "docker");
    await systemctl("reset-failed", "docker", "docker.socket");
    await host.exec(["mkdir", "-p", join(dropIn, "..")]);
    host.writeFile(dropIn, "[Service]\nExecStart=\nExecStart=/bin/false\n");
    await systemctl("daemon-reload");
    await systemctl("start", "pontoon", "docker");
    t.equal(await systemctl("is-active", "docker"), "active");
    t.not(await systemctl("is-active", "pontoon"), "active");
    const wait = `require("node:net").connect("${pluginSocket}").on("error", () => {}).on("close", () => console.log("closed"))`;
    t.match((await host.exec([process.execPath, "--eval", wait], { timeoutMs: 60_000 })).stdout, /closed/);

    await host.exec(["rm", "-r", join(dropIn, "..")]);
    await systemctl("daemon-reload");
    await until(async () => (await systemctl("is-active", "pontoon", socketUnit)) === "active\nactive", {
      timeoutMs: 30_000,
      what: "daemon and socket are back by themselves",
    });
    await answeredBy(web, "pontoon");
  });

  await t.test("uninstalling leaves nothing", async (t) => {
    await systemctl("start", "pontoon");
    await answeredBy(web, "pontoon");
    await host.exec(["pontoon", "publish", "web", "127.0.0.1:8080:80"]);
    clone.remove();
    const uninstall = () =>
      host.exec([process.execPath, "/usr/local/lib/pontoon/current/tools/uninstall-host.mjs"], { reject: false });
    host.writeFile("/etc/docker/daemon.json", '{"userland-proxy-path": "/usr/local/bin/pontoon-docker-proxy"}');
    t.match(await uninstall(), {
      exitCode: 1,
      stderr: /take userland-proxy-path out of \/etc\/docker\/daemon\.json, restart dockerd.*nothing was removed/,
    });
    rmSync(host.path("/etc/docker/daemon.json"));
    const { exitCode, stderr } = await uninstall();
    for (const name of ["store.mdb", "store.mdb-lock"]) rmSync(host.path(`/var/lib/pontoon/${name}`));
    t.match(stderr, /left: \/var\/lib\/pontoon, which is not empty/);
    t.equal(exitCode, 0, stderr);
    await answeredBy(web, "docker");
    t.same(await servers(), []);
    for (const unit of ["pontoon", socketUnit]) t.equal(await property("LoadState", unit), "not-found");
    t.notOk(isThere(host.path(pluginSocket)));
    t.same(await filesOf(host), before);
  });
});
