import type { Logger } from "pino";
import { familyOf } from "../../../common/address.js";
import { describeError, PontoonError } from "../../../common/errors.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import type { Store } from "../../store/store.js";
import { lookAtLink } from "../cni/link-check.js";
import { namespacePathOf } from "../wanted.js";
import type { CreateNetworkRequest } from "../contract.js";
import { defineEndpoint, freeLinkName, type EndpointRequest } from "../define-endpoint.js";
import type { GivenAddresses } from "../network-addresses.js";
import type { Reconciler } from "../reconciler.js";
import type { EndpointRecord, IpamRecord, NetworkRecord, SandboxRecord } from "../records.js";
import type { Registry } from "../registry.js";
import {
  driverUnknown,
  ipamOf,
  isRemoteDriver,
  isRemoteIpam,
  noIpam,
  requirePluginOptions,
  withoutPools,
} from "./define-remote.js";
import { endpointOwed, networkOwed, RemoteDriver, type RemoteNetwork } from "./driver.js";
import { Dues, type DueCall } from "./dues.js";
import { addressesOwed, poolsOwed, randomMac, RemoteIpam } from "./ipam.js";
import { Plugins } from "./plugins.js";
import type { AddressWithPrefix } from "./protocol.js";

export interface RemoteParts {
  readonly store: Store;
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly log: Logger;
}

/** What other drivers' plugins have to do with networks and endpoints. What changes something is called from a command of the reconciler. */
export class Remote {
  readonly #driver: RemoteDriver;
  readonly #ipam: RemoteIpam;
  readonly #dues: Dues;

  constructor(
    private readonly parts: RemoteParts,
    private readonly plugins = new Plugins(),
  ) {
    const { store, registry, log } = parts;
    this.#driver = new RemoteDriver(plugins);
    this.#ipam = new RemoteIpam(plugins);
    const isRegistered = (id: string) => registry.networks.has(id) || registry.endpoints.has(id);
    this.#dues = new Dues(store, plugins, isRegistered, log);
  }

  /** Throws STORE_UNREADABLE. */
  load(): void {
    this.#dues.load();
  }

  /** How many networks and endpoints are gone of which plugins could not be told yet. */
  get due(): number {
    return this.#dues.count;
  }

  /** Tells plugins what an earlier daemon could not. Does not wait for them. */
  start(): void {
    this.#dues.start();
  }

  /** Plugins are not waited for; what they were not told the next daemon tells them. Can be called twice. */
  stop(): Promise<void> {
    this.plugins.stop();
    return this.#dues.stop();
  }

  /**
   * Has addresses given to a new network by its IPAM plugin, if it has one. Rejects with DRIVER_UNKNOWN, OPTION_UNFIT, or what a
   * plugin has answered; what was given is owed then.
   */
  async begin(id: string, request: CreateNetworkRequest): Promise<IpamRecord | undefined> {
    const { driver, name } = request;
    const ipamDriver = ipamOf(request);
    const { places } = this.plugins;
    if ([driver, ipamDriver].includes("pontoon"))
      throw new PontoonError(
        "PLUGIN_UNFIT",
        "pontoon",
        `the plugin pontoon is dockerd's, which asks this daemon by it; leave out ${driver === "pontoon" ? "--driver" : "--ipam-driver"}`,
      );
    requirePluginOptions(request);
    if (isRemoteDriver(driver) && !this.plugins.get(driver).isFound) throw driverUnknown("network", driver, places);
    if (isRemoteIpam(ipamDriver) && !this.plugins.get(ipamDriver).isFound)
      throw driverUnknown("IPAM", ipamDriver, places);
    if (isRemoteDriver(driver)) await this.plugins.get(driver).require("NetworkDriver");
    if (ipamDriver === noIpam) return withoutPools;
    if (!isRemoteIpam(ipamDriver)) return undefined;
    return this.#ipam.requestPools(request, (calls) => this.#dues.owe(id, `network ${name}`, calls));
  }

  /** Has a network made by its driver, if that is a plugin. Rejects with what it has answered; what was made is owed then. */
  async createNetwork(network: NetworkRecord): Promise<void> {
    if (!isRemote(network)) return;
    this.owe(network);
    await this.#driver.createNetwork(network);
  }

  /** A network's end, or an endpoint's, is due to plugins as soon as there is no record of it. */
  owe(what: NetworkRecord | EndpointRecord): void {
    if ("subnets" in what) {
      const calls = [...(what.ipam ? poolsOwed(what.ipam) : []), ...(isRemote(what) ? networkOwed(what) : [])];
      if (calls.length > 0) this.#dues.owe(what.id, `network ${what.name}`, calls);
      return;
    }
    const network = this.parts.registry.networks.get(what.network);
    if (!network) return;
    const calls = [
      ...(isRemote(network) ? endpointOwed(network, what) : []),
      ...(network.ipam ? addressesOwed(network.ipam, [what.ipv4, what.ipv6]) : []),
    ];
    if (calls.length > 0) this.#dues.owe(what.id, `an endpoint on network ${network.name}`, calls);
  }

  /** What is registered is made as a whole: nothing is due. */
  isMade(id: string): void {
    try {
      this.#dues.drop(id);
    } catch (error) {
      this.parts.log.warn({ reason: describeError(error) }, "what is not due to plugins stays stored"); // until the next start
    }
  }

  /** Keeps what MAC address a driver's link has, where nobody had chosen one. */
  noteMac(id: string): void {
    const { registry, log } = this.parts;
    const endpoint = registry.endpoints.get(id);
    const sandbox = endpoint && registry.sandboxes.get(endpoint.sandbox);
    if (!endpoint?.remote || endpoint.mac !== "" || !sandbox) return;
    try {
      const seenMac = lookAtLink(namespacePathOf(sandbox.name), sandbox.inode, endpoint.ifname)?.mac;
      if (seenMac === undefined) return;
      registry.commit({ endpoints: [{ ...endpoint, remote: { ...endpoint.remote, seenMac } }] });
    } catch (error) {
      log.warn({ reason: describeError(error) }, "the MAC address of a link is not shown");
    }
  }

  /** Tells plugins that these are gone, if they have to do with them; what they do not hear is told later. Never rejects. */
  settle(ids: readonly string[]): Promise<void> {
    return this.#dues.settle(ids);
  }

  /**
   * The endpoint that a request comes to on a network of a plugin's driver or addresses, made as far as the plugins make it.
   * Rejects with what is wrong, or what a plugin has answered; what was made is owed then.
   * @param given by us, where no plugin gives addresses
   */
  async define(
    id: string,
    network: NetworkRecord,
    sandbox: SandboxRecord,
    request: EndpointRequest,
    given: GivenAddresses,
  ): Promise<EndpointRecord> {
    const { registry } = this.parts;
    const define = (mac: string | undefined, ips: GivenAddresses) =>
      defineEndpoint({ ...request, ...(mac !== undefined && { mac }) }, registry, { network, sandbox, given: ips, id });
    define(request.mac, given); // what cannot be is refused before anybody is asked
    const mac = request.mac?.toLowerCase() ?? (network.ipam?.needsMac ? randomMac() : undefined);
    const about = `sandbox ${sandbox.name} on network ${network.name}`;
    let owed: readonly DueCall[] = [];
    const onOwed = (calls: readonly DueCall[]) => this.#dues.owe(id, about, (owed = calls));
    const addresses = await this.#addresses(network, request.ips, mac, given, onOwed);
    const taken = this.#taken(network, addresses);
    if (taken) {
      onOwed(owed.filter(({ body }) => body.Address !== taken.ip)); // it is somebody else's to give back
      throw taken.error;
    }
    if (!isRemote(network)) return define(mac, ipsOf(addresses));
    this.#dues.owe(id, about, [...endpointOwed(network, { id }), ...owed]);
    const made = await this.#driver.connect(network, sandbox, {
      id,
      addresses,
      mac,
      isMacNamed: request.mac !== undefined,
    });
    const other = this.#taken(network, made.remote.addresses);
    if (other) throw other.error;
    const inUse = registry.endpointsOf({ sandbox: sandbox.id }).map(({ ifname }) => ifname);
    return {
      ...define(mac, ipsOf(made.remote.addresses)),
      hostLink: made.source,
      ifname: request.ifname ?? freeLinkName(made.prefix, inUse),
      mac: made.mac ?? "",
      remote: made.remote,
    };
  }

  #addresses(
    { name, ipam, subnets }: NetworkRecord,
    ips: readonly string[],
    mac: string | undefined,
    given: GivenAddresses,
    onOwed: (calls: readonly DueCall[]) => void,
  ): Promise<AddressWithPrefix[]> | AddressWithPrefix[] {
    if (ipam && ipam.driver !== noIpam)
      return this.#ipam.requestAddresses(ipam, ips, ipam.needsMac ? mac : undefined, onOwed);
    const [ip] = ips;
    if (ipam && ip !== undefined)
      throw new PontoonError(
        "ADDRESS_OUTSIDE",
        ip,
        `addresses on network ${name} are its driver's to choose; leave out --ip`,
      );
    const all = subnets.map(({ subnet }) => Subnet.parse(subnet));
    return [given.ipv4, given.ipv6].flatMap((own) => {
      const subnet = own === undefined ? undefined : all.find((each) => each.contains(own));
      return own === undefined || !subnet ? [] : [{ ip: own, prefix: subnet.prefix }];
    });
  }

  #taken({ id, name }: NetworkRecord, addresses: readonly AddressWithPrefix[]) {
    const { registry } = this.parts;
    for (const endpoint of registry.endpointsOf({ network: id }))
      for (const { ip } of addresses) {
        if (ip !== endpoint.ipv4 && ip !== endpoint.ipv6) continue;
        const holder = registry.sandboxes.get(endpoint.sandbox)?.name;
        const message = `on network ${name} the plugin gave out ${ip}, which sandbox ${holder} has already; see what it knows of its addresses`;
        return { ip, error: new PontoonError("ADDRESS_TAKEN", ip, message) };
      }
    return undefined;
  }

  /** Has drivers make links anew that the kernel took away, with a namespace or at a restart of the host. Rejects with the first failure. */
  async renew(ids: readonly string[]): Promise<void> {
    const { registry, reconciler } = this.parts;
    for (const id of ids) {
      const endpoint = registry.endpoints.get(id);
      const network = endpoint && registry.networks.get(endpoint.network);
      const sandbox = endpoint && registry.sandboxes.get(endpoint.sandbox);
      if (!endpoint?.remote || !network || !isRemote(network) || !sandbox) continue;
      await this.#driver.forget(network, endpoint);
      const mac = endpoint.mac === "" ? undefined : endpoint.mac;
      const { addresses } = endpoint.remote;
      const made = await this.#driver.connect(network, sandbox, { id, addresses, mac });
      registry.commit({
        endpoints: [{ ...endpoint, hostLink: made.source, mac: made.mac ?? "", remote: made.remote }],
      });
      await reconciler.change({ endpoints: reconciler.wantedEndpointsOf(sandbox.id) });
      this.noteMac(id);
      this.parts.log.info(
        { sandbox: sandbox.name, network: network.name },
        "a link that was lost was made anew by its driver",
      );
    }
  }
}

function isRemote(network: NetworkRecord): network is RemoteNetwork {
  return network.remote !== undefined;
}

function ipsOf(addresses: readonly AddressWithPrefix[]): GivenAddresses {
  const of = (family: "ipv4" | "ipv6") => addresses.find(({ ip }) => familyOf(ip) === family)?.ip;
  const [ipv4, ipv6] = [of("ipv4"), of("ipv6")];
  return { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) };
}
