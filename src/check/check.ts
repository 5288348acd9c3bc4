import { hostDnsRule } from "../names/takeovers/namespace-rules.js";
import { statusAnswer } from "../control/answers.js";
import { ControlClient } from "../control/client.js";
import { loadConfig } from "../config.js";
import type { Status } from "../status.js";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import { faultOfWriting } from "../../common/own-folder.js";
import { probeContainers } from "./containers.js";
import { probeDocker } from "./docker.js";
import type { DaemonFacts, Facts, FolderFacts, HostFacts } from "./facts.js";
import { findingsOf, isWell, type Finding } from "./findings.js";
import { probeKernel } from "./kernel.js";
import { probeLeftovers, removeLeftovers } from "./leftovers.js";
import { heldBy, holdersOf, listenersAt } from "../../linux/listening-sockets.js";

export interface CheckOptions {
  readonly runDir: string;
  /** As given with `--state-dir`; undefined for that of a running daemon, or the usual one. */
  readonly stateDir: string | undefined;
  /** As given with `--docker` and `--config`. */
  readonly docker: string | undefined;
  readonly config: string | undefined;
  /** Remove what earlier daemons left. */
  readonly repair: boolean;
}

export interface CheckResult {
  readonly well: boolean;
  readonly findings: readonly Finding[];
  readonly repaired: readonly string[];
}

/** Looks at this machine, dockerd, a running daemon and what earlier ones left, and says what it means. Changes nothing unless asked to. */
export async function check(options: CheckOptions): Promise<CheckResult> {
  const isRoot = process.getuid?.() === 0;
  if (options.repair && !isRoot)
    throw new PontoonError(
      "NOT_ROOT",
      "pontoon check --repair",
      "pontoon check --repair works in other programs' network namespaces and needs root; run it with sudo",
    );
  let facts = await gather(options, isRoot);
  const repaired = options.repair ? await removeLeftovers(facts.leftovers) : [];
  if (repaired.length > 0) facts = await gather(options, isRoot);
  const findings = findingsOf(facts);
  return { well: isWell(findings), findings, repaired };
}

async function gather(options: CheckOptions, isRoot: boolean): Promise<Facts> {
  const { daemon, status } = await probeDaemon(options.runDir);
  const config = probeConfig(options.config);
  const host =
    options.docker ?? status?.docker.host ?? config.docker ?? process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
  const docker = await probeDocker(host);
  return {
    isRoot,
    features: probeKernel(isRoot),
    config: config.problem,
    folders: isRoot ? probeFolders(options.runDir, options.stateDir ?? status?.stateDir ?? "/var/lib/pontoon") : [],
    docker: docker.facts,
    daemon,
    containers:
      (docker.inventory ?? status)
        ? { kind: "seen", value: await probeContainers(docker.inventory, status, isRoot) }
        : { kind: "unseen", reason: "dockerd was not asked" },
    host: await probeHost(isRoot),
    leftovers: await probeLeftovers(options.runDir, daemon, docker.inventory, isRoot),
  };
}

function probeFolders(runDir: string, stateDir: string): FolderFacts[] {
  const folders = [
    ["--run-dir", runDir],
    ["--state-dir", stateDir],
  ] as const;
  return folders.map(([option, path]) => ({ option, path, fault: faultOfWriting(path) }));
}

function probeConfig(path: string | undefined): {
  readonly docker: string | undefined;
  readonly problem: string | undefined;
} {
  try {
    return { docker: loadConfig(path).docker, problem: undefined };
  } catch (error) {
    return { docker: undefined, problem: describeError(error) };
  }
}

async function probeDaemon(runDir: string): Promise<{ daemon: DaemonFacts; status: Status | undefined }> {
  try {
    const status = statusAnswer(await new ControlClient(`${runDir}/control.sock`).get("/v1/status"));
    const { version, pid, observe, docker, dns, ports, backend } = status;
    return { daemon: { kind: "running", version, pid, observe, docker, dns, ports, backend }, status };
  } catch (error) {
    return { daemon: withoutStatus(error, runDir), status: undefined };
  }
}

function withoutStatus(error: unknown, runDir: string): DaemonFacts {
  const code = errorCode(error);
  if (code === "NOT_ALLOWED") return { kind: "not-allowed" };
  // One that is there and does not answer is told by its cause.
  return code === "NO_DAEMON" && error instanceof PontoonError && error.cause === undefined
    ? { kind: "none", runDir }
    : { kind: "silent", reason: describeError(error) };
}

async function probeHost(isRoot: boolean): Promise<HostFacts> {
  const listeners = await listenersAt(53, "self");
  return {
    holders: heldBy(listeners, await holdersOf(listeners)),
    redirect: isRoot ? hostRedirect() : { kind: "unseen", reason: "that needs root" },
  };
}

function hostRedirect(): HostFacts["redirect"] {
  try {
    return { kind: "seen", value: hostDnsRule() };
  } catch (error) {
    return { kind: "unseen", reason: describeError(error) };
  }
}
