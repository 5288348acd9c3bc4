import { withDeadline } from "../../../common/deadline.js";
import { errorCode } from "../../../common/errors.js";
import { processesCalled } from "../../../linux/process-names.js";
import type { EndpointPorts } from "../../inventory/endpoint-ports.js";
import { isReachedByHost } from "../wanted.js";
import { deadEndpoints } from "./dead-endpoints.js";
import { hasMappedPorts, mappedPorts } from "./endpoint-options.js";
import type { PluginParts, PluginSurroundings } from "./parts.js";
import type { JoinCall } from "./protocol.js";
import type { DockerEndpointRecord, DockerNetworkRecord } from "./records.js";

/** Until dockerd has listed its networks, ms: it does not while it starts itself. */
const listTime = 1000;

/** Published ports of containers on networks of the driver. Never called in a turn of the reconciler's: it takes turns of its own. */
export class ContainerPorts {
  /** @param forget a container's place on a network is nobody's any more */
  constructor(
    private readonly parts: PluginParts,
    private readonly around: Pick<PluginSurroundings, "ports" | "driverNetworks">,
    private readonly forget: (endpoint: string) => Promise<void>,
  ) {}

  /** Frees all ports of an endpoint, if there are any. */
  unpublish(endpoint: string): Promise<void> {
    return this.around.ports.unpublish(endpoint);
  }

  /** The container of an endpoint is called so now. */
  rename(endpoint: string, container: string): void {
    this.around.ports.rename(endpoint, container);
  }

  /**
   * Publishes what `-p` and `-P` ask for, when dockerd says so. All or none; rejects with what keeps a port from being published.
   * @param options of the call, which have the ports of a container whose endpoint was made without
   */
  async publish(
    endpoint: DockerEndpointRecord,
    network: DockerNetworkRecord,
    options: JoinCall["Options"],
  ): Promise<void> {
    const { id, ipv4, ipv6, container = id.slice(0, 12) } = endpoint;
    // An endpoint is made without ports while another one of the container's has them.
    const ports = hasMappedPorts(options) ? mappedPorts(options) : endpoint.ports;
    if (ports.length === 0) return;
    // As with Docker's own drivers: outside it is reached at its own address, and the host, which would forward, does not reach it.
    if (!isReachedByHost(network))
      return this.parts.log.info(
        { container, network: network.name },
        "ports are not published: the host has no access to the LAN's network",
      );
    const request: EndpointPorts = {
      endpoint: id,
      container,
      to: { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) },
      hostBinding: network.hostBinding,
      ...(network.lan && { isOnLan: true }),
      ports,
    };
    try {
      await this.around.ports.publish(request);
    } catch (error) {
      if (errorCode(error) !== "PORT_TAKEN" || !(await this.#forgetDead(id))) throw error;
      await this.around.ports.publish(request);
    }
    // It may have become known meanwhile, when there was nothing to be called otherwise yet.
    const known = this.parts.records.endpoints.get(id)?.container;
    if (known !== undefined && known !== container) this.around.ports.rename(id, known);
  }

  /** Frees ports of endpoints that neither the store nor dockerd has: what was stored of them was lost while they were published. */
  async freeUnknown(listed: ReadonlySet<string>): Promise<void> {
    const { records, registry } = this.parts;
    for (const id of this.around.ports.published())
      if (!records.endpoints.has(id) && !registry.endpoints.has(id) && !listed.has(id))
        await this.around.ports.unpublish(id);
  }

  /** Frees what containers have that are gone, and of whom dockerd never told. @returns whether there were any */
  async #forgetDead(besides: string): Promise<boolean> {
    const isAlone = processesCalled("dockerd") <= 1;
    const isTheirs = ({ id, network }: DockerEndpointRecord) =>
      id !== besides && (isAlone || this.parts.records.networks.get(network)?.isListed === true);
    const joined = () =>
      this.parts.reconciler.command(() => Promise.resolve([...this.parts.records.endpoints.values()].filter(isTheirs)));
    const dead = await deadEndpoints(joined, () => this.#listed());
    for (const EndpointID of dead) await this.forget(EndpointID);
    return dead.length > 0;
  }

  /** Ids of endpoints that dockerd has; undefined when it does not answer. */
  async #listed(): Promise<ReadonlySet<string> | undefined> {
    try {
      const networks = await withDeadline(listTime, this.around.driverNetworks(), () => new Error("dockerd is silent"));
      return new Set(networks.flatMap(({ endpoints }) => endpoints.map(({ id }) => id)));
    } catch {
      return undefined;
    }
  }
}
