import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import t, { type Test } from "tap";
import { DockerHost, until } from "../lab/index.js";

interface Thread {
  readonly uid: string[];
  readonly gid: string[];
  readonly groups: string;
  readonly fields: Record<string, string>;
}

/** /proc/<pid>/task/<tid>/status of every thread. */
function threadsOf(host: DockerHost, pid: number): Thread[] {
  const folder = host.path(`/proc/${pid}/task`);
  return readdirSync(folder).map((thread) => {
    const text = readFileSync(`${folder}/${thread}/status`, "utf8");
    const fields = Object.fromEntries(
      text
        .trim()
        .split("\n")
        .map((line) => line.split(/:\s*/, 2) as [string, string]),
    );
    return { uid: fields.Uid!.split(/\s+/), gid: fields.Gid!.split(/\s+/), groups: fields.Groups ?? "", fields };
  });
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

/** The bulk workers of a pontoon-proxy, whose name they bear with an ending. */
function bulkWorkersOf(host: DockerHost): number[] {
  const pids = readdirSync(host.path("/proc")).filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return readFileSync(host.path(`/proc/${pid}/cmdline`), "utf8").startsWith("pontoon-proxy-bulk\0");
    } catch {
      return false; // it has just ended
    }
  });
}

async function hasNoPrivilege(t: Test, host: DockerHost, pid: number, user: number): Promise<void> {
  const threads = threadsOf(host, pid);
  t.ok(threads.length > 4, `Node runs ${threads.length} threads`);
  for (const { uid, gid, groups, fields } of threads) {
    t.same(new Set(uid), new Set([String(user)]), "a user of its own");
    t.same(new Set(gid), new Set([String(user)]), "a group of its own");
    t.equal(groups.trim(), "", "no other groups");
    for (const set of ["CapEff", "CapPrm", "CapBnd", "CapAmb"]) t.match(fields[set], /^0+$/, `${set} is empty`);
    t.equal(fields.NoNewPrivs, "1");
    t.equal(fields.Seccomp, "2", "a seccomp filter");
    t.equal(fields.Seccomp_filters, "2", "its own, and the one against io_uring that it was started with");
  }
  t.match(
    readFileSync(host.path(`/proc/${pid}/limits`), "utf8"),
    /Max file size +1048576 +1048576/,
    "it cannot fill /run with its log",
  );
  const descriptors = readdirSync(host.path(`/proc/${pid}/fd`)).map((fd) => linkOf(host.path(`/proc/${pid}/fd/${fd}`)));
  t.notOk(
    descriptors.includes("anon_inode:[io_uring]"),
    "no ring, which would act with the privileges it was made with",
  );
  const session = await host.exec(["ps", "-o", "sid=,pgid=", "-p", String(pid)]);
  t.match(session.stdout.trim().split(/\s+/), { length: 2, 0: String(pid), 1: String(pid) }, "a session of its own");
}

t.test("no server has a privilege on any thread", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  const { dns, ports } = (await pontoon.status()) as Record<"dns" | "ports", { pid: number }>;
  await t.test("pontoon-dns", (t) => hasNoPrivilege(t, host, dns.pid, 28782));
  await t.test("pontoon-proxy", (t) => hasNoPrivilege(t, host, ports.pid, 28783));
  await t.test("a bulk worker that pontoon-proxy has started, and one of the daemon's", async (t) => {
    const ready = async (what: string, isMeant: (pid: number) => boolean) => {
      const areReady = (pids: number[]) =>
        pids.length > 0 &&
        pids.every((pid) => threadsOf(host, pid).every(({ fields }) => fields.Seccomp_filters === "2"));
      const found = () => bulkWorkersOf(host).filter(isMeant);
      await until(() => areReady(found()), { what, timeoutMs: 20_000 });
      return found();
    };
    const workers = await ready("there are some, and they are ready", () => true);
    for (const pid of workers) await hasNoPrivilege(t, host, pid, 28783);
    await host.signal("SIGKILL", ...workers);
    const later = await ready("there are others", (pid) => !workers.includes(pid));
    t.equal(later.length, workers.length);
    for (const pid of later) await hasNoPrivilege(t, host, pid, 28783);
  });
  await pontoon.stop();
  await until(() => bulkWorkersOf(host).length === 0, { what: "all end with the daemon", timeoutMs: 20_000 });
});
