import { PontoonError } from "../../common/errors.js";
import { isDockersBridge } from "../../network/docker-bridges.js";
import type { ConnectRequest, DisconnectRequest } from "./contract.js";
import type { DockersNetworks } from "./dockers-networks.js";
import { defineEndpoint } from "./define-endpoint.js";
import { requireOwnStack } from "./joined.js";
import type { NetworkAddresses } from "./network-addresses.js";
import { newId } from "./new-id.js";
import type { Reconciler } from "./reconciler.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";

/** A Linux bridge takes so many ports (`BR_MAX_PORTS` less one that is never used). */
const portsAtMost = 1023;

/** Connects sandboxes to networks. What changes something is called from a command of the reconciler. */
export class Endpoints {
  constructor(
    private readonly registry: Registry,
    private readonly reconciler: Reconciler,
    private readonly addresses: NetworkAddresses,
    private readonly dockers: DockersNetworks,
  ) {}

  /** Rejects with a PontoonError that says what is wrong; nothing is left of it then. */
  async connect(network: NetworkRecord, sandbox: SandboxRecord, request: ConnectRequest): Promise<void> {
    requireOwnStack(this.registry, sandbox);
    this.#requirePlace(network, sandbox, request);
    const given = this.addresses.give(network, `sandbox ${sandbox.name}`, request.ips);
    let endpoint: EndpointRecord | undefined;
    try {
      endpoint = defineEndpoint(request, this.registry, { network, sandbox, given, id: newId() });
      this.registry.commit({ endpoints: [endpoint] });
      await this.reconciler.change({ endpoints: this.reconciler.wantedEndpointsOf(sandbox.id) });
    } catch (error) {
      if (endpoint) await this.reconciler.undo({ endpoints: [endpoint.id] }, sandbox.id);
      this.addresses.release(network.id, given);
      throw error;
    }
  }

  #requirePlace(network: NetworkRecord, sandbox: SandboxRecord, { ips }: ConnectRequest): void {
    if (this.registry.endpointsOf({ network: network.id, sandbox: sandbox.id }).length > 0)
      throw new PontoonError(
        "ALREADY_CONNECTED",
        sandbox.name,
        `sandbox ${sandbox.name} is on network ${network.name} already`,
      );
    if (this.registry.endpointsOn(network.id) >= portsAtMost)
      throw new PontoonError(
        "NETWORK_FULL",
        network.name,
        `network ${network.name} has ${portsAtMost} sandboxes, and a Linux bridge has no more ports; use another network beside it`,
      );
    if (network.isAdopted && this.#isDockers(network.bridge) && ips.length === 0)
      throw new PontoonError(
        "ADDRESS_NEEDED",
        network.name,
        `addresses on ${network.bridge} are Docker's to give out; name one with --ip that Docker gives to nobody`,
      );
  }

  #isDockers(bridge: string): boolean {
    return isDockersBridge(bridge) || this.dockers.bridges().includes(bridge);
  }

  /** @returns the sandbox that is not on the network any more. Rejects with NOT_CONNECTED. */
  async disconnect(request: DisconnectRequest): Promise<SandboxRecord> {
    const [network, sandbox] = [this.registry.network(request.network), this.registry.sandbox(request.sandbox)];
    requireOwnStack(this.registry, sandbox);
    const [endpoint] = this.registry.endpointsOf({ network: network.id, sandbox: sandbox.id });
    if (!endpoint)
      throw new PontoonError(
        "NOT_CONNECTED",
        sandbox.name,
        `sandbox ${sandbox.name} is not on network ${network.name}`,
      );
    const removed = { endpoints: [endpoint.id] };
    this.registry.commit({ removed });
    await this.reconciler.change({ removed, endpoints: this.reconciler.wantedEndpointsOf(sandbox.id) });
    this.addresses.release(network.id, endpoint);
    return sandbox;
  }

  /** Of a sandbox that has gone: their addresses are free again. */
  release(endpoints: readonly EndpointRecord[]): void {
    for (const endpoint of endpoints) this.addresses.release(endpoint.network, endpoint);
  }
}
