import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Container } from "./container.js";
import { hostEnvironment, runCommand, type CommandResult } from "./command.js";
import type { Namespaces } from "./namespaces.js";
import { repositoryRoot } from "./root.js";
import { requestUnix, type UnixResponse } from "./unix-http.js";
import { until, type UntilOptions } from "./until.js";

const programOf = (root: string) => join(root, "bin", "pontoon");
const configFile = "/etc/pontoon/pontoon.yaml";

/** How the daemon under test is started. */
export interface PontoonOptions {
  /** More arguments for `pontoon daemon`. */
  args?: string[];
  /** The content of its configuration file. */
  config?: string;
  env?: Record<string, string>;
  /** Where its log goes, as a shell has it: `1<>/fifo`, `>>/file 2>&1`. Default: {@link Pontoon.logs}. */
  output?: string;
  /** The installed command of the host to run, instead of the repository's. */
  installed?: string;
  /** How long it may take until it is ready. Default 10 s. */
  readyMs?: number;
  /** Whether to wait until it is; without, only until its control API answers. Default true. */
  untilReady?: boolean;
  /** Where another build is, with bin/ and dist/. Default the one under test. */
  root?: string;
}

/** What the daemon says about itself. */
export type Status = Record<string, unknown>;

/** The daemon under test, as it runs in a host. */
export class Pontoon {
  /** Each line the daemon, and the servers that share its output, have printed. */
  readonly logs: string[] = [];
  #pid = 0;
  #exitCode: number | undefined;

  private constructor(
    private readonly namespaces: Namespaces,
    private readonly process: ChildProcess,
  ) {
    for (const stream of [process.stdout!, process.stderr!])
      createInterface({ input: stream }).on("line", (line) => this.#read(line));
    process.on("exit", (code, signal) => (this.#exitCode = code ?? 128 + constants.signals[signal!]));
  }

  /** Starts the daemon and waits until its status says it is ready. */
  static async start(namespaces: Namespaces, options: PontoonOptions = {}): Promise<Pontoon> {
    if (options.config !== undefined) namespaces.writeFile(configFile, options.config);
    const config = options.config === undefined ? [] : [`--config=${configFile}`];
    const flags = ["--run-dir=/run/pontoon", "--state-dir=/var/lib/pontoon", ...config, ...(options.args ?? [])];
    const daemon = [
      ...(options.installed === undefined
        ? [process.execPath, programOf(options.root ?? repositoryRoot)]
        : [options.installed]),
      "daemon",
      ...flags,
    ];
    // The shell tells the process id the daemon has inside the host.
    const argv = namespaces.enter(["sh", "-c", `echo "$$"; exec "$@" ${options.output ?? ""}`, "sh", ...daemon]);
    const env = { ...hostEnvironment, ...options.env };
    // Not by execa: a server that lives on keeps these pipes open, so that it would wait for ever.
    const child = spawn(argv[0]!, argv.slice(1), { env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const pontoon = new Pontoon(namespaces, child);
    await pontoon.#untilReady(options.readyMs ?? 30_000, options.untilReady ?? true);
    return pontoon;
  }

  /** The daemon's process id inside the host. */
  get pid(): number {
    return this.#pid;
  }

  /** The exit code of the daemon, once it has ended; death by signal n is 128 + n. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** What `GET /v1/status` answers. */
  async status(): Promise<Status> {
    const answer = await this.get("/v1/status");
    if (answer.status !== 200) throw new Error(`GET /v1/status: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as Status;
  }

  /** Waits until pontoon answers 127.0.0.11 in the namespaces of these containers. */
  async answersIn(...containers: readonly Container[]): Promise<void> {
    await until(
      async () => {
        const { containers: known } = (await this.status()) as { containers: { id: string; resolver: string }[] };
        return containers.every(({ id }) => known.some((entry) => entry.id === id && entry.resolver === "pontoon"));
      },
      { what: "pontoon answers in the containers" },
    );
  }

  /** Asks the control API. */
  get(path: string): Promise<UnixResponse> {
    return requestUnix(this.namespaces.path("/run/pontoon/control.sock"), path);
  }

  /** Asks the control API for something to be done. */
  post(path: string, body: unknown): Promise<UnixResponse> {
    return requestUnix(this.namespaces.path("/run/pontoon/control.sock"), path, { method: "POST", body });
  }

  /** Runs the pontoon command in the host; failing is for the test to judge. */
  cli(...args: string[]): Promise<CommandResult> {
    return runCommand(this.namespaces.enter([process.execPath, programOf(repositoryRoot), ...args]), { reject: false });
  }

  /** Waits until the status satisfies `predicate`, and returns that status. */
  async waitUntil(predicate: (status: Status) => boolean, options: UntilOptions = {}): Promise<Status> {
    let status: Status = {};
    const probe = async () => predicate((status = await this.status()));
    try {
      await until(probe, { what: "the wanted status", ...options });
    } catch (error) {
      throw new Error(`${(error as Error).message}; last status: ${JSON.stringify(status)}`, { cause: error });
    }
    return status;
  }

  /** Sends the daemon a signal, waits for its end, and returns its exit code. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    if (this.#exitCode !== undefined) return this.#exitCode;
    const exit = once(this.process, "exit");
    await this.namespaces.signal(signal, this.#pid);
    await exit;
    if (this.#exitCode === 1) process.stderr.write(`the daemon has failed:\n${this.logs.slice(-20).join("\n")}\n`);
    return this.#exitCode!;
  }

  /** Kills the daemon alone; its servers go on. */
  async kill(): Promise<void> {
    await this.stop("SIGKILL");
  }

  /** Kills the daemon and all its servers at once. */
  async killEverything(): Promise<void> {
    const exit = this.#exitCode === undefined ? once(this.process, "exit") : undefined;
    // The daemon first, or it might start another server in between.
    const pids = this.processes().sort((one, other) => Number(other === this.#pid) - Number(one === this.#pid));
    // A bulk worker may have ended by itself by the time its turn comes.
    if (pids.length > 0)
      await this.namespaces.signal("SIGKILL", ...pids).catch((error: Error) => {
        if (!error.message.includes("No such process")) throw error;
      });
    await exit;
    const areGone = () => this.processes().length === 0 && pids.every((pid) => this.#hasEnded(pid));
    await until(areGone, { what: "pontoon's processes are gone" });
  }

  /** Whether a process that was killed holds nothing any more: its first thread may end before the others. */
  #hasEnded(pid: number): boolean {
    try {
      return readdirSync(join(this.namespaces.path("/proc"), String(pid), "task")).length <= 1;
    } catch {
      return true;
    }
  }

  /** The process ids, inside the host, of the daemon and its servers. @param name of one kind only */
  processes(name?: "pontoon-dns" | "pontoon-proxy"): number[] {
    const directory = this.namespaces.path("/proc");
    const pids = readdirSync(directory).filter((entry) => /^\d+$/.test(entry));
    return pids.filter((pid) => isOurs(join(directory, pid, "cmdline"), name)).map(Number);
  }

  async #untilReady(timeoutMs: number, wholly: boolean): Promise<void> {
    const isReady = async () => this.#exitCode !== undefined || (await this.status())["ready"] === true || !wholly;
    try {
      await until(isReady, { timeoutMs, what: "pontoon is ready" });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.logs.join("\n")}`, { cause: error });
    }
    if (this.#exitCode === undefined) return;
    // What it said last may still be in the pipe, which a server that lives on keeps open.
    await Promise.race([once(this.process, "close"), sleep(500)]);
    throw new Error(`pontoon ended with exit code ${this.#exitCode}:\n${this.logs.join("\n")}`);
  }

  #read(line: string): void {
    if (this.#pid === 0) this.#pid = Number(line);
    else this.logs.push(line);
  }
}

/** Told by the command line; the helpers of the tests are built programs too, but not the daemon's. */
function isOurs(commandLineFile: string, name: string | undefined): boolean {
  let words: string[];
  try {
    words = readFileSync(commandLineFile, "utf8").split("\0");
  } catch {
    return false; // it has just ended
  }
  if (name !== undefined) return words[0] === name;
  const built = join(repositoryRoot, "dist");
  const isServer = (word: string) => word.startsWith(`${built}/`) && !word.startsWith(`${built}/integration/`);
  // dockerd has the path of its docker-proxy as an argument, and what it starts there is its own.
  const isPontoon = (name: string) => name.startsWith("pontoon") && name !== "pontoon-docker-proxy";
  return words.some((word) => isPontoon(basename(word)) || isServer(word));
}
