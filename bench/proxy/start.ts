import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { DockerHost, type Pontoon } from "../../integration/lab/index.js";
import { repositoryRoot } from "../../integration/lab/root.js";
import type { Undo } from "../lib/cleanup.js";
import { ratioRow, type Row } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";
import type { ProxyOptions } from "./options.js";
import { useOwnNode } from "./own-node.js";
import { proportionalSetSize } from "./process.js";

const startGoal = { kind: "at most", value: 0.9, unit: "×" } as const;
const memoryGoal = { kind: "at most", value: 0.6, unit: "×" } as const;
const firstPort = 20_000;

/** An unmodified dockerd with one or the other docker-proxy. */
interface Contender {
  readonly name: "pontoon" | "docker-proxy";
  readonly host: DockerHost;
  readonly pontoon?: Pontoon;
}

/** One turn. */
interface Start {
  /** Until `docker run` says that the container runs, ms. */
  readonly started: number;
  /** Until it is gone, ms; no goal refers to it. */
  readonly removed: number;
  /** Bytes (PSS) of what serves the ports: all docker-proxies, or shims, pontoon-proxy, its workers and the daemon. */
  readonly pss: number;
  /** Bytes (PSS) of pontoon-dns, which comes with the daemon. */
  readonly pssOfDns: number;
}

/** Starts a container with a range of published ports, on a dockerd of its own for each docker-proxy. */
export async function measureStart({ options, progress, undo }: Bench<ProxyOptions>): Promise<Outcome> {
  const { ports, rounds: count } = options;
  progress.show("two Docker hosts");
  const contenders = [await pontoonHost(undo), { name: "docker-proxy" as const, host: await DockerHost.start(undo) }];
  for (const contender of contenders) await runOnce(contender, 1);
  const rounds = await takeTurns(contenders, (contender) => runOnce(contender, ports), {
    rounds: count,
    onTurn: (name, round) => progress.show(`docker run: round ${round + 1} of ${count}, ${name}`),
  });
  return { rows: rowsOf(rounds, ports), tables: [], data: { start: Object.fromEntries(rounds) } };
}

function rowsOf(rounds: Rounds<Start>, ports: number): Row[] {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  return [
    ratioRow(
      rounds,
      `docker run with ${ports} ports until running`,
      "docker-proxy",
      startGoal,
      ({ started }) => started,
      seconds,
    ),
    ratioRow(rounds, "… memory (PSS) with the daemon", "docker-proxy", memoryGoal, ({ pss }) => pss, megabytes),
  ];
}

async function pontoonHost(undo: Undo): Promise<Contender> {
  const host = await DockerHost.start(undo, {
    dockerd: [`--userland-proxy-path=${join(repositoryRoot, "bin", "pontoon-docker-proxy")}`],
  });
  await useOwnNode({ run: (argv) => host.exec(argv) });
  return { name: "pontoon", host, pontoon: await host.pontoon() };
}

async function runOnce({ name, host, pontoon }: Contender, ports: number): Promise<Start> {
  const range = `${firstPort}-${firstPort + ports - 1}`;
  const begun = performance.now();
  await host.exec(
    ["docker", "run", "--detach", "--name=published", `--publish=${range}:${range}`, "busybox", "sleep", "1000000"],
    { timeoutMs: 300_000 },
  );
  const started = performance.now() - begun;
  const programs = programsOf(host);
  const servers = programs.filter(({ program }) =>
    program.endsWith(name === "pontoon" ? "/pontoon-docker-proxy" : "/docker-proxy"),
  );
  // A shim that found no pontoon-proxy in time would have become Docker's own docker-proxy.
  if (servers.length !== 2 * ports)
    throw new Error(`${name}: ${servers.length} of ${2 * ports} ports have their docker-proxy`);
  const named = (pattern: RegExp) => programs.filter(({ title }) => pattern.test(title));
  const all = pontoon
    ? [...servers, ...named(/^pontoon-proxy/), ...programs.filter(({ pid }) => pid === pontoon.pid)]
    : servers;
  const pss = (of: readonly Program[]) => of.reduce((sum, { pid }) => sum + proportionalSetSize(host, pid), 0);
  const [pssOfAll, pssOfDns] = [pss(all), pss(named(/^pontoon-dns/))];
  const removing = performance.now();
  await host.exec(["docker", "rm", "--force", "published"], { timeoutMs: 300_000 });
  return { started, removed: performance.now() - removing, pss: pssOfAll, pssOfDns };
}

/** A process of a host. */
interface Program {
  readonly pid: number;
  /** Path of what it runs. */
  readonly program: string;
  /** What it calls itself. */
  readonly title: string;
}

function programsOf(host: DockerHost): Program[] {
  const pids = readdirSync(host.path("/proc")).filter((name) => /^\d+$/.test(name));
  return pids.flatMap((name) => {
    try {
      const title = readFileSync(host.path(`/proc/${name}/cmdline`), "latin1").split("\0")[0]!;
      return [{ pid: Number(name), program: readlinkSync(host.path(`/proc/${name}/exe`)), title }];
    } catch {
      return []; // it has ended
    }
  });
}
