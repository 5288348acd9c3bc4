import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { hostEnvironment } from "./command.js";
import { helperProgram } from "./root.js";
import { until } from "./until.js";

export interface ShimServerOptions {
  /** How long a listener is kept, ms. */
  keepTime?: number;
  /** The command line that brings it to its host. */
  enter?: (argv: string[]) => string[];
  /** Sends a signal to a process named by its number in that host. */
  signal?: (signal: NodeJS.Signals, pid: number) => Promise<void>;
}

/** A stand-in for pontoon-proxy; see `shims-child.ts`. */
export class ShimServer {
  /** What it has said, one line for each event. */
  readonly lines: string[] = [];

  private constructor(
    private readonly child: ChildProcess,
    private readonly sendSignal: (signal: NodeJS.Signals, pid: number) => unknown,
  ) {
    createInterface({ input: child.stdout! }).on("line", (line) => this.lines.push(line));
  }

  /** Starts it and waits until it accepts shims; in the namespaces of a host if `enter` and `signal` lead there. */
  static async start(folder: string, options: ShimServerOptions = {}): Promise<ShimServer> {
    const argv = [process.execPath, helperProgram("shims-child.js"), folder, ...(options.keepTime === undefined ? [] : [String(options.keepTime)])];
    const [program, ...args] = options.enter?.(argv) ?? argv;
    const child = spawn(program!, args, { env: hostEnvironment, stdio: ["ignore", "pipe", "inherit"] });
    const server = new ShimServer(child, options.signal ?? ((signal, pid) => process.kill(pid, signal)));
    await server.says(/^ready /);
    return server;
  }

  /** Waits for a line. */
  async says(line: string | RegExp, times = 1): Promise<void> {
    const fits = (said: string) => (typeof line === "string" ? said === line : line.test(said));
    await until(() => this.lines.filter(fits).length >= times, { what: `the stand-in says ${String(line)}`, timeoutMs: 20_000 });
  }

  /** Sends a signal. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    await this.sendSignal(signal, Number(this.lines[0]!.split(" ")[1]));
  }

  /** Kills it, and waits for its end. Can be done twice. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, "exit");
    await this.signal("SIGKILL");
    await exit;
  }
}
