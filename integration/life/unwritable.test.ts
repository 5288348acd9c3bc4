import { readdirSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { DockerHost } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

const daemon = [process.execPath, join(repositoryRoot, "bin", "pontoon"), "daemon"];

t.test("a run directory nothing can be written in is told, with what to do, and nothing was begun", async (t) => {
  const host = await DockerHost.start(t);
  await host.exec(["sh", "-c", "mkdir /run/ro; mount -t tmpfs -o ro,mode=755 none /run/ro"]);
  for (const folder of ["/run/ro", "/run/ro/below"]) {
    const { exitCode, stderr, stdout } = await host.exec([...daemon, `--run-dir=${folder}`], { reject: false });
    t.equal(exitCode, 1);
    t.match(
      stderr,
      `pontoon: --run-dir ${folder}: it is on a read-only file system (EROFS); permit writing there, or choose another folder\n`,
    );
    t.equal(stdout, "");
    t.match(
      (await host.exec(["sh", "-c", `${daemon.slice(0, 2).join(" ")} check --run-dir=${folder}`], { reject: false }))
        .stdout,
      /problem +run folder +\S+ is on a read-only file system \(EROFS\): no daemon can start/,
    );
  }
  t.same(
    readdirSync(host.path("/run")).filter((name) => /^pontoon.*lock$/.test(name)),
    [],
  );
});

for (const [name, mount, code] of [
  ["read-only", "mount -t tmpfs -o ro,mode=755 none /var/lib/pontoon", "EROFS"],
  [
    "full",
    "mount -t tmpfs -o size=64k,mode=755 none /var/lib/pontoon; head -c 64k /dev/zero >/var/lib/pontoon/ballast",
    "ENOSPC",
  ],
] as const)
  t.test(`a ${name} state directory is told at the start, and names are answered all the same`, async (t) => {
    const host = await DockerHost.start(t);
    await host.network("n1");
    const web = await host.container({ name: "web", networks: ["n1"] });
    await host.exec(["sh", "-c", `mkdir -p /var/lib/pontoon; ${mount}`]);
    const pontoon = await host.pontoon();
    await pontoon.answersIn(web);
    t.match(
      pontoon.logs.find((line) => line.includes("STORE_UNWRITABLE")),
      new RegExp(`"level":50.*${code}.*give another --state-dir.*"msg":"what is published cannot be remembered`),
    );
    t.match(
      (await pontoon.cli("check")).stdout,
      new RegExp(`warning +state folder +/var/lib/pontoon is on a \\S+ file system \\(${code}\\)`),
    );
    t.match(await pontoon.cli("publish", "web", "8080:80"), { exitCode: 1, stderr: new RegExp(code) });
    t.equal(await pontoon.stop(), 0);
  });

t.test("a full run directory is told, and names are answered", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  await host.exec([
    "sh",
    "-c",
    "mkdir -p /run/pontoon; mount -t tmpfs -o size=64k,mode=755 none /run/pontoon; head -c 64k /dev/zero >/run/pontoon/ballast",
  ]);
  const pontoon = await host.pontoon();
  t.match(
    pontoon.logs.find((line) => line.includes("make room in the run directory")),
    /"level":40.*ENOSPC/,
  );
  await pontoon.answersIn(web);
  t.equal((await web.dig("web")).answers[0]?.ttl, 5);
  t.equal(await pontoon.stop(), 0);
  t.equal((await web.dig("web")).answers[0]?.ttl, 600);
});

t.test("a run directory that has become read-only does not keep the daemon from giving everything back", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon();
  await pontoon.answersIn(web);
  await host.exec(["sh", "-c", "mount --bind /run/pontoon /run/pontoon; mount -o remount,bind,ro /run/pontoon"]);
  t.equal(await pontoon.stop(), 0);
  t.ok(pontoon.logs.some((line) => /"level":40.*EROFS.*could not be removed/.test(line)));
  t.equal((await web.dig("web")).answers[0]?.ttl, 600);
  await host.exec(["umount", "/run/pontoon"]);
  const next = await host.pontoon();
  await next.answersIn(web);
  t.equal(await next.stop(), 0);
});

t.test("a store that cannot be read is told, and names are answered all the same", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  host.writeFile("/var/lib/pontoon/store.mdb", "garbage");
  const pontoon = await host.pontoon();
  await pontoon.answersIn(web);
  t.match(
    pontoon.logs.find((line) => line.includes("STORE_UNREADABLE")),
    /"level":50.*store\.mdb is cut off.*move the file away/,
  );
  t.match(await pontoon.cli("publish", "web", "8080:80"), { exitCode: 1, stderr: /^pontoon: .*store\.mdb is cut off/ });
  t.equal(await pontoon.stop(), 0);
});
