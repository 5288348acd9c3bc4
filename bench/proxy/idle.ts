import { setTimeout as pause } from "node:timers/promises";
import { cpuSeconds } from "../lib/cpu.js";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns } from "../lib/rounds.js";
import { median } from "../lib/statistics.js";
import type { ClientsRequest } from "./clients-child.js";
import type { ProxyOptions } from "./options.js";
import { residentMemory } from "./process.js";
import { childProgram, dockerProxySide, pontoonSide, type SideKind } from "./sides.js";
import { clientAddress, contend, worldWithTarget } from "./site.js";
import type { World } from "./world.js";

const bytesGoal = { kind: "at most", value: 3, unit: "KB" } as const;
/** What its ten visits a second to Node's loop cost is no busy loop. */
const busyGoal = { kind: "at most", value: 2, unit: "%" } as const;
const roundsAtMost = 3;
/**
 * Connections for each descriptor a process may have. With pontoon each takes two, and one publication may have three
 * quarters of them; docker-proxy holds two pipes besides.
 */
const descriptorsShare = { pontoon: 3 / 8, "docker-proxy": 1 / 6 };
/** Connections for warming up, and those that the limit leaves unused. */
const warmUp = 200;
const spare = 400;
/** After the last connection was made, until what that left behind has been collected, ms. */
const settling = 2000;

/** What one side's serving process held, and did. */
interface Held {
  readonly connections: number;
  /** Bytes of resident memory. */
  readonly before: number;
  readonly after: number;
  /** Share of one processor used while nothing happened, percent. */
  readonly busy: number;
}

/** Has one process of each side hold many connections on which nothing happens. */
export async function measureIdle({ options, progress, undo }: Bench<ProxyOptions>): Promise<Outcome> {
  const world = await worldWithTarget(undo);
  const limit = await descriptorLimit(world);
  const connectionsOf = (kind: SideKind) =>
    Math.min(options.connections, Math.floor(limit * descriptorsShare[kind.name]) - spare);
  const count = Math.min(options.rounds, roundsAtMost);
  const rounds = await takeTurns(
    [pontoonSide, dockerProxySide],
    (kind) => hold(world, kind, connectionsOf(kind), options.seconds),
    {
      rounds: count,
      onTurn: (name, round) => progress.show(`idle connections: round ${round + 1} of ${count}, ${name}`),
    },
  );
  const of = (name: "pontoon" | "docker-proxy", figure: (held: Held) => number): number[] =>
    rounds.get(name)!.map((held) => figure(held));
  const title = `${connectionsOf(pontoonSide).toLocaleString("en")} idle connections`;
  const rows = [
    {
      ...ranged(`${title}, each`, of("pontoon", kilobytesEach), bytesGoal),
      against: "docker-proxy",
      other: `${median(of("docker-proxy", kilobytesEach)).toFixed(1)} KB`,
    },
    {
      ...ranged(
        "… processor meanwhile",
        of("pontoon", ({ busy }) => busy),
        busyGoal,
      ),
      against: "docker-proxy",
      other: `${median(of("docker-proxy", ({ busy }) => busy)).toFixed(1)} %`,
    },
  ];
  return { rows, tables: [], data: { idle: Object.fromEntries(rounds) } };
}

async function hold(world: World, kind: SideKind, connections: number, seconds: number): Promise<Held> {
  const { side, ports } = await contend(world, kind);
  // Of docker-proxies the one that serves this port: it was published first.
  const server = (await side.processes())[0]!;
  const port = ports.requests;
  const clients = world.helper<ClientsRequest, object>(childProgram("clients-child.js"));
  const to = { ip: clientAddress, port };
  // Code that has run once is none of what connections cost; a heap that has been full once would hide them.
  await clients.call({ connections: warmUp, to });
  await pause(settling);
  const before = residentMemory(world, server);
  await clients.call({ connections: connections + warmUp, to });
  await pause(settling);
  const [after, cpuBefore] = [residentMemory(world, server), cpuSeconds(world, [server])];
  const quietMs = Math.max(seconds, 5) * 1000;
  await pause(quietMs);
  const busy = ((cpuSeconds(world, [server]) - cpuBefore) / (quietMs / 1000)) * 100;
  await clients.release();
  await side.stop();
  return { connections, before, after, busy };
}

function kilobytesEach({ connections, before, after }: Held): number {
  return (after - before) / connections / 1e3;
}

/** How many descriptors a process may have. */
async function descriptorLimit(world: World): Promise<number> {
  const { stdout } = await world.run([
    process.execPath,
    "-e",
    "process.stdout.write(require('fs').readFileSync('/proc/self/limits', 'utf8'))",
  ]);
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(stdout)?.[1]);
}

function ranged(measure: string, values: readonly number[], goal: Parameters<typeof figureRow>[3]) {
  return figureRow(
    measure,
    median(values),
    `${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)}`,
    goal,
  );
}
