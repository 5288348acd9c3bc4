import type { Logger } from "pino";
import { formatAddress } from "../../common/address.js";
import type { Change, Inventory } from "../inventory/inventory.js";
import type { DockerPort } from "../inventory/types.js";
import { inSlices } from "../../linux/pieces.js";
import { holdersOfPorts, holderText, type TakenPort } from "../../linux/port-holder.js";

/** All of /proc is looked through for holders: once for as many starts as fail meanwhile. ms */
const lookEvery = 1000;
/** Failures that wait to be told; of further ones nothing is said. */
const untoldAtMost = 1000;

/** Who holds each of some ports, as `holderText` has it; empty for who is not seen. */
export type HoldersOf = (ports: readonly DockerPort[]) => Promise<string[]>;

/**
 * Ports that dockerd could not bind. Docker 28 and later bind them before they start a docker-proxy, and say no more than
 * that they are in use: who has them is told here.
 */
export class UnboundPorts {
  /** By container, as last seen. */
  readonly #seen = new Map<string, DockerPort | undefined>();
  readonly #untold: { readonly container: string; readonly port: DockerPort }[] = [];
  #telling = false;

  constructor(
    private readonly inventory: Inventory,
    private readonly log: Logger,
    private readonly holdersOf: HoldersOf = lookForHolders,
    private readonly pause: (ms: number) => Promise<unknown> = (ms) =>
      new Promise((resolve) => setTimeout(resolve, ms).unref()),
  ) {
    inventory.onChange((change) => this.#onChange(change));
  }

  /** Why a port is not bound, with who holds it now, by the container's id. */
  async reasons(): Promise<Map<string, string>> {
    const unbound = [...this.inventory.containers.values()].flatMap(({ id, unboundPort }) =>
      unboundPort === undefined ? [] : [{ id, port: unboundPort }],
    );
    if (unbound.length === 0) return new Map();
    const holders = await this.holdersOf(unbound.map(({ port }) => port));
    return new Map(unbound.map(({ id, port }, index) => [id, textOf(port, holders[index] ?? "")]));
  }

  /** What had failed before the container was first seen is old, and may be true no more. */
  #onChange({ containers }: Change): void {
    for (const id of containers) {
      const container = this.inventory.containers.get(id);
      const before = this.#seen.get(id);
      const isNew = !this.#seen.has(id);
      if (!container) this.#seen.delete(id);
      else this.#seen.set(id, container.unboundPort);
      const hasFailed =
        !isNew && container?.unboundPort !== undefined && container.unboundPort.hostPort !== before?.hostPort;
      if (hasFailed && this.#untold.length < untoldAtMost)
        this.#untold.push({ container: container.name, port: container.unboundPort });
    }
    if (!this.#telling && this.#untold.length > 0) void this.#tell();
  }

  async #tell(): Promise<void> {
    this.#telling = true;
    while (this.#untold.length > 0) {
      const failed = this.#untold.splice(0);
      const holders = await this.holdersOf(failed.map(({ port }) => port));
      for (const [index, { container, port }] of failed.entries())
        this.log.warn({ container, reason: textOf(port, holders[index] ?? "") }, "dockerd could not publish a port");
      await this.pause(lookEvery);
    }
    this.#telling = false;
  }
}

function textOf({ transport, ip, hostPort }: DockerPort, holder: string): string {
  const port = `${transport} port ${formatAddress({ ip, port: hostPort })}`;
  return holder === ""
    ? `${port} was taken when dockerd tried to start the container; start it again`
    : `${port} is taken${holder}; free it, and start the container again`;
}

/** As {@link HoldersOf}, from /proc. */
export async function lookForHolders(ports: readonly DockerPort[]): Promise<string[]> {
  const taken = ports.map(({ transport, ip, hostPort: port }): TakenPort => ({
    protocol: transport === "udp" ? "udp" : "tcp",
    address: { ip, port },
  }));
  const holders = await inSlices(holdersOfPorts(taken));
  return ports.map(({ transport }, index) =>
    transport === "sctp" || !holders[index] ? "" : holderText(holders[index]),
  );
}
