import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { container } from "../inventory/testing/containers.js";
import type { Container } from "../inventory/types.js";
import { chooseUpstreams, sandboxUpstreams, Upstreams, type DaemonDns, type ForwardFrom } from "./upstreams.js";

const shown = (list: readonly { ip: string; from: string }[]) =>
  list.map(({ ip, from }) => (from === "host" ? `host(${ip})` : ip));

t.test("servers are chosen, and asked from where, as each version of Docker does", (t) => {
  const host = ["10.0.0.2", "127.0.0.53", "2001:db8::1"];
  const cases: [
    what: string,
    container: string[],
    daemon: string[],
    hostFile: string[],
    major: number,
    expected: string[],
  ][] = [
    ["20.10, host's file", [], [], host, 20, ["10.0.0.2", "host(127.0.0.53)"]],
    ["24, host's file", [], [], host, 24, ["10.0.0.2", "host(127.0.0.53)"]],
    ["26, host's file", [], [], host, 26, ["10.0.0.2", "host(127.0.0.53)", "host(2001:db8::1)"]],
    ["28, host's file", [], [], host, 28, ["host(10.0.0.2)", "host(127.0.0.53)", "host(2001:db8::1)"]],
    ["20.10, nobody in the host's file", [], [], [], 20, ["8.8.8.8", "8.8.4.4"]],
    ["20.10, only IPv6 in the host's file", [], [], ["2001:db8::1"], 20, ["8.8.8.8", "8.8.4.4"]],
    ["28, nobody in the host's file", [], [], [], 28, []],
    ["the container's own", ["127.0.0.1", "2001:db8::9"], ["10.9.9.9"], host, 28, ["127.0.0.1", "2001:db8::9"]],
    ["dockerd's own", [], ["10.9.9.9"], host, 20, ["10.9.9.9"]],
    ["26, a server on a link", [], [], ["fe80::1%3", "10.0.0.2"], 26, ["host(fe80::1%3)", "10.0.0.2"]],
    ["25, a server on a link", [], [], ["fe80::1%3", "10.0.0.2"], 25, ["10.0.0.2"]],
  ];
  for (const [what, container, daemon, hostFile, major, expected] of cases)
    t.same(
      shown(chooseUpstreams(container, daemon, hostFile, { engineMajor: major, forwardFrom: "docker" })),
      expected,
      what,
    );
  t.end();
});

t.test("forward-from overrides Docker's rule, but a loopback address stays where it was meant", (t) => {
  const host = ["10.0.0.2", "127.0.0.53", "::1", "2001:db8::1"];
  const cases: [forwardFrom: ForwardFrom, container: string[], major: number, expected: string[]][] = [
    ["host", [], 20, ["host(10.0.0.2)", "host(127.0.0.53)"]],
    ["container", [], 28, ["10.0.0.2", "host(127.0.0.53)", "host(::1)", "2001:db8::1"]],
    [
      "host",
      ["10.1.1.1", "127.0.0.1", "::1", "2001:db8::9"],
      28,
      ["host(10.1.1.1)", "127.0.0.1", "::1", "host(2001:db8::9)"],
    ],
    ["container", ["10.1.1.1"], 20, ["10.1.1.1"]],
  ];
  t.same(
    shown(chooseUpstreams([], [], ["fe80::1%3"], { engineMajor: 28, forwardFrom: "container" })),
    ["host(fe80::1%3)"],
    "nor does one on a link go elsewhere",
  );
  for (const [forwardFrom, container, engineMajor, expected] of cases)
    t.same(
      shown(chooseUpstreams(container, [], host, { engineMajor, forwardFrom })),
      expected,
      `${forwardFrom}, Docker ${engineMajor}`,
    );
  t.end();
});

/** A host whose files the test writes. */
class Host {
  readonly #folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  daemon: DaemonDns = { servers: [], options: [] };
  readonly unfit: { file: string; reason: string }[] = [];
  readonly upstreams: Upstreams;

  /** What of dockerd is known now; 0 while it is not followed. */
  major: number;

  constructor(t: { teardown(work: () => void): void }, major: number, forwardFrom: ForwardFrom = "docker") {
    this.major = major;
    t.teardown(() => rmSync(this.#folder, { recursive: true }));
    this.upstreams = new Upstreams({
      resolvConf: () => join(this.#folder, "resolv.conf"),
      pathOf: (file) => file,
      onUnfit: (file, reason) => this.unfit.push({ file, reason }),
      daemonDns: () => Promise.resolve(this.daemon),
      engineMajor: () => this.major,
      interfaceNumber: (name) => ({ eth0: 3, wlan0: 4 })[name],
      forwardFrom: () => forwardFrom,
    });
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  /** Changes the host's file, and waits until that has been noticed. */
  async change(change: () => unknown): Promise<void> {
    await new Promise<void>((resolve) => {
      const stop = this.upstreams.watch(() => (stop(), resolve()));
      change();
    });
  }

  write(name: string, content: string): string {
    const path = this.path(name);
    writeFileSync(path, content);
    return path;
  }

  async of(resolvConfPath: string, dns: Partial<Container["dns"]> = {}) {
    const { upstreams, forwardSingleLabels } = await this.upstreams.of(
      container("c", { resolvConfPath, dns: { servers: [], options: [], search: [], ...dns } }),
    );
    return { upstreams: shown(upstreams), forwardSingleLabels };
  }
}

t.test("what dockerd wrote into the container's own file counts before anything else", async (t) => {
  const host = new Host(t, 28);
  host.write("resolv.conf", "nameserver 10.1.1.1\n");
  const own = host.write("own", "nameserver 127.0.0.11\noptions ndots:0\n# ExtServers: [host(10.1.1.1) 10.2.2.2]\n");
  t.same(await host.of(own, { servers: ["10.3.3.3"] }), {
    upstreams: ["host(10.1.1.1)", "10.2.2.2"],
    forwardSingleLabels: true,
  });
  const forged = host.write("forged", "# ExtServers: [host(10.9.9.9)]\n");
  t.same((await host.of(forged)).upstreams, ["host(10.1.1.1)"], "a container cannot have others asked from the host");
  const none = host.write("none", "nameserver 127.0.0.11\n# ExtServers: []\n");
  t.same((await host.of(none)).upstreams, []);
});

t.test("the order Docker wrote is the order, and no server counts twice", async (t) => {
  const host = new Host(t, 27);
  host.write("resolv.conf", "nameserver 10.1.1.1\nnameserver 127.0.0.53\nnameserver 10.2.2.2\n");
  const cases: [written: string, expected: string[]][] = [
    ["10.1.1.1 host(127.0.0.53) 10.2.2.2", ["10.1.1.1", "host(127.0.0.53)", "10.2.2.2"]],
    ["host(127.0.0.53) 10.1.1.1 10.2.2.2", ["host(127.0.0.53)", "10.1.1.1", "10.2.2.2"]],
    ["10.1.1.1 host(127.0.0.53) host(127.0.0.54)", ["10.1.1.1", "host(127.0.0.53)"]],
  ];
  for (const [index, [written, expected]] of cases.entries())
    t.same((await host.of(host.write(`own${index}`, `# ExtServers: [${written}]\n`))).upstreams, expected, written);
});

t.test("with forward-from, a container's file still cannot have others asked from the host", async (t) => {
  const written = "# ExtServers: [host(10.1.1.1) 10.2.2.2]\n";
  const fromHost = new Host(t, 28, "host");
  fromHost.write("resolv.conf", "nameserver 10.1.1.1\n");
  t.same(
    (await fromHost.of(fromHost.write("own", written), { servers: ["10.3.3.3"] })).upstreams,
    ["host(10.3.3.3)"],
    "what dockerd was told counts",
  );
  t.same((await fromHost.of(fromHost.write("own2", "# ExtServers: [10.9.9.9]\n"))).upstreams, ["host(10.1.1.1)"]);
  const fromContainer = new Host(t, 28, "container");
  fromContainer.write("resolv.conf", "nameserver 10.1.1.1\n");
  t.same((await fromContainer.of(fromContainer.write("own", written))).upstreams, ["10.1.1.1", "10.2.2.2"]);
});

t.test("a server on a link is asked through that link, where Docker asks it", async (t) => {
  const host = new Host(t, 26);
  host.write(
    "resolv.conf",
    "nameserver fe80::1%eth0\nnameserver fe80::2%gone\nnameserver fe80::3%wlan0\nnameserver 10.1.1.1\n",
  );
  t.same(
    (await host.of("")).upstreams,
    ["host(fe80::1%3)", "host(fe80::3%4)", "10.1.1.1"],
    "one without a link counts for nothing",
  );
  const own = host.write("own", "# ExtServers: [host(fe80::1%eth0) 10.2.2.2]\n");
  t.same((await host.of(own)).upstreams, ["host(fe80::1%3)", "host(fe80::3%4)", "10.2.2.2"], "and no server twice");
});

t.test("while the host's file names no server, those it named before are asked", async (t) => {
  const ways: [what: string, write: (host: Host) => void][] = [
    ["it is empty", (host) => void host.write("resolv.conf", "")],
    ["it is cut off", (host) => void host.write("resolv.conf", "# made by a program\nnamese")],
    ["it is gone", (host) => rmSync(host.path("resolv.conf"))],
    [
      "it leads nowhere",
      (host) => (rmSync(host.path("resolv.conf")), symlinkSync("/nosuch/stub", host.path("resolv.conf"))),
    ],
    ["its link is gone", (host) => void host.write("resolv.conf", "nameserver fe80::9%gone\n")],
  ];
  const hosts = ways.flatMap(([what, write]) =>
    [20, 28].map((major) => ({ what: `${what}, Docker ${major}`, write, major, host: new Host(t, major) })),
  );
  await Promise.all(
    hosts.map(async ({ what, write, major, host }) => {
      host.write("resolv.conf", "nameserver 127.0.0.53\n");
      const own = major === 28 ? host.write("own", "# ExtServers: [host(127.0.0.53)]\n") : "";
      t.same((await host.of(own)).upstreams, ["host(127.0.0.53)"]);
      await host.change(() => write(host));
      t.same((await host.of(own)).upstreams, ["host(127.0.0.53)"], what);
      await host.change(() => {
        rmSync(host.path("resolv.conf"), { force: true });
        host.write("resolv.conf", "nameserver 127.0.0.54\n");
      });
      t.same((await host.of(own)).upstreams, ["host(127.0.0.54)"], `${what}: it is followed again`);
    }),
  );
});

t.test("what Docker's version means goes on while dockerd is away", async (t) => {
  const host = new Host(t, 28);
  host.write("resolv.conf", "nameserver 2001:db8::1\n");
  const own = host.write("own", "# ExtServers: [host(2001:db8::1) 10.2.2.2]\n");
  const before = (await host.of(own)).upstreams;
  host.major = 0;
  t.same((await host.of(own)).upstreams, before);
});

t.test("no more than three are used, as Docker does", async (t) => {
  const host = new Host(t, 20);
  host.write("resolv.conf", [1, 2, 3, 4].map((last) => `nameserver 10.0.0.${last}\n`).join(""));
  t.same((await host.of("")).upstreams, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
});

t.test("files that are not there say nothing", async (t) => {
  const host = new Host(t, 20);
  t.same(await host.of("/nosuch/resolv.conf"), { upstreams: ["8.8.8.8", "8.8.4.4"], forwardSingleLabels: true });
});

t.test("a single label stays here when ndots is set, by whoever's options count", async (t) => {
  const cases: [what: string, container: string[], daemon: string[], hostFile: string, forwarded: boolean][] = [
    ["nobody", [], [], "", true],
    ["the host's file", [], [], "options ndots:1", false],
    ["dockerd", [], ["ndots:2"], "", false],
    ["dockerd, in place of the host's file", [], ["timeout:1"], "options ndots:1", true],
    ["the container", ["ndots:0"], [], "", false],
    ["the container, in place of everybody", ["rotate"], ["ndots:1"], "options ndots:1", true],
  ];
  for (const [what, container, daemon, hostFile, forwarded] of cases) {
    const host = new Host(t, 20);
    host.write("resolv.conf", `nameserver 10.0.0.2\n${hostFile}\n`);
    host.daemon = { servers: [], options: daemon };
    t.equal((await host.of("", { options: container })).forwardSingleLabels, forwarded, what);
  }
});

t.test("a file that is none says nothing, is told once, and nobody waits for it", async (t) => {
  const host = new Host(t, 28);
  host.write("resolv.conf", "nameserver 10.1.1.1\n");
  const plain = host.write("plain", "search lan\n# ExtServers: [10.2.2.2]\n");
  const folder = dirname(plain);
  spawnSync("mkfifo", [join(folder, "fifo")]);
  symlinkSync("plain", join(folder, "link"));
  symlinkSync("/dev/zero", join(folder, "zero"));
  mkdirSync(join(folder, "c"));
  symlinkSync("../plain", join(folder, "c", "resolv.conf"));
  for (const name of ["fifo", "zero", "c"]) {
    for (let round = 0; round < 2; round++)
      t.same((await host.of(join(folder, name))).upstreams, ["host(10.1.1.1)"], name);
    t.match(host.unfit.splice(0), { length: 1, 0: { file: join(folder, name), reason: /not a regular file/ } }, name);
  }
  t.same((await host.of(join(folder, "link"))).upstreams, ["10.2.2.2"], "a user's own may be a link");
  t.same(
    (await host.of(join(folder, "c", "resolv.conf"))).upstreams,
    ["host(10.1.1.1)"],
    "in Docker's own folder there is none",
  );
  t.match(host.unfit, { length: 1, 0: { reason: /a symbolic link/ } });
  const large = host.write("large", `${"#".repeat(65_000)}\n${"search cut.".repeat(1000)}`);
  t.same((await host.of(large)).upstreams, ["host(10.1.1.1)"]);
});

t.test("the host's file may be anything without ending the daemon", async (t) => {
  const host = new Host(t, 20);
  const path = host.write("resolv.conf", "nameserver 10.1.1.1\n");
  let changes = 0;
  const stop = host.upstreams.watch(() => changes++);
  t.teardown(stop);
  rmSync(path);
  symlinkSync("resolv.conf", path);
  for (const deadline = Date.now() + 10_000; changes === 0 && Date.now() < deadline;) await pause(20);
  t.equal(changes, 1, "a link to itself is a change like any other");
});

t.test("however many files there are, few are remembered, and the host's is not lost with the rest", async (t) => {
  const host = new Host(t, 28);
  host.write("resolv.conf", "nameserver 10.1.1.1\n");
  const paths = Array.from({ length: 300 }, (_, index) => host.write(`own${index}`, `${"#".repeat(65_000)}\rx`));
  for (const path of paths) t.same((await host.of(path)).upstreams, ["host(10.1.1.1)"]);
});

t.test("an own sandbox asks whom it was told to, from inside; else whom the host asks, from there", async (t) => {
  const hostFile = ["10.0.0.2", "127.0.0.53"];
  for (const [own, from, expected] of [
    [[], "docker", ["host(10.0.0.2)", "host(127.0.0.53)"]],
    [[], "container", ["10.0.0.2", "host(127.0.0.53)"]],
    [["10.9.9.9", "nonsense", "127.0.0.1"], "docker", ["10.9.9.9", "127.0.0.1"]],
    [["10.9.9.9"], "host", ["host(10.9.9.9)"]],
  ] as const)
    t.same(shown(sandboxUpstreams(own, hostFile, from)), expected, `${own.join()} ${from}`);

  const host = new Host(t, 0);
  host.write("resolv.conf", "nameserver 127.0.0.53\nsearch lan\noptions ndots:1\n");
  host.daemon = { servers: ["10.8.8.8"], options: [] };
  const sandbox = container("s", { source: "pontoon" });
  const found = await host.upstreams.of(sandbox);
  t.same([found.forwardSingleLabels, found.search], [false, ["lan"]]);
  t.same(shown(found.upstreams), ["host(127.0.0.53)"], "dockerd's own settings are no matter");
  const told = { servers: ["10.9.9.9"], options: ["rotate"], search: ["."] };
  const other = await host.upstreams.of({ ...sandbox, dns: told });
  t.same([other.forwardSingleLabels, other.search], [true, []]);
  t.same(shown(other.upstreams), ["10.9.9.9"]);
});
