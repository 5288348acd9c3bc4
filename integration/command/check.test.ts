import { join } from "node:path";
import t from "tap";
import { DockerHost, until, type Container, type Pontoon } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

interface Report {
  readonly code: number;
  readonly text: string;
  readonly findings: readonly { level: "ok" | "warning" | "problem"; subject: string; text: string; remedy?: string }[];
}

const program = [process.execPath, join(repositoryRoot, "bin", "pontoon"), "check"];

/** Runs `pontoon check` for people and for programs; both must end alike. */
async function check(host: DockerHost, options: { args?: string[]; before?: string[] } = {}): Promise<Report> {
  const run = (...more: string[]) =>
    host.exec([...(options.before ?? []), ...program, ...(options.args ?? []), ...more], { reject: false });
  const people = await run();
  const programs = await run("--json");
  const { well, findings } = JSON.parse(programs.stdout) as { well: boolean; findings: Report["findings"] };
  if (people.exitCode !== (well ? 0 : 1) || programs.exitCode !== people.exitCode)
    throw new Error(`exit codes ${people.exitCode} and ${programs.exitCode}, but well is ${well}`);
  if (people.stderr !== "" || programs.stderr !== "") throw new Error(`on stderr: ${people.stderr}${programs.stderr}`);
  return { code: people.exitCode, text: people.stdout, findings };
}

/** Findings that are not ok, as `level subject: text`. */
function worries({ findings }: Report): string[] {
  return findings
    .filter(({ level }) => level !== "ok")
    .map(({ level, subject, text }) => `${level} ${subject}: ${text}`);
}

/** Starts a program that holds UDP port 53, on the host or in a container's network namespace. It ends with the host. */
function listen(host: DockerHost, ip: string, netns?: Container): void {
  const program = [process.execPath, "--eval", `require("node:dgram").createSocket("udp4").bind(53, "${ip}")`];
  void host.exec(program, { timeoutMs: 200_000, reject: false, ...(netns && { netns }) }).catch(() => undefined);
}

async function serverPid(pontoon: Pontoon): Promise<number> {
  return ((await pontoon.status()) as { dns: { pid: number } }).dns.pid;
}

t.test("a host on which all is well, and containers that are left to Docker", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  await host.container({ name: "plain" });
  await host.container({ name: "off", networks: ["n1"], options: ["--label", "pontoon.dns=off"] });

  const before = await check(host);
  t.same(worries(before), ["warning daemon: no pontoon daemon runs with /run/pontoon: Docker's resolver answers"]);
  t.match(before.text, /^ok +kernel +Linux .*pidfd.*nftables.*takeover in a namespace$/m);
  t.match(before.text, /^ok +containers +pontoon would answer them: web$/m);
  t.match(before.text, /Nothing stops pontoon from working; 1 warning\.\n$/);

  const pontoon = await host.pontoon();
  await pontoon.answersIn(web);
  const during = await check(host);
  t.same(worries(during), []);
  t.equal(during.code, 0);
  t.match(during.text, new RegExp(`^ok +daemon +pontoon \\S+, pid ${pontoon.pid}$`, "m"));
  t.match(during.text, new RegExp(`^ok +pontoon-dns +running, pid ${await serverPid(pontoon)}$`, "m"));
  t.match(during.text, `ok       docker       Docker ${host.version} at unix:///run/docker.sock, pid `);
  t.match(during.text, /^ok +containers +1 answered by pontoon$/m);
  t.match(during.text, /^ok +containers +left to Docker \(label pontoon\.dns=off\): off$/m);
  t.match(during.text, /^ok +containers +left to Docker \(on no user-defined network\): plain$/m);
  t.match(during.text, /^ok +leftovers +none$/m);
  t.match(during.text, /\n\nAll is well\.\n$/);
  t.same((await web.dig("web")).answers[0]?.ttl, 5, "looking has changed nothing");
  await pontoon.stop();

  const observing = await host.pontoon({ args: ["--observe"] });
  const observed = await check(host);
  t.same(worries(observed), []);
  t.match(observed.text, /only observing[\s\S]*would be answered by pontoon: web/);
  await observing.stop();
});

t.test("what holds port 53, and rules that redirect it", async (t) => {
  const host = await DockerHost.start(t, {
    dockerd: ["--iptables=false", "--userland-proxy=false"],
    liveRestore: true,
  });
  await host.network("n1");
  await host.container({ name: "own", networks: ["n1"], command: ["nc", "-l", "-p", "53"] });
  const clash = await host.container({ name: "clash", networks: ["n1"] });
  listen(host, "127.0.0.53");
  listen(host, "127.0.0.11", clash);
  const mesh = await host.container({ name: "mesh", networks: ["n1"] });
  const redirect =
    "add table ip mesh; add chain ip mesh out { type nat hook output priority -150; }; add rule ip mesh out udp dport 53 redirect to :15053";
  await host.exec(["nft", redirect], { netns: mesh });
  const held = async () =>
    (await check(host)).text.split("\n").filter((line) => line.includes(" listens at ")).length === 3;
  await until(held, { timeoutMs: 20_000, what: "every program listens" });

  const looks = async () => {
    const report = await check(host);
    t.match(report.text, /^ok +docker .*\(live-restore, iptables off, userland proxy off\)$/m);
    t.match(
      report.text,
      /^ok +port 53 +the host: node \(pid \d+\) listens at udp 127\.0\.0\.53; pontoon does not need it$/m,
    );
    t.match(report.text, /^ok +port 53 +own: nc \(pid \d+\) listens at tcp \[::\]; 127\.0\.0\.11 is not affected$/m);
    t.match(
      report.text,
      /^warning +port 53 +clash: node \(pid \d+\) listens at udp 127\.0\.0\.11; no question reaches it/m,
    );
    t.match(
      report.text,
      /^warning +containers +mesh: the container redirects DNS with rules of its own \(udp dport 53 redirect to :15053\)/m,
    );
    t.equal(report.code, 0);
    return report;
  };
  await looks();
  const pontoon = await host.pontoon();
  await looks();
  await host.exec(["nft", redirect]);
  t.match(
    (await looks()).text,
    /^warning +port 53 +a rule of the host redirects DNS \(udp dport 53 redirect to :15053\)/m,
  );
  await pontoon.stop();
});

t.test("what a daemon that was killed leaves is named, lapses, and can be removed", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const first = await host.pontoon();
  await first.answersIn(web);
  const server = await serverPid(first);
  await first.kill();
  const orphaned = worries(await check(host));
  t.matchOnly(orphaned, [
    /no pontoon daemon runs/,
    new RegExp(`leftovers: pontoon-dns \\(pid ${server}\\) goes on without a daemon`),
    /files of a daemon that has ended: \/run\/pontoon\/control\.sock, \/run\/pontoon\/plugin\.sock, \/run\/pontoon-[0-9a-f]{8}\.lock, \/run\/pontoon-[0-9a-f]{8}\.lock$/,
  ]);
  t.equal((await web.dig("web")).answers[0]?.ttl, 5, "the server was not disturbed");

  const second = await host.pontoon();
  t.equal(await serverPid(second), server, "and is adopted");
  t.same(worries(await check(host)), []);
  await second.killEverything();
  const killed = await check(host);
  t.matchOnly(worries(killed), [
    /no pontoon daemon runs/,
    /leftovers: table pontoon in web/,
    /leftovers: files of a daemon that has ended: .*control\.sock, .*plugin\.sock, .*dns\.sock, .*proxy\.sock, .*proxy-control\.sock, .*dns\.pid, .*dns\.log, .*proxy\.pid, .*proxy\.log, .*\.lock$/,
  ]);
  t.equal(killed.code, 0);
  const lapsed = async () =>
    worries(await check(host)).some((line) => line.endsWith("table pontoon in web, without effect"));
  await until(lapsed, { timeoutMs: 15_000, what: "the takeover lapses" });

  const repair = await host.exec([...program, "--repair"]);
  t.match(repair.stdout, /^removed +table pontoon in web$[\s\S]*^removed +\/run\/pontoon\/dns\.sock$/m);
  t.match((await check(host)).text, /^ok +leftovers +none$/m);
  t.notMatch((await host.exec(["nft", "list", "tables"], { netns: web })).stdout, /pontoon/);
  t.equal((await host.exec(["sh", "-c", "ls /run/pontoon; ls /run | grep lock$ || true"])).stdout, "");
  const third = await host.pontoon();
  await third.answersIn(web);
  const used = await host.exec([...program, "--repair"]);
  t.notMatch(used.stdout, /removed/, "what is in use is not removed");
  t.equal((await web.dig("web")).answers[0]?.ttl, 5);
  await third.stop();
});

t.test("what stops pontoon is told, and ends with 1", async (t) => {
  const host = await DockerHost.start(t);
  const broken = await check(host, { before: ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"] });
  t.match(
    worries(broken)[0],
    /^problem kernel: nftables does not work here \(.*EPERM\); load the kernel modules nfnetlink and nf_tables, or run as root with CAP_NET_ADMIN$/,
  );
  t.equal(broken.code, 1);

  host.writeFile("/etc/pontoon/pontoon.yaml", "dns:\n  tll: 3\n");
  t.match(worries(await check(host))[0], /^problem configuration: .*unknown key dns\.tll/);
  host.writeFile("/etc/pontoon/pontoon.yaml", "");

  t.match(
    worries(await check(host, { args: ["--docker=unix:///run/none.sock"] }))[0],
    /^problem docker: no dockerd answers at unix:\/\/\/run\/none\.sock \(ENOENT\)$/,
  );
  const pontoon = await host.pontoon();
  await host.stopDockerd();
  const waits = async () =>
    worries(await check(host)).some((line) => line.startsWith("warning daemon: it is waiting for dockerd"));
  await until(waits, { what: "the daemon waits for dockerd" });
  const report = await check(host);
  t.match(report.text, /^problem +docker +no dockerd answers at \S+ \(\w+\); start it, or give --docker$/m);
  t.equal(report.code, 1);
  await pontoon.stop();
});

t.test("without root it says what it could not see", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  // It may read every file, for the repository may be below a home that is closed to others, and no more.
  const asUser = [
    "setpriv",
    "--reuid=1000",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
  ];
  const report = await check(host, { before: asUser });
  t.same(
    report.findings.filter(({ remedy }) => remedy === "run pontoon check with sudo").map(({ subject }) => subject),
    ["kernel", "docker", "daemon", "containers", "port 53", "leftovers"],
  );
  t.equal(report.code, 0);
  const refused = await host.exec([...asUser, ...program, "--repair"], { reject: false });
  t.equal(refused.exitCode, 1);
  t.match(refused.stderr, /^pontoon: pontoon check --repair .* needs root; run it with sudo\n$/);
  await pontoon.stop();
});
