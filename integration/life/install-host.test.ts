import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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
      /dist\/.*\.test\.js$|node_modules\/(typescript|tap|eslint|execa|prettier)\/|dist\/integration/.test(file),
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

t.test("the unit is one systemd reads without complaint", { skip }, async (t) => {
  const host = await DockerHost.start(t);
  await host.exec(installArgs());
  const { exitCode, stdout, stderr } = await host.exec(
    ["systemd-analyze", "verify", join(repositoryRoot, "packaging", "pontoon.service")],
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
    t.equal(await property("LoadState"), "not-found");
    t.same(await filesOf(host), before);
  });

  await t.test("one command installs and starts it", async (t) => {
    const { stderr, exitCode } = await install(clone);
    t.equal(exitCode, 0, stderr);
    t.match(stderr, /the service runs/);
    await answeredBy(web, "pontoon");
    t.equal(await systemctl("is-enabled", "pontoon"), "enabled");
    t.equal(await property("StatusText"), `following Docker ${host.version}`);
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

  await t.test("with dockerd stopped at the same time, pontoon has given everything back before", async (t) => {
    await systemctl("stop", "pontoon", "docker.socket", "docker");
    t.equal(await property("Result"), "success");
    t.same(await servers(), [], "no pontoon-dns is left");
    const [pontoon, docker] = await Promise.all([
      property("InactiveEnterTimestampMonotonic"),
      property("ActiveExitTimestampMonotonic", "docker"),
    ]);
    t.ok(Number(pontoon) <= Number(docker), `${pontoon} is not after ${docker}`);
    await systemctl("reset-failed", "docker", "docker.socket"); // later packages of Docker are started three times a minute, no more
    await systemctl("start", "docker");
    t.notMatch((await host.exec(["nft", "list", "tables"], { netns: web })).stdout, /pontoon/);
    await answeredBy(web, "docker");
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
    t.equal(await property("LoadState"), "not-found");
    t.same(await filesOf(host), before);
  });
});
