import { constants } from "node:os";
import { execa } from "execa";

/** How a command is run. */
export interface CommandOptions {
  /** Written to the command's standard input; without it that is empty. */
  input?: string | Buffer;
  /** After this long the command and what it started is killed, and the promise rejects. Default 120 s. */
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
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { input = "", timeoutMs = 120_000, reject = true } = options;
  const [command = "", ...args] = argv;
  const child = execa(command, args, {
    env: hostEnvironment,
    extendEnv: false,
    input,
    detached: true, // a process group of its own, so that a timeout reaches the command behind nsenter too
    reject: false,
    stripFinalNewline: false,
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, timeoutMs);
  const { stdout, stderr, exitCode, signal, originalMessage } = await child;
  clearTimeout(timer);
  const result = {
    stdout,
    stderr,
    exitCode: exitCode ?? (signal === undefined ? 127 : 128 + constants.signals[signal]),
  };
  if (late) throw new CommandError(argv, result, `still running after ${timeoutMs} ms`);
  if (exitCode === undefined && signal === undefined) throw new CommandError(argv, result, `${originalMessage}`);
  if (reject && result.exitCode !== 0) throw new CommandError(argv, result, `exit code ${result.exitCode}`);
  return result;
}
