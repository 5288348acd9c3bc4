import t from "tap";
import { DockerHost } from "./host/index.js";

interface Thread {
  readonly uid: string[];
  readonly groups: string;
  readonly fields: Record<string, string>;
}

/** /proc/<pid>/task/<tid>/status of every thread. */
async function threadsOf(host: DockerHost, pid: number): Promise<Thread[]> {
  const { stdout } = await host.exec(["sh", "-c", `cat /proc/${pid}/task/*/status`]);
  return stdout.split(/^(?=Name:)/m).map((text) => {
    const fields = Object.fromEntries(text.trim().split("\n").map((line) => line.split(/:\s*/, 2) as [string, string]));
    return { uid: fields.Uid!.split(/\s+/), groups: fields.Groups ?? "", fields };
  });
}

t.test("pontoon-dns has no privilege on any thread", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  const { dns } = (await pontoon.status()) as { dns: { pid: number } };
  const threads = await threadsOf(host, dns.pid);
  t.ok(threads.length > 4, `Node runs ${threads.length} threads`);
  for (const { uid, groups, fields } of threads) {
    t.same(new Set(uid), new Set(["28782"]), "a user of its own");
    t.equal(groups.trim(), "", "no other groups");
    for (const set of ["CapEff", "CapPrm", "CapBnd", "CapAmb"]) t.match(fields[set], /^0+$/, `${set} is empty`);
    t.equal(fields.NoNewPrivs, "1");
    t.equal(fields.Seccomp, "2", "a seccomp filter");
  }
  const session = await host.exec(["ps", "-o", "sid=,pgid=", "-p", String(dns.pid)]);
  t.match(session.stdout.trim().split(/\s+/), [String(dns.pid), String(dns.pid)], "a session of its own");
  await pontoon.stop();
});
