import { ratioRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns } from "../lib/rounds.js";
import type { ProxyOptions } from "./options.js";
import { useOwnNode } from "./own-node.js";
import { proportionalSetSize } from "./process.js";
import { clientAddress, worldWithTarget } from "./site.js";
import { dockerProxySide, pontoonSide, type SideKind } from "./sides.js";
import { targetAddress, type World } from "./world.js";

const goal = { kind: "at most", value: 0.3, unit: "×" } as const;
const firstPort = 20_000;
/** Each takes long, and they hardly differ. */
const roundsAtMost = 3;

/** What all processes of one side held, bytes. */
interface Memory {
  readonly pss: number;
  readonly processes: number;
}

/** Publishes many ports on IPv4 and IPv6 with one side after the other, and adds up what its processes hold. */
export async function measureMemory({ options, progress, undo }: Bench<ProxyOptions>): Promise<Outcome> {
  const { ports } = options;
  const world = await worldWithTarget(undo);
  await useOwnNode(world);
  const count = Math.min(options.rounds, roundsAtMost);
  const rounds = await takeTurns([pontoonSide, dockerProxySide], (kind) => measureSide(world, kind, ports), {
    rounds: count,
    onTurn: (name, round) => progress.show(`memory: round ${round + 1} of ${count}, ${name}`),
  });
  const row = ratioRow(
    rounds,
    `memory (PSS) of ${ports} ports × IPv4 + IPv6`,
    "docker-proxy",
    goal,
    ({ pss }) => pss,
    printMegabytes,
  );
  return { rows: [row], tables: [], data: { memory: Object.fromEntries(rounds) } };
}

async function measureSide(world: World, kind: SideKind, ports: number): Promise<Memory> {
  const side = await kind.start(world);
  const numbers = Array.from({ length: ports }, (_, index) => firstPort + index);
  const mappings = numbers.flatMap((hostPort) =>
    ["0.0.0.0", "::"].map((hostIp) => ({
      protocol: "tcp" as const,
      hostIp,
      hostPort,
      containerIp: targetAddress,
      containerPort: 81,
    })),
  );
  await side.publish(mappings);
  // Each has been of use once.
  const urls = numbers.flatMap((port) => [`http://${clientAddress}:${port}/`, `http://[::1]:${port}/`]);
  await world.run(["curl", "--silent", "--show-error", "--fail-early", "--globoff", ...urls], { timeoutMs: 120_000 });
  const pids = await side.processes();
  const pss = pids.reduce((sum, pid) => sum + proportionalSetSize(world, pid), 0);
  await side.stop();
  return { pss, processes: pids.length };
}

function printMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
