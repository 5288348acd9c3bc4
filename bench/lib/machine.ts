import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import type { CommandResult } from "../../integration/lab/index.js";
import { version } from "../../src/version.js";

/** What the figures were measured on and with. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  /** GiB. */
  readonly memory: number;
  readonly kernel: string;
  readonly architecture: string;
  /** The default for TCP connections. */
  readonly congestionControl: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** Runs a command to its end, whatever its exit code is. */
export type Run = (argv: readonly string[]) => Promise<CommandResult>;

/** Describes the machine and the programs that were compared: each with the command that tells its version. */
export async function describeMachine(
  run: Run,
  programs: Readonly<Record<string, readonly string[]>>,
): Promise<Machine> {
  const processors = cpus();
  const versions = await Promise.all(
    Object.entries(programs).map(async ([name, argv]) => [name, await versionOf(run, argv)] as const),
  );
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memory: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    architecture: process.arch,
    congestionControl: readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim(),
    versions: { pontoon: version, node: process.versions.node, ...Object.fromEntries(versions) },
  };
}

/** The first thing that looks like a version in what a program says about itself. */
async function versionOf(run: Run, argv: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(argv);
  return /\d+\.\d+[^\s,]*/.exec(`${stdout}${stderr}`)?.[0] ?? "unknown";
}
