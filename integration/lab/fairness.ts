import type { Container } from "./container.js";
import type { DockerHost } from "./docker-host.js";
import type { FloodReport, FloodRequest } from "./flood-child.js";
import { helperProgram } from "./root.js";
import type { SteadyReport, SteadyRequest } from "./steady-child.js";

/** Asks a container's resolver for unique names, as fast as told, for a time. */
export async function flood(
  host: DockerHost,
  container: Container,
  request: Omit<FloodRequest, "server">,
): Promise<FloodReport> {
  return run(host, container, "flood-child.js", { ...request, server: "127.0.0.11" }, request.seconds);
}

/** Asks a container's resolver at a steady pace, each question once. */
export async function askSteadily(
  host: DockerHost,
  container: Container,
  request: Omit<SteadyRequest, "server">,
): Promise<SteadyReport> {
  return run(
    host,
    container,
    "steady-child.js",
    { ...request, server: "127.0.0.11" },
    request.count / request.perSecond,
  );
}

/** The value that so many of a hundred do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * percent) / 100) - 1)] ?? NaN;
}

async function run<Report>(
  host: DockerHost,
  container: Container,
  program: string,
  request: object,
  seconds: number,
): Promise<Report> {
  // The one that measures goes ahead of what it measures, so that its own waiting for a processor does not count.
  const priority = program === "steady-child.js" ? "-15" : "0";
  const argv = ["nice", "-n", priority, process.execPath, helperProgram(program), JSON.stringify(request)];
  const { stdout } = await host.exec(argv, { netns: container, timeoutMs: seconds * 1000 + 30_000 });
  return JSON.parse(stdout) as Report;
}
