import { spawn } from "node:child_process";
import { constants } from "node:os";

/** How a command is run. */
export interface CommandOptions {
  /** Written to the command's standard input; without it that is empty. */
  input?: string | Buffer;
  /** After this long the command and what it started is killed, and the promise rejects. Default 30 s. */
  timeoutMs?: number;
  /** Whether an exit code other than 0 rejects. Default true. */
  reject?: boolean;
}

/** What a command said, and how it ended; death by signal n is exit code 128 + n, as in a shell. */
export interface CommandResult {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** A command that could not be run, failed, or took too long. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  constructor(
    readonly argv: readonly string[],
    readonly result: CommandResult,
    problem: string,
  ) {
    super(`${argv.join(" ")}: ${problem}\n${result.stderr}${result.stdout}`.trimEnd());
  }
}

/** The environment inside a test host: nothing of the developer's own, so that tests behave alike everywhere. */
export const hostEnvironment: Readonly<Record<string, string>> = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin",
  HOME: "/run/host",
  LANG: "C.UTF-8",
  DOCKER_HOST: "unix:///run/docker.sock",
};

/** Runs a command to its end. */
export function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { input = "", timeoutMs = 30_000, reject = true } = options;
  return new Promise((resolve, fail) => {
    // A process group of its own, so that a timeout reaches the command behind nsenter too.
    const child = spawn(argv[0]!, argv.slice(1), { env: hostEnvironment, detached: true, stdio: "pipe" });
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const)
      child[stream].setEncoding("utf8").on("data", (chunk: string) => (output[stream] += chunk));
    child.stdin.on("error", () => {}); // the command may end without reading its input
    child.stdin.end(input);

    let late = false;
    const timer = setTimeout(() => {
      late = true;
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, timeoutMs);
    child.on("error", (error) => {
      clearTimeout(timer);
      fail(new CommandError(argv, { ...output, exitCode: 127 }, error.message));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const exitCode = code ?? 128 + constants.signals[signal!];
      const result = { ...output, exitCode };
      if (late) fail(new CommandError(argv, result, `still running after ${timeoutMs} ms`));
      else if (reject && exitCode !== 0) fail(new CommandError(argv, result, `exit code ${exitCode}`));
      else resolve(result);
    });
  });
}
