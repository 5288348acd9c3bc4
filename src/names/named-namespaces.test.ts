// Own sandboxes: network namespaces with a name, answered by a real pontoon-dns.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { pino } from "pino";
import t from "tap";
import { NodePoller } from "../../linux/node-poller.js";
import { Inventory } from "../inventory/inventory.js";
import { container, endpoint, network } from "../inventory/testing/containers.js";
import { DnsController } from "./controller.js";

const skip =
  process.getuid?.() !== 0 ? "needs root" : spawnSync("dig", ["-v"]).error ? "needs dig and ip" : (false as const);
const options = {
  version: "1.2.3",
  defaultTtl: 5,
  orphanAfter: 1,
  queryLog: false,
  cacheSize: 1_000_000,
  patience: 2000,
  sharesAnswers: false,
  singleLabel: "forward",
  takeOver: true,
} as const;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const giveUpAt = performance.now() + 20_000; !(await holds());) {
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * A shell that keeps its capabilities: what this process starts after a server has none. One command at a time; fails with
 * what a command says on stderr.
 */
class Shell {
  readonly #shell = spawn("sh", [], { stdio: ["pipe", "pipe", "inherit"] });
  readonly #lines = createInterface({ input: this.#shell.stdout })[Symbol.asyncIterator]();

  async run(command: string): Promise<string> {
    this.#shell.stdin.write(`{ ${command}; } </dev/null 2>&1; echo "\n---$?"\n`);
    const said: string[] = [];
    for (;;) {
      const { value, done } = (await this.#lines.next()) as { value: string; done?: boolean };
      if (done === true) throw new Error("the shell has ended");
      const end = /^---(\d+)$/.exec(value);
      if (!end) {
        said.push(value);
        continue;
      }
      const output = said.join("\n").trim();
      if (end[1] !== "0") throw new Error(`${command}: ${output}`);
      return output;
    }
  }

  close(): void {
    this.#shell.stdin.end();
  }
}

/** Started before any server is. */
const shell = new Shell();
let made = 0;

const linkOf = (name: string) => `v${name.split("-").at(-1)}`;

/** A network namespace with a name, gone with the test at the latest. */
class Named {
  readonly inode: number;

  private constructor(
    private readonly shell: Shell,
    readonly name: string,
  ) {
    this.inode = statSync(this.path).ino;
  }

  static async make(shell: Shell, loopback: "up" | "down"): Promise<Named> {
    const name = `pontoon-test-${process.pid}-${++made}`;
    await shell.run(`ip netns add ${name} && ip -n ${name} link set lo ${loopback}`);
    // The end out here goes with the namespace, and not before.
    await shell.run(`ip link add ${linkOf(name)} type veth peer name eth0 netns ${name}`);
    return new Named(shell, name);
  }

  get path(): string {
    return `/run/netns/${this.name}`;
  }

  get sandbox(): string {
    return `${this.name}-${this.inode}`;
  }

  /** Runs a command inside. */
  run(command: string): Promise<string> {
    return this.shell.run(`ip netns exec ${this.name} ${command}`);
  }

  dig(name: string): Promise<string> {
    return this.run(`dig +short +tries=1 +time=2 @127.0.0.11 ${name}`);
  }

  remove(): Promise<string> {
    return this.shell.run(`ip netns del ${this.name}`);
  }

  async isAlive(): Promise<boolean> {
    return (await this.shell.run("ip -o link")).includes(`${linkOf(this.name)}@`);
  }
}

/** Whether a process has a descriptor of a namespace. */
function isHeldBy(pids: readonly number[], inode: number): boolean {
  return pids.some((pid) =>
    readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return statSync(`/proc/${pid}/fd/${fd}`).ino === inode;
      } catch {
        return false; // it has just been closed
      }
    }),
  );
}

/** How many descriptors processes have open. */
const openIn = (pids: readonly number[]) => pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length);

class Bench {
  inventory = new Inventory();
  readonly poller = new NodePoller();
  readonly runDir = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  readonly told: string[] = [];
  dns = this.#controller();

  constructor(t: { teardown(handler: () => Promise<void>): unknown }) {
    this.poller.start();
    t.teardown(async () => {
      await this.dns.stop();
      this.poller.stop();
      rmSync(this.runDir, { recursive: true });
    });
  }

  #controller(): DnsController {
    const settings = { upstreams: [], forwardSingleLabels: true, search: [] };
    const { runDir } = this;
    const log = pino({ level: "warn" }, { write: (line: string) => this.told.push(line) });
    return new DnsController(
      this.poller.poller,
      this.inventory,
      () => Promise.resolve(settings),
      { ...options, runDir },
      log,
    );
  }

  /** Docker is away, and stays so. */
  async start(...sandboxes: readonly Named[]): Promise<void> {
    this.dns.start();
    const own = this.inventory.source("pontoon");
    own.putNetwork(network("own", { source: "pontoon" }));
    own.putContainer(
      container("db", { source: "pontoon", endpoints: [endpoint("own", "10.9.0.3", { aliases: ["store"] })] }),
    );
    for (const sandbox of sandboxes) this.put(sandbox);
    this.inventory.source("pontoon").complete();
    await this.dns.mayTakeOver("pontoon");
  }

  /** As a daemon does that has just been started, after another has left. */
  async startAnother(...sandboxes: readonly Named[]): Promise<void> {
    this.inventory = new Inventory();
    this.dns = this.#controller();
    await this.start(...sandboxes);
  }

  named(loopback: "up" | "down" = "up"): Promise<Named> {
    return Named.make(shell, loopback);
  }

  put({ name, sandbox, path, inode }: Named): void {
    this.inventory.source("pontoon").putContainer(
      container(name, {
        source: "pontoon",
        sandbox: { kind: "named", id: sandbox, path, inode },
        endpoints: [endpoint("own", "10.9.0.2")],
      }),
    );
  }

  answered({ sandbox }: Named): Promise<void> {
    return until(`it is answered; pontoon-dns is ${this.dns.server.kind}`, () => this.dns.answering.has(sandbox));
  }

  get serverPid(): number {
    const { server } = this.dns;
    return "pid" in server && server.pid !== undefined ? server.pid : -1;
  }
}

function tests(): void {
  t.teardown(() => shell.close());

  t.test("a named namespace is answered while dockerd is away, and nothing of ours keeps it alive", async (t) => {
    const bench = new Bench(t);
    await bench.start();
    const [web, other] = [await bench.named(), await bench.named()];
    bench.put(other);
    await bench.answered(other);
    const pids = () => [process.pid, bench.serverPid];
    const before = openIn(pids());
    bench.put(web);
    await bench.answered(web);
    t.ok(bench.dns.isSettled("pontoon"));
    t.notOk(bench.dns.isReady, "of Docker's containers nothing is known");
    t.equal(await web.dig("db"), "10.9.0.3");
    t.equal(await web.dig("store"), "10.9.0.3");
    t.equal(await web.dig(other.name), "10.9.0.2");
    t.ok(isHeldBy(pids(), web.inode));
    t.ok(await web.isAlive());
    await web.remove();
    await until("the namespace is gone", async () => !(await web.isAlive()));
    await until("every descriptor of ours is closed", () =>
      openIn(pids()).every((count, index) => count <= before[index]!),
    );
    t.notOk(isHeldBy(pids(), web.inode));
    t.notOk(bench.dns.takeovers.has(web.sandbox));
    t.equal(await other.dig("db"), "10.9.0.3", "the others go on");
  });

  t.test(
    "without a daemon the server answers on, finds out by itself what is gone, and hands back the rest",
    async (t) => {
      const bench = new Bench(t);
      await bench.start();
      const [web, other] = [await bench.named(), await bench.named()];
      for (const each of [web, other]) {
        bench.put(each);
        await bench.answered(each);
      }
      const server = bench.serverPid;
      bench.dns.leave();
      await web.remove();
      await until("the server has let go", () => !isHeldBy([server], web.inode));
      await until("the namespace is gone", async () => !(await web.isAlive()));
      t.equal(await other.dig("db"), "10.9.0.3");
      await bench.startAnother(other);
      await bench.answered(other);
      t.equal(bench.serverPid, server, "the same server");
      t.equal(await other.dig("db"), "10.9.0.3");
    },
  );

  t.test("a namespace whose loopback is not up yet is answered from the first question on", async (t) => {
    const bench = new Bench(t);
    await bench.start();
    const web = await bench.named("down");
    bench.put(web);
    await until("it is taken over", () => bench.dns.takeovers.has(web.sandbox));
    t.equal(bench.dns.takeovers.failures.size, 0);
    t.equal(await web.dig("db"), "10.9.0.3");
    await bench.answered(web);
  });

  t.test("a namespace that is wanted no more has no table and no socket of ours", async (t) => {
    const bench = new Bench(t);
    await bench.start();
    const web = await bench.named();
    bench.put(web);
    await bench.answered(web);
    const rules = () => web.run("nft list ruleset");
    t.match(await rules(), /udp dport 53 udp dport set/, "whatever happens to the server, questions are led to it");
    bench.inventory.source("pontoon").removeContainer(web.name);
    await until("it is let go of", () => !isHeldBy([process.pid, bench.serverPid], web.inode));
    await until("the rules are gone", async () => (await rules()) === "");
    t.equal(await web.run("ss -Hlnup"), "");
  });

  t.test("a name that stands for another namespace by now is not taken over", async (t) => {
    const bench = new Bench(t);
    await bench.start();
    const web = await bench.named();
    bench.inventory.source("pontoon").putContainer(
      container(web.name, {
        source: "pontoon",
        sandbox: { kind: "named", id: "old", path: web.path, inode: web.inode + 1 },
        endpoints: [endpoint("own", "10.9.0.2")],
      }),
    );
    await until("that is said", () => bench.dns.takeovers.failures.has("old"));
    t.match(bench.dns.takeovers.failures.get("old"), { code: "NAMESPACE_GONE" });
    t.match(bench.told.join(""), /nobody answers in a sandbox/);
  });
}

// `ip netns` mounts: here in a mount namespace of this test's own, with names of its own.
const inside = "PONTOON_TEST_INSIDE";
const start = `ip link set lo up && mkdir -p /run/netns && mount -t tmpfs netns /run/netns && exec "$@"`;
if (process.env[inside] === "1") tests();
else {
  shell.close();
  if (skip !== false) t.pass("not tried", { skip });
  else
    await t.spawn(
      "unshare",
      [
        "--mount",
        "--net",
        "--",
        "sh",
        "-c",
        start,
        "sh",
        process.execPath,
        "--enable-source-maps",
        fileURLToPath(import.meta.url),
      ],
      { env: { ...process.env, [inside]: "1" } },
      "with mounts of its own",
    );
}
