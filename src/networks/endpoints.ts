import { PontoonError } from "../../common/errors.js";
import { isDockersBridge } from "../../network/docker-bridges.js";
import type { DisconnectRequest } from "./contract.js";
import type { DockersNetworks } from "./dockers-networks.js";
import { requireNoAddress } from "./define-dhcp.js";
import { defineEndpoint, type EndpointRequest } from "./define-endpoint.js";
import { requireOwnStack } from "./joined.js";
import type { WantedSandbox } from "../../network/wanted.js";
import type { Leases } from "./leases.js";
import type { GivenAddresses, NetworkAddresses } from "./network-addresses.js";
import { newId } from "./new-id.js";
import { claimFree } from "./overlay/claim-free.js";
import type { Overlays } from "./overlay/overlays.js";
import type { Reconciler } from "./reconciler.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import type { Remote } from "./remote/remote.js";

/** A Linux bridge takes so many ports (`BR_MAX_PORTS` less one that is never used). */
const portsAtMost = 1023;

/** Connects sandboxes to networks. What changes something is called from a command of the reconciler. */
export class Endpoints {
  constructor(
    private readonly registry: Registry,
    private readonly reconciler: Reconciler,
    private readonly addresses: NetworkAddresses,
    private readonly dockers: DockersNetworks,
    private readonly leases: Pick<Leases, "release">,
    private readonly remote: Remote,
    private readonly overlays: Overlays,
  ) {}

  /**
   * Rejects with a PontoonError that says what is wrong; nothing is left of it then. The endpoint is registered when this returns.
   * @param sandbox registered together with the endpoint, if it is not yet
   * @param made is to be made on the way: the sandbox, where it is not there yet
   */
  async connect(
    network: NetworkRecord,
    sandbox: SandboxRecord,
    request: EndpointRequest,
    made: readonly WantedSandbox[] = [],
  ): Promise<void> {
    requireOwnStack(this.registry, sandbox);
    this.#requirePlace(network, sandbox, request);
    const id = newId();
    let given: GivenAddresses = {};
    let endpoint: EndpointRecord | undefined;
    try {
      if (network.overlay)
        endpoint = await claimFree(
          { addresses: this.addresses, overlays: this.overlays },
          { network, sandbox, ips: request.ips },
          (given) => defineEndpoint(request, this.registry, { network, sandbox, given, id }),
        );
      else {
        if (!network.ipam) given = this.addresses.give(network, `sandbox ${sandbox.name}`, request.ips);
        const isPlugins = network.remote !== undefined || network.ipam !== undefined;
        endpoint = isPlugins
          ? await this.remote.define(id, network, sandbox, request, given)
          : defineEndpoint(request, this.registry, { network, sandbox, given, id });
      }
      await this.overlays.ground(network);
      const isRegistered = this.registry.sandboxes.has(sandbox.id);
      this.registry.commit({ endpoints: [endpoint], ...(!isRegistered && { sandboxes: [sandbox] }) });
      await this.reconciler.change({ sandboxes: made, endpoints: this.reconciler.wantedEndpointsOf(sandbox.id) });
    } catch (error) {
      if (endpoint) {
        this.owe([endpoint], sandbox);
        await this.reconciler.undo({ endpoints: [endpoint.id] }, sandbox.id);
      }
      await this.release(endpoint ? [endpoint] : [{ id, network: network.id, ...given }]);
      throw error;
    }
    this.remote.isMade(id);
    this.remote.noteMac(id);
  }

  #requirePlace(network: NetworkRecord, sandbox: SandboxRecord, { ips }: EndpointRequest): void {
    if (this.registry.endpointsOf({ network: network.id, sandbox: sandbox.id }).length > 0)
      throw new PontoonError(
        "ALREADY_CONNECTED",
        sandbox.name,
        `sandbox ${sandbox.name} is on network ${network.name} already`,
      );
    if (!network.lan && !network.remote && this.registry.endpointsOn(network.id) >= portsAtMost)
      throw new PontoonError(
        "NETWORK_FULL",
        network.name,
        `network ${network.name} has ${portsAtMost} sandboxes, and a Linux bridge has no more ports; use another network beside it`,
      );
    requireNoAddress(network, { ips });
    this.#requireAddress(network, ips);
    this.#requireEnd(network);
    if (network.isAdopted && this.#isDockers(network.bridge) && ips.length === 0)
      throw new PontoonError(
        "ADDRESS_NEEDED",
        network.name,
        `addresses on ${network.bridge} are Docker's to give out; name one with --ip that Docker gives to nobody`,
      );
  }

  #requireEnd({ id, name, pair }: NetworkRecord): void {
    const ends = this.registry
      .endpointsOf({ network: id })
      .map(({ sandbox }) => this.registry.sandboxes.get(sandbox)?.name);
    if (pair === undefined || ends.length < 2) return;
    throw new PontoonError(
      "NETWORK_FULL",
      name,
      `network ${name} is a pair, and its ends are ${ends.join(" and ")}; use another network beside it`,
    );
  }

  #requireAddress({ name, lan }: NetworkRecord, ips: readonly string[]): void {
    if (lan?.needsAddress !== true || ips.length > 0) return;
    throw new PontoonError(
      "ADDRESS_NEEDED",
      name,
      `addresses on the LAN at ${lan.parent} are not pontoon's to give out; name one with --ip that nobody has, or make the ` +
        "network with an --ip-range that is its own, or with --ipam dhcp",
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
    this.giveBack([endpoint]);
    this.owe([endpoint]);
    if (network.remote) await this.reconciler.change({ removed }); // the link is its driver's again before it is forgotten
    this.registry.commit({ removed });
    await this.reconciler.change({ removed, endpoints: this.reconciler.wantedEndpointsOf(sandbox.id) });
    await this.release([endpoint]);
    return sandbox;
  }

  /** Of what is about to be removed: servers that have lent addresses are told. */
  giveBack(endpoints: readonly EndpointRecord[]): void {
    this.leases.release(endpoints);
  }

  /**
   * These are about to go: what plugins have to be told then is stored, and what hosts share is kept in mind.
   * @param sandbox theirs, where it may not be registered
   */
  owe(endpoints: readonly EndpointRecord[], sandbox?: SandboxRecord): void {
    for (const endpoint of endpoints) {
      this.remote.owe(endpoint);
      this.overlays.owe(endpoint, sandbox);
    }
  }

  /** Of what has gone: addresses are free again, and plugins and other hosts are told. Never rejects. */
  async release(endpoints: readonly Pick<EndpointRecord, "id" | "network" | "ipv4" | "ipv6">[]): Promise<void> {
    for (const endpoint of endpoints) this.addresses.release(endpoint.network, endpoint);
    await this.remote.settle(endpoints.map(({ id }) => id));
    await this.overlays.release(endpoints);
  }
}
