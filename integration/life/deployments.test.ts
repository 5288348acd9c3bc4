// Where pontoon and dockerd may run, each apart from the usual: with other users, without root, in containers.
import { existsSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { DockerHost, until, type CommandResult, type Container } from "../lab/index.js";
import { busyboxArchive } from "../lab/image.js";
import { repositoryRoot } from "../lab/root.js";
import { requestUnix } from "../lab/unix-http.js";

const program = join(repositoryRoot, "bin", "pontoon");
const resolvConf = "nameserver 10.77.0.2\n";
const inDebian = "/usr/share/docker.io/contrib/dockerd-rootless.sh";
/** The machine's programs, for containers whose image has none. */
const machine = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/alternatives", repositoryRoot, process.execPath]
  .filter((path) => existsSync(path))
  .map((path) => `--volume=${path}:${path}:ro`);
/** What docs/operations.md tells to run pontoon in a container with; `--privileged` would do too, where all capabilities can be had. */
const asked = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"].map(
  (capability) => `--cap-add=${capability}`,
);
const unconfined = ["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"];

/** A dockerd beside the test host's own, reached through its socket. */
class OtherDockerd {
  constructor(
    private readonly host: DockerHost,
    private readonly socket: string,
  ) {}

  get address(): string {
    return `unix://${this.socket}`;
  }

  async docker(...args: string[]): Promise<string> {
    return (await this.host.exec(["docker", `--host=${this.address}`, ...args])).stdout.trim();
  }

  /** Waits until it answers, and gives it the image. */
  async ready(): Promise<void> {
    const isUp = async () =>
      (await requestUnix(this.host.path(this.socket), "/_ping", { timeoutMs: 1000 })).status === 200;
    await until(isUp, { timeoutMs: 60_000, what: `a dockerd answers at ${this.socket}` });
    const answer = await requestUnix(this.host.path(this.socket), "/images/create?fromSrc=-&repo=busybox&tag=latest", {
      method: "POST",
      body: await busyboxArchive(),
    });
    if (answer.status !== 200 || answer.body.includes('"error"')) throw new Error(`no image imported: ${answer.body}`);
  }

  async run(name: string, network: string): Promise<string> {
    await this.docker("run", "--detach", `--name=${name}`, `--network=${network}`, "busybox", "sleep", "1000000");
    return this.docker("inspect", "--format={{.State.Pid}}", name);
  }
}

async function hostWithUpstream(t: Test, dockerd: string[] = []): Promise<DockerHost> {
  const host = await DockerHost.start(t, { resolvConf, dockerd });
  const upstream = await (await host.outside()).dns();
  await upstream.answer("example.test", "A", "192.0.2.1");
  await host.network("n1");
  return host;
}

const pontoon = (host: DockerHost, ...args: string[]): Promise<CommandResult> =>
  host.exec([process.execPath, program, ...args], { reject: false });

/** Checks that a daemon, and `pontoon check`, refuse a dockerd in the same sentence. */
async function refuses(t: Test, host: DockerHost, address: string, says: RegExp): Promise<void> {
  const daemon = await pontoon(host, "daemon", "--run-dir=/run/elsewhere", `--docker=${address}`);
  t.equal(daemon.exitCode, 1);
  t.match(daemon.stderr, says);
  const check = await pontoon(host, "check", "--run-dir=/run/elsewhere", `--docker=${address}`);
  t.equal(check.exitCode, 1);
  const line = check.stdout.split("\n").find((text) => text.startsWith("problem")) ?? "";
  t.same(
    line.split(/\s{2,}/),
    ["problem", "docker", daemon.stderr.replace("pontoon: ", "").trim()],
    "check says the same",
  );
}

async function answers(container: Container): Promise<boolean> {
  return (await container.dig(await container.name())).answers[0]?.ttl === 5;
}

t.test("userns-remap: served as usual", async (t) => {
  const host = await hostWithUpstream(t, ["--userns-remap=default"]);
  const web = await host.container({ name: "web", networks: ["n1"] });
  const db = await host.container({ name: "db", options: ["--label=x"] });
  const parent = await host.container({ name: "parent", options: ["--link=db:database"] });
  t.match(
    (await host.exec(["cat", `/proc/${await web.pid()}/uid_map`])).stdout,
    /^\s*0\s+\d{5,}/,
    "its root is another user of the host",
  );
  const daemon = await host.pontoon();
  await daemon.answersIn(web);
  t.ok(await answers(web));
  t.same((await web.dig("example.test")).addresses, ["192.0.2.1"]);
  await db.rename("renamed");
  await db.restart();
  const hosts = async () =>
    (await parent.exec(["cat", "/etc/hosts"])).stdout.includes(`${await db.ip("bridge")}\tdatabase`);
  await until(hosts, { what: "the hosts file of a link is right" });
  t.match((await pontoon(host, "check")).stdout, /^ok +docker .*\(userns-remap\)$/m);
  await daemon.stop();
  t.equal((await web.dig("web")).answers[0]?.ttl, 600);
});

t.test("pontoon in a container of the dockerd it serves", async (t) => {
  const host = await hostWithUpstream(t);
  host.writeFile("/run/resolver/resolv.conf", resolvConf);
  await host.exec(["ln", "-sf", "/run/resolver/resolv.conf", "/etc/resolv.conf"]); // as many a host has it
  const web = await host.container({ name: "web", networks: ["n1"] });
  const start = (name: string, ...options: string[]) =>
    host.container({
      name,
      command: [process.execPath, program, "daemon"],
      options: [
        ...machine,
        ...asked,
        ...unconfined,
        "--volume=/run/docker.sock:/var/run/docker.sock",
        "--volume=/run/pontoon:/run/pontoon",
        ...options,
      ],
    });
  for (const [name, options, says] of [
    [
      "nopid",
      ["--network=host"],
      /^pontoon: the process behind unix:\/\/\/var\/run\/docker\.sock cannot be seen from here; .* --pid host\n$/,
    ],
    [
      "nonet",
      ["--pid=host"],
      /^pontoon: the dockerd at unix:\/\/\/var\/run\/docker\.sock lives in another network namespace; .* --network host\n$/,
    ],
  ] as const) {
    const refused = await start(name, ...options);
    await until(async () => !(await refused.inspect()).State.Running, { timeoutMs: 20_000, what: `${name} ends` });
    t.equal((await refused.inspect()).State.ExitCode, 1);
    t.match((await host.exec(["docker", "logs", name])).stderr, says, name);
  }

  const inside = await start("pontoon", "--network=host", "--pid=host");
  await until(() => answers(web), { timeoutMs: 30_000, what: "pontoon answers" });
  t.same(
    (await web.dig("example.test")).addresses,
    ["192.0.2.1"],
    "the host's upstreams are asked, not the container's",
  );
  t.match(
    (await host.exec(["docker", "exec", "pontoon", process.execPath, program, "check"])).stdout,
    /^ok +containers +left to Docker \(uses the host's network\): pontoon$[\s\S]*\nAll is well\.\n$/m,
  );
  const second = await host.exec(
    [
      "timeout",
      "5",
      process.execPath,
      program,
      "daemon",
      "--run-dir=/run/second",
      "--docker=unix:///var/run/docker.sock",
    ],
    { reject: false },
  );
  t.match(
    second.stdout,
    /"ALREADY_RUNNING".*another pontoon daemon follows/,
    "a second daemon on the host follows nothing",
  );
  host.writeFile("/run/resolver/resolv.conf", "nameserver 10.77.0.9\n");
  if (host.statesUpstreams) await web.restart();
  const follows = async () => (await pontoon(host, "status")).stdout.includes("10.77.0.9");
  await until(follows, { timeoutMs: 20_000, what: "the host's resolv.conf is followed" });

  await inside.kill();
  const processes = async () => (await host.exec(["ps", "-A", "-o", "args"])).stdout;
  await until(async () => !(await processes()).includes("pontoon-dns"), {
    what: "pontoon-dns ends with the container",
  });
  await until(async () => (await web.dig("web", "A", { timeoutMs: 300 })).answers[0]?.ttl === 600, {
    timeoutMs: 10_000,
    what: "Docker answers again",
  });
  await inside.start();
  await until(() => answers(web), { timeoutMs: 30_000, what: "pontoon answers again" });
  await inside.kill("SIGTERM");
  await until(async () => !(await inside.inspect()).State.Running, { timeoutMs: 20_000, what: "the container stops" });
  t.equal((await web.dig("web")).answers[0]?.ttl, 600, "stopped in good order it gives back at once");
});

t.test("a dockerd in a container is served from inside, and refused from outside", async (t) => {
  const host = await hostWithUpstream(t);
  const isUnified = existsSync("/sys/fs/cgroup/cgroup.controllers");
  if (host.major === 26 && isUnified)
    return void (await t.test(
      "its containers",
      { skip: "containerd 1.7 of Docker 26 ends its shim on cgroup v2 here, before pontoon comes into it" },
      () => undefined,
    ));
  const capabilities = [
    "CHOWN",
    "FOWNER",
    "SETPCAP",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
    "KILL",
    "SYS_NICE",
  ].map((name) => `--cap-add=${name}`);
  const inner = new OtherDockerd(host, "/run/inner/docker.sock");
  const outer = await host.container({
    name: "outer",
    networks: ["n1"],
    options: [
      ...machine,
      ...asked,
      ...capabilities,
      ...unconfined,
      "--security-opt=systempaths=unconfined",
      "--tmpfs=/var/lib/docker:exec",
      "--tmpfs=/run:exec",
      "--volume=/sys/fs/cgroup:/sys/fs/cgroup",
      "--volume=/run/inner:/run/inner",
    ],
    command: [
      "/usr/sbin/dockerd",
      `--host=${inner.address}`,
      "--host=unix:///var/run/docker.sock",
      "--storage-driver=vfs",
      "--log-level=warn",
      "--exec-opt=native.cgroupdriver=cgroupfs",
      `--cgroup-parent=/${host.name}/inner`,
    ],
  });
  await inner.ready();
  await inner.docker("network", "create", "deep");
  const pid = await inner.run("well", "deep");
  const within = (...argv: string[]) => host.exec(["docker", "exec", "outer", ...argv], { reject: false });
  const ask = async (name: string) =>
    (
      await within(
        "/usr/bin/nsenter",
        `--target=${pid}`,
        "--net",
        "/usr/bin/dig",
        "@127.0.0.11",
        "+noall",
        "+answer",
        "+tries=1",
        "+timeout=2",
        name,
      )
    ).stdout;
  t.match(await ask("well"), /^well\.\s+600\s/, "Docker itself");

  await refuses(
    t,
    host,
    inner.address,
    /^pontoon: the dockerd at unix:\/\/\/run\/inner\/docker\.sock runs in another container, with process ids of its own; run pontoon inside that container\n$/,
  );
  await host.docker("exec", "--detach", "outer", process.execPath, program, "daemon");
  await until(async () => /^well\.\s+5\s/.test(await ask("well")), {
    timeoutMs: 30_000,
    what: "pontoon answers inside",
  });
  t.match(await ask("example.test"), /192\.0\.2\.1/, "through the resolver of the container it runs in");

  const daemon = await host.pontoon();
  await daemon.answersIn(outer);
  t.ok(await answers(outer), "another pontoon outside serves the outer containers");
  t.match(await ask("well"), /^well\.\s+5\s/);
  t.match(await ask("example.test"), /192\.0\.2\.1/, "and is asked by the inner one");
  const check = await pontoon(host, "check");
  t.match(check.stdout, /\nAll is well\.\n$/, "what is inside is not taken for a leftover");
  const checkInside = await within(process.execPath, program, "check");
  t.match(checkInside.stdout, /\nAll is well\.\n$/, "nor what is outside");
  await daemon.stop();
  t.match(await ask("well"), /^well\.\s+5\s/);
});

const missing = ["rootlesskit", "slirp4netns", "newuidmap"]
  .filter((name) => !existsSync(`/usr/bin/${name}`))
  .concat(existsSync(inDebian) ? [] : [inDebian]);

t.test(
  "a rootless dockerd is served by a pontoon with root",
  { skip: missing.length > 0 && `not here: ${missing.join(", ")}` },
  async (t) => {
    const host = await hostWithUpstream(t);
    const user = 4242;
    const rootless = new OtherDockerd(host, `/run/user/${user}/docker.sock`);
    for (const file of ["subuid", "subgid"]) host.writeFile(`/etc/${file}`, "captain:200000:65536\n");
    const setUp = `
    printf 'captain:x:${user}:${user}::/opt/captain:/bin/sh\\n' >>/etc/passwd
    printf 'captain:x:${user}:\\n' >>/etc/group
    mkdir -p /run/user/${user} /opt/captain
    chown ${user}:${user} /run/user/${user} /opt/captain
    mknod -m 666 /run/tun c 10 200
    mount --bind /run/tun /dev/net/tun`;
    await host.exec(["sh", "-ec", setUp]);
    const environment = [
      "env",
      "-i",
      "HOME=/opt/captain",
      `XDG_RUNTIME_DIR=/run/user/${user}`,
      "PATH=/usr/bin:/usr/sbin:/bin:/sbin",
    ];
    const start = [
      "setpriv",
      `--reuid=${user}`,
      `--regid=${user}`,
      "--init-groups",
      ...environment,
      inDebian,
      "--storage-driver=vfs",
      "--log-level=warn",
    ];
    void host
      .exec(["sh", "-c", 'exec "$@" >/run/rootless.log 2>&1', "sh", ...start], { timeoutMs: 200_000, reject: false })
      .catch(() => undefined); // ends with the host
    await rootless.ready();
    await rootless.docker("network", "create", "n2");
    const pid = await rootless.run("raft", "n2");
    const ask = async (name: string) =>
      (
        await host.exec(
          [
            "nsenter",
            `--target=${pid}`,
            "--net",
            "dig",
            "@127.0.0.11",
            "+noall",
            "+answer",
            "+tries=1",
            "+timeout=4",
            name,
          ],
          { reject: false },
        )
      ).stdout;
    t.match(await ask("raft"), /^raft\.\s+600\s/, "Docker itself");

    const daemon = await host.pontoon({ args: [`--docker=${rootless.address}`] });
    await until(async () => /^raft\.\s+5\s/.test(await ask("raft")), { timeoutMs: 20_000, what: "pontoon answers" });
    t.match(await ask("example.test"), /192\.0\.2\.1/, "the host's upstreams are asked");
    t.match(
      (await pontoon(host, "check")).stdout,
      /^ok +docker .*\/run\/user\/4242\/docker\.sock, pid \d+ \(rootless\)$[\s\S]*All is well/m,
    );
    await daemon.stop();
    t.match(await ask("raft"), /^raft\.\s+600\s/);
  },
);

t.test("a dockerd on another machine is refused", async (t) => {
  const host = await DockerHost.start(t);
  await refuses(
    t,
    host,
    "tcp://192.0.2.9:2375",
    /^pontoon: the dockerd at tcp:\/\/192\.0\.2\.9:2375 is on another machine; run pontoon where its containers are\n$/,
  );
});
