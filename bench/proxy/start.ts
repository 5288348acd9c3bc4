import { join } from "node:path";
import { DockerHost } from "../../integration/host/index.js";
import { repositoryRoot } from "../../integration/host/root.js";
import type { Undo } from "../cleanup.js";
import { ratioRow } from "../goals.js";
import type { Bench, Outcome } from "../measure.js";
import { takeTurns } from "../rounds.js";
import type { ProxyOptions } from "./options.js";
import type { PontoonReply, PontoonRequest } from "./pontoon-child.js";
import { childProgram } from "./sides.js";

const goal = { kind: "at most", value: 0.9, unit: "×" } as const;
const firstPort = 20_000;

/** An unmodified dockerd with one or the other docker-proxy. */
interface Contender {
  readonly name: "pontoon" | "docker-proxy";
  readonly host: DockerHost;
}

/** One turn. */
interface Start {
  /** Until `docker run` says that the container runs, ms. */
  readonly started: number;
  /** Until it is gone, ms; no goal refers to it. */
  readonly removed: number;
}

/** Starts a container with a range of published ports, on a dockerd of its own for each docker-proxy. */
export async function measureStart({ options, progress, undo }: Bench<ProxyOptions>): Promise<Outcome> {
  const { ports, rounds: count } = options;
  progress.show("two Docker hosts");
  const contenders = [await pontoonHost(undo), { name: "docker-proxy" as const, host: await DockerHost.start(undo) }];
  for (const contender of contenders) await run(contender, 1);
  const rounds = await takeTurns(contenders, (contender) => run(contender, ports), {
    rounds: count,
    onTurn: (name, round) => progress.show(`docker run: round ${round + 1} of ${count}, ${name}`),
  });
  const row = ratioRow(rounds, `docker run with ${ports} ports until running`, "docker-proxy", goal, ({ started }) => started, (ms) => `${(ms / 1000).toFixed(2)} s`);
  return { rows: [row], tables: [], data: { start: Object.fromEntries(rounds) } };
}

async function pontoonHost(undo: Undo): Promise<Contender> {
  const host = await DockerHost.start(undo, { dockerd: [`--userland-proxy-path=${join(repositoryRoot, "bin", "pontoon-docker-proxy")}`] });
  await host.helper<PontoonRequest, PontoonReply>(childProgram("pontoon-child.js")).call({ do: "start", runDir: "/run/pontoon", node: [process.execPath] });
  return { name: "pontoon", host };
}

async function run({ name, host }: Contender, ports: number): Promise<Start> {
  const range = `${firstPort}-${firstPort + ports - 1}`;
  const begun = performance.now();
  await host.exec(["docker", "run", "--detach", "--name=published", `--publish=${range}:${range}`, "busybox", "sleep", "1000000"], { timeoutMs: 300_000 });
  const started = performance.now() - begun;
  await checkProxies(name, host, ports);
  const removing = performance.now();
  await host.exec(["docker", "rm", "--force", "published"], { timeoutMs: 300_000 });
  return { started, removed: performance.now() - removing };
}

/** A shim that found no pontoon-proxy in time would have become Docker's own docker-proxy. */
async function checkProxies(name: Contender["name"], host: DockerHost, ports: number): Promise<void> {
  const { stdout } = await host.exec(["sh", "-c", "readlink /proc/[0-9]*/exe"], { reject: false });
  const programs = stdout.split("\n").filter((program) => program.endsWith(name === "pontoon" ? "/pontoon-docker-proxy" : "/docker-proxy"));
  if (programs.length !== 2 * ports) throw new Error(`${name}: ${programs.length} of ${2 * ports} ports have their docker-proxy`);
}
