import type { PublicationOptions } from "../../proxy/publication/publication.js";
import { PontoonError } from "../../common/errors.js";
import type { Container } from "../inventory/types.js";
import { inSlices, type Pieces } from "../../linux/pieces.js";
import { closeDescriptor } from "../../linux/socket.js";
import { bindPort, PortTaken } from "./bind.js";
import type { EndpointTarget, PublishedPort } from "./published-port.js";
import { idOf, type Binding, type BoundEntry } from "./entry.js";
import type { PublishedPorts } from "./published-ports.js";
import type { PortMapping } from "./spec.js";
import { takenBy } from "./taken-ports.js";

/** A mapping that is to be bound, and what is published with it. */
export interface WantedMapping {
  readonly container: string;
  readonly mapping: PortMapping;
  readonly binding: Binding;
  readonly options: PublicationOptions;
  readonly source: PublishedPort["source"];
  /** As {@link PublishedPort.endpoint}. */
  readonly endpoint?: EndpointTarget;
}

/** How Docker is made to publish a port. */
const dockersWay = {
  command: "publish it with `docker run -p`",
  label: "publish it with `docker run -p`",
  driver: "use a network that was made with -o pontoon.ports=docker",
} as const satisfies Record<PublishedPort["source"], string>;

/** Binds what is to be published, at addresses and ports that are not ours already. */
export class PortBinder {
  constructor(
    private readonly ports: PublishedPorts,
    /** Address of publications that name none; undefined: where Docker would bind them. */
    private readonly ip: string | undefined,
  ) {}

  /** @param ip named for what names none itself */
  bindingOf(container: Container | undefined, ip = this.ip): Binding {
    return ip === undefined ? this.ports.bindingOf(container) : { ips: [ip], byDefault: false };
  }

  /** Binds all or none. Rejects with what {@link bind} throws; of a port that is taken, with who has it. */
  async bindAll(wanted: readonly WantedMapping[]): Promise<BoundEntry[]> {
    const bound: BoundEntry[] = [];
    await this.ports.makeRoom(wanted.map(({ mapping }) => mapping));
    try {
      await inSlices(this.#bindEach(wanted, bound));
      return bound;
    } catch (error) {
      for (const { descriptor } of bound) closeDescriptor(descriptor);
      throw error instanceof PortTaken ? (await this.ports.taken.explain([error], true))[0]! : error;
    }
  }

  *#bindEach(wanted: readonly WantedMapping[], bound: BoundEntry[]): Pieces<void> {
    const claimed = new Map<string, PublishedPort>();
    for (const each of wanted) {
      for (const entry of yield* this.bind(each, claimed)) {
        bound.push(entry);
        claimed.set(idOf(entry.port), entry.port);
      }
      yield;
    }
  }

  /**
   * Throws NOT_PUBLISHABLE, PORT_TAKEN, and what else keeps a port from being bound.
   * @param besides bound by now, and not among the published ports yet
   * @returns an entry for each address
   */
  *bind(
    { container, mapping, binding, options, source, endpoint }: WantedMapping,
    besides: ReadonlyMap<string, PublishedPort>,
  ): Pieces<BoundEntry[]> {
    const { transport, containerPort, hostPorts } = mapping;
    if (transport === "sctp")
      throw new PontoonError(
        "NOT_PUBLISHABLE",
        container,
        `pontoon forwards TCP and UDP, not SCTP (${containerPort}/sctp); ${dockersWay[source]}`,
      );
    const ips = addressesOf(container, mapping, binding);
    const byDefault = mapping.ip === undefined && binding.byDefault;
    const only = hostPorts?.first === hostPorts?.last ? hostPorts?.first : undefined;
    if (only !== undefined) for (const ip of ips) this.#requireUnclaimed(transport, ip, only, besides);
    const isClaimed = (hostPort: number) => ips.some((ip) => this.ports.entries.has(idOf({ transport, ip, hostPort })));
    const bound = yield* bindPort(transport, ips, hostPorts, isClaimed);
    return bound.map(({ ip, port: hostPort, descriptor }) => {
      this.ports.taken.forget({ protocol: transport, address: { ip, port: hostPort } });
      const asked = { options, source, ...(byDefault && { byDefault }), ...(endpoint && { endpoint }) };
      return { port: { container, transport, ip, hostPort, containerPort, ...asked }, descriptor };
    });
  }

  /** Throws PORT_TAKEN for a port that is ours already, bound or not. */
  #requireUnclaimed(
    transport: PublishedPort["transport"],
    ip: string,
    hostPort: number,
    besides: ReadonlyMap<string, PublishedPort>,
  ): void {
    const id = idOf({ transport, ip, hostPort });
    const owner = this.ports.entries.get(id)?.port ?? besides.get(id);
    if (owner)
      throw takenBy(
        transport,
        hostPort,
        `pontoon publishes it for ${owner.container} (${owner.containerPort}/${transport})`,
      );
  }
}

/** Where a mapping is bound. Throws NOT_PUBLISHABLE when it names no address and Docker would bind it nowhere. */
export function addressesOf(container: string, mapping: PortMapping, { ips, reason }: Binding): readonly string[] {
  if (mapping.ip !== undefined) return [mapping.ip];
  if (reason !== undefined) throw new PontoonError("NOT_PUBLISHABLE", container, reason);
  return ips;
}
