import { HelperProcess } from "../../integration/lab/helper-process.js";
import { runCommand, type CommandOptions, type CommandResult } from "../../integration/lab/command.js";
import { Namespaces } from "../../integration/lab/namespaces.js";
import type { Undo } from "../lib/cleanup.js";

/** The target's address, as the bridge's, and as a container's would be. */
export const targetAddress = "172.31.0.2";

const targetNamespace = "/run/netns/target";

/**
 * Clients come from few addresses: they need many ports, none of which may be one that is to be published, and those of
 * connections that have just ended at once.
 */
const setUp = `
set -e
ip netns add target
ip link add bridge0 type bridge
ip addr add 172.31.0.1/24 dev bridge0
ip link set bridge0 up
ip link add outside type veth peer name eth0 netns target
ip link set outside master bridge0 up
ip -n target addr add ${targetAddress}/24 dev eth0
ip -n target link set lo up
ip -n target link set eth0 up
ip -n target route add default via 172.31.0.1
echo 30000 65535 >/proc/sys/net/ipv4/ip_local_port_range
mkdir -p /run/bench
`;

export interface Where {
  /** In the target's network namespace instead of that of clients and proxies. */
  readonly inTarget?: boolean;
}

/**
 * Where published ports are measured: a network namespace for clients and proxies, and behind a bridge another for the
 * target. Nothing of it is seen by the machine, and all of it ends with the part of the run it was made for.
 */
export class World {
  private constructor(private readonly namespaces: Namespaces) {}

  static async start(undo: Undo): Promise<World> {
    const namespaces = await Namespaces.create();
    undo.teardown(() => namespaces.close());
    const world = new World(namespaces);
    await world.run(["sh", "-c", setUp]);
    return world;
  }

  /** Where the machine sees a file of this world, /proc included. */
  path(file: string): string {
    return this.namespaces.path(file);
  }

  writeFile(file: string, content: string): void {
    this.namespaces.writeFile(file, content);
  }

  /** Runs a command to its end. */
  run(argv: readonly string[], { inTarget, ...options }: CommandOptions & Where = {}): Promise<CommandResult> {
    return runCommand(this.#enter(argv, { inTarget: inTarget ?? false }), options);
  }

  /** Starts a helper program, which ends with the world at the latest. */
  helper<Request, Reply>(file: string, where: Where = {}): HelperProcess<Request, Reply> {
    return new HelperProcess(this.#enter([process.execPath, file], where));
  }

  #enter(argv: readonly string[], { inTarget }: Where): string[] {
    return inTarget ? this.namespaces.enter(argv, this.path(targetNamespace)) : this.namespaces.enter(argv);
  }
}
