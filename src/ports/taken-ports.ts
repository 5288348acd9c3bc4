import { overlap } from "../../common/address.js";
import { PortTaken, withHolders } from "./bind.js";
import { PontoonError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import type { BoundPort } from "./spec.js";
import { inSlices } from "../../linux/pieces.js";

/** Who has a port that stays taken is looked up again after this long, ms. */
const knownFor = 300_000;
const knownAtMost = 20_000;

interface Known {
  readonly error: PontoonError;
  readonly until: number;
}

/** A port of ours, and whose it is. */
export interface OwnPort extends BoundPort {
  readonly container: string;
}

/**
 * Finds out who has ports that could not be bound: for many at once, and for each but rarely, since everything that any
 * process holds has to be looked at.
 */
export class TakenPorts {
  readonly #known = new Map<string, Known>();

  /**
   * @param own ports we have bound
   * @param now milliseconds
   */
  constructor(
    private readonly inventory: Pick<Inventory, "containers">,
    private readonly own: () => Iterable<OwnPort>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** The errors that tell who has each port. @param lookAgain also at those that were explained lately */
  async explain(taken: readonly PortTaken[], lookAgain = false): Promise<PontoonError[]> {
    const now = this.now();
    const lately = (error: PortTaken) => {
      const known = this.#known.get(error.subject);
      return known && known.until > now ? known.error : undefined;
    };
    const unknown = lookAgain ? [...taken] : taken.filter((error) => !lately(error));
    await this.#lookUp(unknown);
    return taken.map((error) => this.#known.get(error.subject)?.error ?? error);
  }

  /** A port was bound: whoever has it next is another. */
  forget({ protocol, address }: Pick<PortTaken, "protocol" | "address">): void {
    if (this.#known.size > 0) this.#known.delete(new PortTaken(protocol, address).subject);
  }

  async #lookUp(taken: readonly PortTaken[]): Promise<void> {
    if (taken.length === 0) return;
    const containers = this.#containersPorts();
    const others: PortTaken[] = [];
    for (const error of taken) {
      const { protocol, address } = error;
      const owner = containers.get(`${protocol} ${address.port}`)?.find(({ ip }) => overlap(ip, address.ip));
      if (owner) this.#remember(error, takenBy(protocol, address.port, owner.by));
      else others.push(error);
    }
    if (others.length === 0) return;
    for (const error of await inSlices(withHolders(others))) this.#remember(error, error);
  }

  #remember({ subject }: PortTaken, error: PontoonError): void {
    this.#known.delete(subject);
    this.#known.set(subject, { error, until: this.now() + knownFor });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= knownAtMost) return;
      this.#known.delete(oldest);
    }
  }

  /** By transport and port of the host. */
  #containersPorts(): Map<string, { readonly ip: string; readonly by: string }[]> {
    const ports = new Map<string, { readonly ip: string; readonly by: string }[]>();
    const add = ({ transport, hostPort, ip, containerPort }: BoundPort, who: string) => {
      const key = `${transport} ${hostPort}`;
      const entry = { ip, by: `${who} (${containerPort}/${transport})` };
      const known = ports.get(key);
      if (known) known.push(entry);
      else ports.set(key, [entry]);
    };
    for (const port of this.own()) add(port, `pontoon publishes it for ${port.container}`);
    for (const { name, running, published } of this.inventory.containers.values())
      if (running) for (const port of published) add(port, `Docker publishes it for ${name}`);
    return ports;
  }
}

/** PORT_TAKEN by a container. */
export function takenBy(transport: string, hostPort: number, by: string): PontoonError {
  return new PontoonError(
    "PORT_TAKEN",
    `${transport} port ${hostPort}`,
    `${transport} port ${hostPort} is taken: ${by}; choose another`,
  );
}
