import type { Logger } from "pino";
import type { Change, Inventory } from "../inventory/inventory.js";
import type { DockerPort } from "../inventory/published.js";
import { holderOfPort, holderText } from "../linux/port-holder.js";

/** All of /proc is looked through for a holder, so not for every container that somebody tries to start in vain. ms */
const lookEvery = 1000;
/** Holders looked for in one answer. */
const looksAtMost = 8;

/**
 * Ports that dockerd could not bind. Docker 28 and later bind them before they start a docker-proxy, and say no more than
 * that they are in use: who has them is told here.
 */
export class UnboundPorts {
  /** By container, as last seen. */
  readonly #seen = new Map<string, DockerPort | undefined>();
  #lookedAt = -Infinity;

  /** @param holder who holds a port, as `holderText` has it; empty when nobody is seen to */
  constructor(
    private readonly inventory: Inventory,
    private readonly log: Logger,
    private readonly holder: (port: DockerPort) => string = holderOf,
    private readonly now: () => number = () => performance.now(),
  ) {
    inventory.onChange((change) => this.#onChange(change));
  }

  /** Why a port is not bound, with who holds it now, by the container's id. */
  reasons(): Map<string, string> {
    const reasons = new Map<string, string>();
    for (const { id, unboundPort } of this.inventory.containers.values())
      if (unboundPort !== undefined) reasons.set(id, textOf(unboundPort, reasons.size < looksAtMost ? this.holder(unboundPort) : ""));
    return reasons;
  }

  /** What had failed before the container was first seen is old, and may be true no more. */
  #onChange({ containers }: Change): void {
    for (const id of containers) {
      const container = this.inventory.containers.get(id);
      const before = this.#seen.get(id);
      const isNew = !this.#seen.has(id);
      if (!container) this.#seen.delete(id);
      else this.#seen.set(id, container.unboundPort);
      if (!isNew && container?.unboundPort !== undefined && container.unboundPort.hostPort !== before?.hostPort) this.#tell(container.name, container.unboundPort);
    }
  }

  #tell(container: string, port: DockerPort): void {
    const mayLook = this.now() - this.#lookedAt >= lookEvery;
    if (mayLook) this.#lookedAt = this.now();
    this.log.warn({ container, reason: textOf(port, mayLook ? this.holder(port) : "") }, "dockerd could not publish a port");
  }
}

function textOf({ transport, ip, hostPort }: DockerPort, holder: string): string {
  const port = `${transport} port ${ip.includes(":") ? `[${ip}]` : ip}:${hostPort}`;
  return holder === "" ? `${port} was taken when dockerd tried to start the container; start it again` : `${port} is taken${holder}; free it, and start the container again`;
}

function holderOf({ transport, ip, hostPort: port }: DockerPort): string {
  return transport !== "sctp" && holderOfPort(transport, { ip, port }) ? holderText(transport, { ip, port }) : "";
}
