import type { Engine } from "./engine.js";

/** How a container is joined to a network. */
export interface JoinOptions {
  aliases?: string[];
  ip?: string;
  ip6?: string;
  /** `container:alias`, as `docker network connect --link` has it. */
  links?: string[];
}

/** How a network is made; `options` and `labels` as in `docker network create`. */
export interface NetworkOptions {
  driver?: string;
  internal?: boolean;
  subnet?: string;
  gateway?: string;
  /** Turns IPv6 on, with this subnet. */
  ipv6?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
}

/** A Docker network of a test host. */
export class Network {
  private constructor(
    readonly id: string,
    readonly name: string,
    private readonly engine: Engine,
  ) {}

  /** Creates the network. */
  static async create(engine: Engine, name: string, options: NetworkOptions = {}): Promise<Network> {
    const { driver = "bridge", internal = false, subnet, gateway, ipv6 } = options;
    const pools = [
      ...(subnet === undefined ? [] : [{ Subnet: subnet, ...(gateway !== undefined && { Gateway: gateway }) }]),
      ...(ipv6 === undefined ? [] : [{ Subnet: ipv6 }]),
    ];
    const made = await engine.post("/networks/create", {
      Name: name,
      CheckDuplicate: true,
      Driver: driver,
      Internal: internal,
      EnableIPv6: ipv6 !== undefined,
      ...(pools.length > 0 && { IPAM: { Config: pools } }),
      Options: options.options ?? {},
      Labels: options.labels ?? {},
    });
    return new Network((made as { Id: string }).Id, name, engine);
  }

  /** Joins a container, named by name, id or object, to the network. */
  async connect(container: string | { id: string }, options: JoinOptions = {}): Promise<void> {
    await connectNetwork(this.engine, this.id, idOf(container), options);
  }

  /** Takes a container off the network. */
  async disconnect(container: string | { id: string }): Promise<void> {
    await this.engine.post(`/networks/${this.id}/disconnect`, { Container: idOf(container) });
  }

  /** Removes the network, which no running container may be on. */
  async remove(): Promise<void> {
    await this.engine.delete(`/networks/${this.id}`);
  }
}

/** `docker network connect`. */
export async function connectNetwork(
  engine: Engine,
  network: string,
  container: string,
  options: JoinOptions,
): Promise<void> {
  const { aliases = [], links = [], ip, ip6 } = options;
  await engine.post(`/networks/${network}/connect`, {
    Container: container,
    EndpointConfig: {
      Aliases: aliases,
      Links: links,
      IPAMConfig: { ...(ip !== undefined && { IPv4Address: ip }), ...(ip6 !== undefined && { IPv6Address: ip6 }) },
    },
  });
}

function idOf(container: string | { id: string }): string {
  return typeof container === "string" ? container : container.id;
}
