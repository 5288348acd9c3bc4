import { readFileSync, statSync } from "node:fs";
import t from "tap";
import { DockerHost, until, type Container } from "../lab/index.js";

/** A container's hosts file as the host sees it. */
class HostsFile {
  readonly path: string;
  constructor(host: DockerHost, { id }: Container) {
    this.path = host.path(`/var/lib/docker/containers/${id}/hosts`);
  }

  get text(): string {
    return readFileSync(this.path, "utf8");
  }

  get stat(): { ino: number; mtimeMs: number } {
    const { ino, mtimeMs } = statSync(this.path);
    return { ino, mtimeMs };
  }

  async becomes(text: string): Promise<void> {
    await until(() => this.text === text, { what: `the hosts file is ${JSON.stringify(text)}` }).catch(
      (error: unknown) => {
        throw new Error(`it is ${JSON.stringify(this.text)}`, { cause: error });
      },
    );
  }
}

const short = ({ id }: Container) => id.slice(0, 12);

t.test("the hosts files of linked containers", async (t) => {
  const host = await DockerHost.start(t, { liveRestore: true });
  await host.network("n1", { subnet: "172.30.0.0/24" });
  await host.network("n2", { subnet: "172.31.0.0/24" });
  const child = await host.container({ name: "child" });
  const steady = await host.container({ name: "steady", options: ["--hostname=rock"] });
  const early = await host.container({ name: "early", options: ["--link=child:db"] });
  await child.rename("kid");
  const parent = await host.container({
    name: "parent",
    options: ["--link=kid:db", "--link=steady", "--add-host=extra:9.9.9.9", "--add-host=db:9.9.9.8"],
  });
  const file = new HostsFile(host, parent);
  const earlyFile = new HostsFile(host, early);
  const started = file.stat;
  const original = file.text;
  const { ino } = started;
  const beforeRename = earlyFile.text;
  let dbLine = `${await child.ip("bridge")}\tdb ${short(child)} kid\n`;
  t.ok(original.includes(dbLine), "Docker's line is as expected");
  const pontoon = await host.pontoon();
  const sawEverything = async () => {
    const marker = await host.container();
    const name = await marker.name();
    await pontoon.waitUntil((status) => JSON.stringify(status).includes(name));
    await marker.remove();
  };
  const expected = (line: string) => original.replace(dbLine, line);

  await t.test("one whose child was renamed before the daemon came is made right", () =>
    earlyFile.becomes(beforeRename.replace(`${short(child)} child`, `${short(child)} kid`)),
  );

  await t.test("one that is right is not written", async (t) => {
    await sawEverything();
    t.same(file.stat, started);
    t.equal(file.text, original);
  });

  await t.test("a renamed child is found under its new name", async (t) => {
    await child.rename("db");
    await file.becomes(expected(`${await child.ip("bridge")}\tdb ${short(child)}\n`));
    await child.rename("kiddo");
    await file.becomes(expected(`${await child.ip("bridge")}\tdb ${short(child)} kiddo\n`));
    t.match((await parent.exec(["cat", "/etc/hosts"])).stdout, "kiddo", "the container sees it");
    t.equal(file.stat.ino, ino);
  });

  await t.test("Docker's own edit goes on with our line", async (t) => {
    await child.stop();
    await host.container({ name: "filler" }); // takes the address
    await child.start();
    const moved = await child.ip("bridge");
    t.not(moved, dbLine.split("\t")[0]);
    // Docker's edit goes by the alias alone, and so takes the --add-host line along.
    await file.becomes(expected(`${moved}\tdb ${short(child)} kiddo\n`).replace("9.9.9.8", moved));
    t.equal(file.stat.ino, ino);
  });

  await t.test("a child that left the bridge and came back with another address", async (t) => {
    let docker = file.text;
    const before = await child.ip("bridge");
    dbLine = `${before}\tdb ${short(child)} kiddo\n`;
    await host.docker("network", "connect", "n1", "kiddo");
    await host.docker("network", "disconnect", "bridge", "kiddo");
    await host.container({ name: "filler2" });
    await host.docker("network", "connect", "bridge", "kiddo");
    const moved = await child.ip("bridge");
    t.not(moved, before);
    // Docker 28 edits the file here as well, and takes the --add-host line along again.
    if (host.major >= 28) docker = docker.replace(`${before}\tdb\n`, `${moved}\tdb\n`);
    await file.becomes(docker.replace(dbLine, `${moved}\tdb ${short(child)} kiddo\n`));
  });

  await t.test("own lines that Docker removed with those of another network come back", async (t) => {
    const before = file.text;
    const ownLine = `${await parent.ip("bridge")}\t${short(parent)}\n`;
    await host.docker("network", "connect", "n1", "parent");
    await host.docker("network", "connect", "n2", "parent");
    const kept = `${await parent.ip("n2")}\t${short(parent)}\n`;
    await host.docker("network", "disconnect", "n1", "parent");
    await file.becomes(before.replace(ownLine, "") + ownLine + kept);
    await host.docker("network", "disconnect", "n2", "parent");
    await file.becomes(before.replace(ownLine, "") + ownLine);
    t.equal(file.stat.ino, ino);
  });

  await t.test("nothing is written for a child that is stopped, nor against docker rm --link", async (t) => {
    const before = file.text;
    const line = `${await steady.ip("bridge")}\tsteady rock\n`;
    t.ok(before.includes(line));
    await steady.stop();
    await steady.rename("pebble");
    await sawEverything();
    t.equal(file.text, before);
    await steady.start();
    await file.becomes(before.replace(line, `${await steady.ip("bridge")}\tsteady rock pebble\n`));
    await host.docker("rm", "--link", "/parent/steady");
    await steady.rename("stone");
    await sawEverything();
    t.notMatch(file.text, "rock");
    // Docker 28 writes the file anew, without any link.
    if (host.major < 28) t.match(file.text, `db ${short(child)} kiddo\n`);
  });

  await t.test("a dockerd that was restarted has forgotten the link; its line is kept right", async (t) => {
    await host.restartDockerd();
    t.same(
      ((await host.engine.get(`/containers/${early.id}/json`)) as { HostConfig: { Links: unknown } }).HostConfig.Links,
      null,
    );
    const before = earlyFile.text;
    const old = await child.ip("bridge");
    await child.stop();
    await host.container({ name: "filler3" });
    await child.start();
    const moved = await child.ip("bridge");
    t.not(moved, old);
    await earlyFile.becomes(before.replace(`${old}\tdb`, `${moved}\tdb`));
  });

  await t.test("the line of a child that is gone is left to Docker", async (t) => {
    const before = earlyFile.stat;
    await child.remove();
    await host.container({ name: "kiddo" });
    await sawEverything();
    t.same(earlyFile.stat, before);
  });

  t.equal(await pontoon.stop(), 0);
});

t.test("with IPv6, and with a hosts file of the user's own", async (t) => {
  const host = await DockerHost.start(t, { dockerd: ["--ipv6", "--fixed-cidr-v6=fd00:17::/64"] });
  const child = await host.container({ name: "child" });
  const parent = await host.container({ name: "parent", options: ["--link=child:db", "--read-only"] });
  host.writeFile("/opt/hosts", `172.17.0.2\tdb ${short(child)} child\n`);
  const mounted = await host.container({ name: "mounted", options: ["--link=child:db", "-v=/opt/hosts:/etc/hosts"] });
  const file = new HostsFile(host, parent);
  const lines = async (name: string) =>
    `${await child.ip("bridge")}\tdb ${short(child)} ${name}\n${await child.ip6("bridge")}\tdb ${short(child)} ${name}\n`;
  const original = file.text;
  const before = await lines("child");
  t.ok(original.includes(before));
  await host.pontoon();
  await child.rename("kid");
  await file.becomes(original.replace(before, await lines("kid")));
  await child.stop();
  await host.container({ name: "filler" });
  await child.start(); // Docker writes the IPv4 address into both lines
  await file.becomes(original.replace(before, await lines("kid")));
  t.equal(readFileSync(host.path("/opt/hosts"), "utf8"), `172.17.0.2\tdb ${short(child)} child\n`);
  t.match((await mounted.exec(["cat", "/etc/hosts"])).stdout, "child");
});
