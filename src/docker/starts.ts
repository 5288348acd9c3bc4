import { basename } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { namespaceInode } from "../../linux/netns.js";
import { processIn } from "../../linux/process-in-namespace.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Container } from "../inventory/types.js";
import { withAddress } from "../inventory/listed.js";
import type { DriverNetwork } from "../inventory/driver-network.js";
import { namespaceAt } from "./namespace-arrival.js";
import { sandboxIdOf } from "./normalise.js";

/** A container's place on a network that dockerd has a driver make, while it starts the container. */
export interface Starting {
  readonly network: string;
  /** Id of the endpoint. */
  readonly endpoint: string;
  /** Where dockerd has the namespace, or is about to have it. */
  readonly path: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
}

/** What is known of a container that starts, before dockerd tells of it. */
export interface Started {
  readonly id: string;
  readonly name: string;
  /** Id of its namespace's sandbox, when that is there; undefined where it is not to be known early. */
  readonly sandbox: Promise<string | undefined>;
}

/** Until dockerd has said which container it is, ms: it answers in 4 while it starts one, and not at all while it starts itself. */
const tellTime = 250;
/** Until the namespace is there, ms: dockerd before 26 has it made after it has asked the driver. */
const namespaceTime = 10_000;

/**
 * Containers that are just starting, as a network driver hears of them: before their first process runs, and before dockerd
 * tells anybody else. Their names can so be answered from the beginning.
 */
export class Starts {
  constructor(
    private readonly network: (id: string) => Promise<DriverNetwork | undefined>,
    /** A container that has not run yet, by its name; told although dockerd is about to start it. */
    private readonly created: (name: string) => Promise<Container | undefined>,
    private readonly inventory: Inventory,
    /** Whether dockerd answers: while it starts itself, it does not. */
    private readonly isFollowed: () => boolean,
  ) {}

  /**
   * Puts what is known into the inventory as soon as the namespace is there. Never rejects; undefined when the container is not
   * to be known.
   */
  async begin(starting: Starting): Promise<Started | undefined> {
    if (!this.isFollowed()) return undefined;
    const name = await this.nameOf(starting.network, starting.endpoint);
    const id = name === undefined ? undefined : await this.#idOf(name);
    if (name === undefined || id === undefined) return undefined;
    return { id, name, sandbox: this.#putStarting(id, name, starting).catch(() => undefined) };
  }

  /** One that was created just before may not be known yet: dockerd does not answer what it is, now that it starts it. */
  async #idOf(name: string): Promise<string | undefined> {
    const source = this.inventory.source("docker");
    // One that is known in part since it is too large, or runs, is known as well as it can be.
    const isNew = () => {
      const known = this.inventory.containers.get(source.named(name) ?? "");
      return !known || (known.partial && !known.running && !known.excess);
    };
    const created = isNew() ? await this.created(name).catch(() => undefined) : undefined;
    if (created && isNew()) source.putContainer(created);
    return source.named(name);
  }

  /** How the container of an endpoint is called; undefined where dockerd does not tell in time. Never rejects. */
  async nameOf(network: string, endpoint: string): Promise<string | undefined> {
    if (!this.isFollowed()) return undefined;
    const told = this.network(network).catch(() => undefined);
    const known = await Promise.race([told, pause(tellTime, undefined, { ref: false })]);
    return known?.endpoints.find(({ id }) => id === endpoint)?.name || undefined;
  }

  async #putStarting(
    id: string,
    name: string,
    { network: networkId, path, ipv4, ipv6 }: Starting,
  ): Promise<string | undefined> {
    const known = () => this.inventory.containers.get(id);
    if (!known() || known()?.partial === true) return undefined; // how its names are to be answered is not known
    if (known()?.running === true) return known()?.sandbox?.id;
    if (!(await namespaceAt(path, namespaceTime))) return undefined;
    const pid = await processIn(namespaceInode(path));
    const [container, network] = [known(), this.inventory.networks.get(networkId)];
    if (pid === undefined || !container || !network || container.running) return container?.sandbox?.id;
    const sandbox = { kind: "process", id: sandboxIdOf(basename(path)), pid } as const;
    this.inventory.source("docker").putContainer({
      ...container,
      running: true,
      sandbox,
      endpoints: withAddress(container.endpoints, network, { container: container.id, name, ipv4, ipv6 }),
    });
    return sandbox.id;
  }
}
