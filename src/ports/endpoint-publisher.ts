import { unspecified } from "../../common/address.js";
import type { EndpointPorts } from "../inventory/endpoint-ports.js";
import { hasIPv6 } from "./bind.js";
import type { Binding, Entry } from "./entry.js";
import type { PortBinder } from "./port-binder.js";
import type { PublishedPorts } from "./published-ports.js";

/** Publishes what the network driver asks for. One request after the other: each sees what those before have done. */
export class EndpointPublisher {
  constructor(
    private readonly ports: PublishedPorts,
    private readonly binder: PortBinder,
  ) {}

  /** All or none. Rejects with what {@link PortBinder.bindAll} does, STORE_UNWRITABLE or SERVER_SILENT. */
  async publish({ endpoint, container, to, hostBinding, isOnLan = false, ports }: EndpointPorts): Promise<void> {
    if (this.#of(endpoint).length > 0) return; // it was asked for before
    const everywhere = hasIPv6() ? [unspecified.ipv4, unspecified.ipv6] : [unspecified.ipv4];
    const binding: Binding = { ips: hostBinding === undefined ? everywhere : [hostBinding], byDefault: false };
    const options = isOnLan ? ({ path: "proxy" } as const) : {};
    const common = { container, binding, options, source: "driver", endpoint: { id: endpoint, ...to } } as const;
    const wanted = ports.map(({ transport, containerPort, ip, hostPorts }) => ({
      ...common,
      mapping: { transport, containerPort, ip, hostPorts },
    }));
    await this.ports.add(await this.binder.bindAll(wanted));
  }

  /** Rejects with STORE_UNWRITABLE. */
  async unpublish(endpoint: string): Promise<void> {
    await this.ports.remove(this.#of(endpoint));
  }

  rename(endpoint: string, container: string): void {
    this.ports.rename(
      this.#of(endpoint).filter(({ port }) => port.container !== container),
      container,
    );
  }

  /** Its addresses are others now. Throws STORE_UNWRITABLE. */
  move(endpoint: string, to: EndpointPorts["to"]): void {
    const isElsewhere = ({ port }: Entry) => port.endpoint?.ipv4 !== to.ipv4 || port.endpoint?.ipv6 !== to.ipv6;
    this.ports.move(this.#of(endpoint).filter(isElsewhere), to);
  }

  #of(endpoint: string) {
    return this.ports.all.filter(({ port }) => port.endpoint?.id === endpoint);
  }
}
