import { cpus, release, totalmem } from "node:os";
import type { DockerHost } from "../integration/host/index.js";
import { version } from "../src/version.js";
import { aardvarkProgram } from "./peers/aardvark.js";

/** What the figures were measured on and with. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  /** GiB. */
  readonly memory: number;
  readonly kernel: string;
  readonly architecture: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** Describes the machine and the programs that were compared. */
export async function describeMachine(host: DockerHost): Promise<Machine> {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memory: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    architecture: process.arch,
    versions: {
      pontoon: version,
      node: process.versions.node,
      dockerd: await versionOf(host, ["dockerd", "--version"]),
      dnsmasq: await versionOf(host, ["dnsmasq", "--version"]),
      "aardvark-dns": await versionOf(host, [aardvarkProgram, "--version"]),
      dnsperf: await versionOf(host, ["dnsperf", "-h"]),
    },
  };
}

/** The first thing that looks like a version in what a program says about itself. */
async function versionOf(host: DockerHost, argv: readonly string[]): Promise<string> {
  const { stdout, stderr } = await host.exec(argv, { reject: false });
  return /\d+\.\d+[^\s,]*/.exec(`${stdout}${stderr}`)?.[0] ?? "unknown";
}
