import { until } from "../../integration/lab/until.js";
import { cpuSeconds } from "../lib/cpu.js";
import type { Undo } from "../lib/cleanup.js";
import { childProgram, dockerProxySide, pontoonSide, type Side, type SideKind } from "./sides.js";
import type { TargetPorts } from "./target-child.js";
import { targetAddress, World } from "./world.js";

/** Where the target listens. */
const targetPorts: TargetPorts = { requests: 80, connections: 81, bulk: 5201, dns: 53 };
/** Where clients find all ports, as they do on a Docker host itself. */
export const clientAddress = "127.0.0.1";

/** A world with a target that answers. */
export async function worldWithTarget(undo: Undo): Promise<World> {
  const world = await World.start(undo);
  await world.helper<TargetPorts, object>(childProgram("target-child.js"), { inTarget: true }).call(targetPorts);
  await iperfIsFree(world);
  return world;
}

/** After each test iperf3 closes its listener for a moment: a client that comes then is refused, or reset by whoever passes it on. */
export async function iperfIsFree(world: World): Promise<void> {
  const isFree = async () => {
    const { stdout } = await world.run(["ss", "-tan", `sport = :${targetPorts.bulk}`], { inTarget: true });
    return stdout.includes("LISTEN") && !/ESTAB|CLOSE-WAIT/.test(stdout);
  };
  await until(isFree, { timeoutMs: 20_000, what: "iperf3 waits for a client" });
}

/** One of those that take turns, and where it has published the target's services. */
export interface Contender {
  readonly name: Side["name"];
  readonly side: Side;
  readonly ports: TargetPorts;
}

const firstPorts = { pontoon: 20_000, "docker-proxy": 21_000 };

/** Starts one side, and publishes all services of the target. */
export async function contend(world: World, kind: SideKind): Promise<Contender> {
  const side = await kind.start(world);
  const first = firstPorts[kind.name];
  const ports = { requests: first, connections: first + 1, bulk: first + 2, dns: first + 3 };
  const services = Object.keys(targetPorts) as (keyof TargetPorts)[];
  const mappings = services.map((service) => ({
    protocol: service === "dns" ? ("udp" as const) : ("tcp" as const),
    hostIp: "0.0.0.0",
    hostPort: ports[service],
    containerIp: targetAddress,
    containerPort: targetPorts[service],
  }));
  await side.publish(mappings);
  return { name: kind.name, side, ports };
}

/** A world in which both have published the same target. */
export interface Site {
  readonly world: World;
  readonly contenders: readonly Contender[];
}

export async function buildSite(undo: Undo): Promise<Site> {
  const world = await worldWithTarget(undo);
  return { world, contenders: [await contend(world, pontoonSide), await contend(world, dockerProxySide)] };
}

/** Does something under load. @returns what it came to, and the CPU seconds it cost the contender's processes */
export async function withCpu<Result>(
  world: World,
  { side }: Contender,
  load: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly cpu: number }> {
  const before = cpuSeconds(world, await side.processes());
  const result = await load();
  return { result, cpu: cpuSeconds(world, await side.processes()) - before }; // what has been started meanwhile included
}
