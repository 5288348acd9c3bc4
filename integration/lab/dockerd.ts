import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, rmSync } from "node:fs";
import { hostEnvironment } from "./command.js";
import type { Engine } from "./engine.js";
import type { Namespaces } from "./namespaces.js";
import { until } from "./until.js";

const logFile = "/run/host/dockerd.log";
const pidFile = "/run/docker.pid";

/** The dockerd of one test host, which can end and come back while the host's namespaces stay. */
export class Dockerd {
  #process: ChildProcess | undefined;

  constructor(
    private readonly namespaces: Namespaces,
    private readonly engine: Engine,
    private readonly args: readonly string[],
    private readonly env: Readonly<Record<string, string>> = {},
  ) {}

  /** dockerd's process id inside the host. */
  get pid(): number {
    return Number(readFileSync(this.namespaces.path(pidFile), "utf8"));
  }

  /** All dockerd has logged on this host. */
  get log(): string {
    return readFileSync(this.namespaces.path(logFile), "utf8");
  }

  /** Starts dockerd and waits until its API answers. */
  async start(extraArgs: readonly string[] = []): Promise<void> {
    if (this.#process !== undefined) throw new Error("dockerd runs already");
    rmSync(this.namespaces.path(pidFile), { force: true }); // after SIGKILL another process may have that number
    const child = this.#spawn(extraArgs);
    this.#process = child;
    child.on("exit", () => (this.#process = undefined));
    await until(() => this.#process === undefined || this.engine.isUp(), {
      timeoutMs: 30_000,
      what: "dockerd answers",
    });
    if (this.#process === undefined) throw new Error(`dockerd ended while starting:\n${this.log}`);
  }

  /** Ends dockerd and waits for that. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.#process === undefined) return;
    const exit = once(this.#process, "exit");
    const containerd = this.#containerdPid();
    await this.namespaces.signal(signal, this.pid);
    await exit;
    // It dies with dockerd, but a little later; a dockerd that finds it dying waits 15 s for it in vain.
    await until(() => !existsSync(this.namespaces.path(`/proc/${containerd}`)), {
      what: "containerd ends with dockerd",
    });
  }

  /**
   * Ends what is left on the machine's side once the host is gone: the program through which dockerd was started stops
   * together with a dockerd that a test has stopped, and would stay so for ever.
   */
  async release(): Promise<void> {
    if (this.#process === undefined) return;
    const exit = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await exit;
  }

  #containerdPid(): string {
    return readFileSync(this.namespaces.path("/run/docker/containerd/containerd.pid"), "utf8").trim();
  }

  #spawn(extraArgs: readonly string[]): ChildProcess {
    const log = openSync(this.namespaces.path(logFile), "a");
    const argv = this.namespaces.enter([
      "dockerd",
      "--host=unix:///run/docker.sock",
      `--pidfile=${pidFile}`,
      "--log-level=warn",
      "--storage-driver=overlay2",
      "--exec-opt=native.cgroupdriver=cgroupfs", // there is no systemd in a host
      `--cgroup-parent=/${this.namespaces.name}`,
      ...this.args,
      ...extraArgs,
    ]);
    try {
      // Not by execa, which would wait for its end: it is let go of, with a descriptor of its own to log to.
      return spawn(argv[0]!, argv.slice(1), {
        env: { ...hostEnvironment, ...this.env },
        stdio: ["ignore", log, log],
        detached: true,
      });
    } finally {
      closeSync(log);
    }
  }
}
