import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { runCommand } from "./command.js";
import { repositoryRoot } from "./root.js";

let made = 0;

/**
 * The namespaces of one test host: mount, network, UTS and PID, with /run, /etc, /opt, /var/lib and control groups
 * of its own. Everything started in them dies with their init, which ends when this process lets go of its standard
 * input, for whatever reason: so nothing outlives even a test process that was killed with SIGKILL.
 */
export class Namespaces {
  private constructor(
    /** Unique on the machine; also the host's hostname and the parent of its containers' control groups. */
    readonly name: string,
    /** The host's init, as the machine numbers it. */
    readonly pid: number,
    private readonly keeper: ChildProcessByStdio<Writable, Readable, Readable>,
  ) {}

  /** Creates the namespaces; they are usable when the promise resolves. */
  static async create(init: "plain" | "systemd" = "plain"): Promise<Namespaces> {
    const name = `testhost-${process.pid}-${++made}`;
    const script = join(repositoryRoot, "integration", "lab", "host.sh");
    // A session of its own: Ctrl-C must not end the script before it has cleaned up.
    // Not by execa, which would wait for its end: it lives until its standard input ends, however that comes about.
    const keeper = spawn("sh", [script, name, init], { detached: true, stdio: ["pipe", "pipe", "pipe"] });
    const pid = await readInit(keeper);
    return new Namespaces(name, pid, keeper);
  }

  /** Where the machine sees a file of the host. */
  path(file: string): string {
    return `/proc/${this.pid}/root${file}`;
  }

  /** The network namespace of a process of the host, as a path the machine can open. */
  netnsOf(pid: number): string {
    return this.path(`/proc/${pid}/ns/net`);
  }

  /** Writes a file of the host; below /etc, /opt, /run and /var/lib this leaves the machine's own alone. */
  writeFile(file: string, content: string): void {
    const path = this.path(file);
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true }); // it may be a symbolic link, which would lead out of the host
    writeFileSync(path, content);
  }

  /** The command line that runs `argv` inside, or with another network namespace and all else inside. */
  enter(argv: readonly string[], netns = `/proc/${this.pid}/ns/net`): string[] {
    return ["nsenter", `--target=${this.pid}`, "--mount", "--uts", "--pid", `--net=${netns}`, "--", ...argv];
  }

  /** Sends a signal to a process of the host, which is named by its number inside. */
  async signal(signal: NodeJS.Signals, ...pids: number[]): Promise<void> {
    await runCommand(this.enter(["kill", `-${signal.slice(3)}`, ...pids.map(String)]));
    if (signal === "SIGCONT") resumeChildren();
  }

  /** Ends everything inside and removes what it had. Resolves when nothing is left. */
  async close(): Promise<void> {
    const { keeper } = this;
    if (keeper.exitCode !== null || keeper.signalCode !== null) return;
    const exit = once(keeper, "exit");
    keeper.stdin.destroy();
    await exit;
  }
}

/** The nsenter through which a program was started stops together with it, but does not go on with it. */
function resumeChildren(): void {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  for (const child of children)
    if (/^State:\s+T/m.test(readFileSync(`/proc/${child}/status`, "utf8"))) process.kill(Number(child), "SIGCONT");
}

/** Reads the process id, then waits for "ready". */
function readInit(keeper: ChildProcessByStdio<Writable, Readable, Readable>): Promise<number> {
  return new Promise((resolve, reject) => {
    let output = "";
    let problems = "";
    keeper.on("error", reject);
    keeper.on("exit", (code) => reject(new Error(`no namespaces for a test host (exit code ${code}): ${problems}`)));
    keeper.stderr.setEncoding("utf8").on("data", (chunk: string) => (problems += chunk));
    keeper.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
      const ready = /^(\d+)\nready\n/.exec(output);
      if (ready) resolve(Number(ready[1]));
    });
  });
}
