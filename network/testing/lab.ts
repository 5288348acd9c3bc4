import { spawn, spawnSync, type ChildProcess, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { WorkerOutcome, WorkerRequest } from "./worker.js";

const workerFile = fileURLToPath(new URL("worker.js", import.meta.url));

/** A host of its own: a network namespace, with names of namespaces that nobody else sees. The test closes it. */
export class HostLab {
  readonly #workers = new Set<Worker>();

  private constructor(private readonly holder: ChildProcess) {}

  static async make(): Promise<HostLab> {
    const own = "for folder in netns wireguard; do mkdir -p /run/$folder; mount -t tmpfs none /run/$folder; done";
    const script = `${own}; ip link set lo up; echo ready; exec sleep 3600`;
    const holder = spawn("unshare", ["--net", "--mount", "sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(holder.stdout, "data");
    return new HostLab(holder);
  }

  /** Of a process in its namespaces. */
  get pid(): number {
    return this.holder.pid!;
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) await worker.end();
    this.holder.kill("SIGKILL");
  }

  /** Runs a program on this host. Throws when it fails. @returns what it says */
  run(program: string, ...args: readonly string[]): string {
    if (this.holder.exitCode !== null) throw new Error("the host is gone");
    const { status, stdout, stderr } = spawnSync("nsenter", [...this.#inside, program, ...args], { encoding: "utf8" });
    if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** What `ip -j` says. */
  ip(...args: readonly string[]): Record<string, unknown>[] {
    return JSON.parse(this.run("ip", "-j", "-d", ...args).trim() || "[]") as Record<string, unknown>[];
  }

  /** @param killAtStep the process ends, as in a crash, before this step, counted from 1 on */
  worker(killAtStep?: number): Worker {
    const env = { ...process.env, ...(killAtStep !== undefined && { PONTOON_KILL_AT_STEP: String(killAtStep) }) };
    const child = spawn("nsenter", [...this.#inside, process.execPath, workerFile], {
      stdio: ["pipe", "pipe", "inherit"],
      env,
    });
    const worker = new Worker(child, (ended) => this.#workers.delete(ended));
    this.#workers.add(worker);
    return worker;
  }

  get #inside(): string[] {
    return ["--target", String(this.pid), "--net", "--mount", "--"];
  }
}

/** The backend's work in a process, see worker.ts. */
export class Worker {
  readonly #lines: Interface;
  readonly #ended: Promise<undefined>;

  constructor(
    private readonly child: ChildProcessByStdio<Writable, Readable, null>,
    onEnd: (worker: Worker) => void,
  ) {
    this.#lines = createInterface({ input: child.stdout });
    this.#ended = once(child, "close").then(() => {
      onEnd(this);
      return undefined;
    });
    child.stdin.on("error", () => undefined); // it has ended in between, as it was asked to
  }

  /** @returns undefined when the process ends instead */
  async do(request: WorkerRequest): Promise<WorkerOutcome | undefined> {
    const line = once(this.#lines, "line") as Promise<[string]>;
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    const [answer] = (await Promise.race([line, this.#ended])) ?? [];
    if (answer === undefined) return undefined;
    const outcome = JSON.parse(answer) as WorkerOutcome | { readonly fault: string };
    if ("fault" in outcome) throw new Error(outcome.fault);
    return outcome;
  }

  /** Ends it once it has done all. */
  async end(): Promise<void> {
    this.child.stdin.end();
    await this.#ended;
  }
}
