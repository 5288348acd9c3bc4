// The program that dockerd starts, and what it alone promises beyond the contract.
import { closeSync, copyFileSync, existsSync, linkSync, mkdirSync, openSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import t from "tap";
import { testContract } from "./suites/docker-proxy-contract.js";
import {
  arguments20,
  dockerProxyIsFixed,
  fakeDockerProxy,
  folderOf,
  freePort,
  loopback,
  openFiles,
  PontoonProxy,
  privateMemory,
  program,
  Proxy,
} from "./suites/docker-proxy-player.js";

testContract(t, [program]);

t.test("its memory is counted in pages, and SIGTERM from anybody but its parent ends it", async (t) => {
  const folder = folderOf(t);
  await PontoonProxy.start(t, folder);
  // Beside another, so that what they share is not counted as anybody's own.
  const [proxy] = [
    new Proxy(t, { folder, args: arguments20("tcp", [loopback, await freePort()], [loopback, 9]) }),
    new Proxy(t, { folder, args: arguments20("tcp", [loopback, await freePort()], [loopback, 9]) }),
  ] as const;
  t.equal(await proxy.verdict(), "0\n");
  t.equal(proxy.executable, program);
  t.ok(privateMemory(proxy.pid) <= 64, `${privateMemory(proxy.pid)} kB of its own`);
  await execa("kill", ["-TERM", String(proxy.pid)]);
  t.equal(await proxy.end(), 0);
});

t.test("descriptors that came along by accident are closed", async (t) => {
  const folder = folderOf(t);
  await PontoonProxy.start(t, folder);
  const extra = openSync("/etc/passwd", "r");
  const port = await freePort();
  const proxy = new Proxy(t, {
    folder,
    args: arguments20("tcp", [loopback, port], [loopback, 9]),
    descriptors: [extra, extra, extra, extra, extra, extra, extra],
  });
  t.equal(await proxy.verdict(), "0\n");
  t.notOk([...openFiles(proxy.pid).values()].includes("/etc/passwd"));
  closeSync(extra);
});

t.test(
  "it never takes itself for Docker's own",
  { skip: dockerProxyIsFixed() && "Docker's docker-proxy is not on PATH alone" },
  async (t) => {
    const folder = folderOf(t);
    const folders = ["link", "hard", "copy", "other-copy", "real"].map((name) => join(folder, name));
    folders.forEach((name) => mkdirSync(name));
    const [link, hard, copy, otherCopy, real] = folders.map((name) => join(name, "docker-proxy"));
    symlinkSync(program, link!);
    try {
      linkSync(program, hard!);
    } catch {
      symlinkSync(program, hard!); // the clone is on another file system
    }
    copyFileSync(program, copy!);
    copyFileSync(program, otherCopy!);
    const args = arguments20("tcp", [loopback, 80], [loopback, 80]);
    const refused = new Proxy(t, { folder, args, env: { PATH: folders.join(":") } });
    t.match(
      await refused.verdict(),
      /^1\npontoon-proxy does not answer at .*proxy\.sock, and Docker's own docker-proxy was not found; start pontoon/,
    );
    t.equal(await refused.end(), 1);
    fakeDockerProxy(folders[4]!);
    t.ok(existsSync(real!));
    t.match(
      await new Proxy(t, { folder, args, env: { PATH: `${folders.join(":")}:/usr/bin:/bin` } }).verdict(),
      /^1\nfake /,
    );
  },
);
