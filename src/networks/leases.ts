import type { Logger } from "pino";
import { describeError, PontoonError } from "../../common/errors.js";
import type { Poller } from "../../linux/poller.js";
import { DhcpClient, releaseLease } from "../../network/dhcp/client.js";
import { hasExpired, isSameLease, type Lease } from "../../network/dhcp/lease.js";
import { clientPlace, nowhere, placeName } from "./lease-place.js";
import { LeaseWaits } from "./lease-waits.js";
import type { Reconciler } from "./reconciler.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { wantedSandbox } from "./wanted.js";

/** What {@link Leases} works with. */
export interface LeaseParts {
  readonly poller: Poller;
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly log: Logger;
  /** A sandbox has other addresses: its files are written, and it is told of. */
  onChanged(sandbox: SandboxRecord): void;
  /** Ports that an engine has published lead to this address of an endpoint now, or to none. Can be called often. */
  movePorts(endpoint: string, to: { readonly ipv4?: string }): void;
}

/** How long a command waits for an address, ms. */
const waitAtMost = 10_000;

interface Running {
  readonly client: DhcpClient;
  /** The namespace it asks in. */
  readonly inode: number;
  /** What was wrong last. */
  trouble?: string;
}

/** Addresses that DHCP servers lend: a client runs for each endpoint on such a network whose namespace is there. */
export class Leases {
  readonly #running = new Map<string, Running>();
  readonly #waits = new LeaseWaits();
  #isStopped = false;

  constructor(private readonly parts: LeaseParts) {}

  /** Before anything is made: what has expired while no daemon ran is no address any more. Never throws. */
  forgetExpired(): void {
    const now = Date.now();
    const expired = this.#endpoints().filter(
      ({ ipv4, lease }) => ipv4 !== undefined && lease && hasExpired(lease, now),
    );
    if (expired.length === 0) return;
    try {
      this.parts.registry.commit({ endpoints: expired.map(withoutAddress) });
    } catch (error) {
      this.parts.log.warn({ reason: describeError(error) }, "leases that have expired could not be forgotten");
    }
  }

  /** Starts clients for endpoints that have none, and stops those that nothing is left for. Can be called often. */
  review(): void {
    if (this.#isStopped) return;
    const wanted = new Map(this.#endpoints().map((endpoint) => [endpoint.id, endpoint]));
    for (const [id, { inode }] of this.#running) {
      const endpoint = wanted.get(id);
      if (!endpoint) this.#end(id, gone(id));
      else if (this.#sandboxOf(endpoint)?.inode !== inode) this.#stopClient(id);
    }
    for (const endpoint of wanted.values()) if (!this.#running.has(endpoint.id)) this.#startClient(endpoint);
  }

  #endpoints(): EndpointRecord[] {
    const { networks } = this.parts.registry;
    const lent = [...networks.values()].filter(({ lan }) => lan?.dhcp);
    return lent.flatMap(({ id }) => this.parts.registry.endpointsOf({ network: id }));
  }

  #sandboxOf({ sandbox }: EndpointRecord): SandboxRecord | undefined {
    return this.parts.registry.sandboxes.get(sandbox);
  }

  #startClient(endpoint: EndpointRecord): void {
    const { id, lease } = endpoint;
    const at = clientPlace(this.parts.registry, endpoint);
    if (!at) return;
    const client = new DhcpClient(this.parts.poller, at.place, at.identity, {
      onLease: (lent) => this.#onLease(id, lent),
      onLost: (reason) => this.#onLost(id, reason),
      onTrouble: (reason) => this.#onTrouble(id, reason),
    });
    this.#running.set(id, { client, inode: at.place.inode });
    const isSamePlace = lease?.place === placeName(at.place.inode);
    this.#movePorts(endpoint); // an earlier daemon may have been killed before
    client.start(lease && endpoint.ipv4 !== undefined ? { lease, isSamePlace } : undefined);
  }

  /** Whether a sandbox is without an address that it is to have. */
  lacks(sandbox: string): boolean {
    return this.#lacking(sandbox).length > 0;
  }

  #lacking(sandbox: string): EndpointRecord[] {
    const { registry } = this.parts;
    const isLent = ({ network }: EndpointRecord) => registry.networks.get(network)?.lan?.dhcp === true;
    return registry.endpointsOf({ sandbox }).filter((each) => each.ipv4 === undefined && isLent(each));
  }

  /**
   * Resolves when a sandbox has the addresses it lacks. Not in a turn of the reconciler's, which others would wait for.
   * Rejects with DHCP_SILENT after ten seconds, with LEASE_ENDED when the sandbox has left the network, and with what went wrong.
   */
  async settled(sandbox: string): Promise<void> {
    await Promise.all(
      this.#lacking(sandbox).map((each) => this.#waits.wait(each.id, waitAtMost, () => this.#silent(each))),
    );
  }

  #silent({ id, network }: EndpointRecord): PontoonError {
    const { lan, name } = this.parts.registry.networks.get(network) ?? { lan: undefined, name: network };
    const parent = lan?.parent ?? name;
    const trouble = this.#running.get(id)?.trouble;
    return new PontoonError(
      "DHCP_SILENT",
      parent,
      `no DHCP server answered on ${parent} within ${waitAtMost / 1000} s${trouble === undefined ? "" : ` (${trouble})`}: ` +
        "see that one runs on that LAN and has addresses left, or make a network with --ip-range in place of --ipam dhcp",
    );
  }

  /**
   * Gives leases of endpoints back that are about to be removed. What cannot be told to the server ends by itself. Should the removal
   * fail, or the daemon be killed before, whether the lease counts has to be asked. Throws STORE_UNWRITABLE; nothing is done then.
   */
  release(endpoints: readonly EndpointRecord[]): void {
    const lent = endpoints.filter(({ id, ipv4, lease }) => this.#running.has(id) && lease && ipv4 !== undefined);
    if (lent.length > 0)
      this.parts.registry.commit({
        endpoints: lent.map((endpoint) => ({ ...endpoint, lease: { ...endpoint.lease!, place: nowhere } })),
      });
    for (const { id } of endpoints) this.#end(id, gone(id));
    for (const endpoint of lent) this.#giveBack(endpoint, endpoint.lease!);
  }

  #giveBack(endpoint: EndpointRecord, lease: Lease): void {
    const at = clientPlace(this.parts.registry, endpoint);
    if (!at) return;
    try {
      releaseLease(at.place, at.identity, lease);
    } catch (error) {
      const reason = describeError(error);
      this.parts.log.info({ address: lease.ip, reason }, "DHCP: a lease was not given back; it will expire");
    }
  }

  /** Leaves all leases as they are. Can be called twice. */
  stop(): void {
    this.#isStopped = true;
    for (const id of [...this.#running.keys()]) this.#stopClient(id);
    this.#waits.endAll(new PontoonError("DAEMON_ENDING", "DHCP", "the daemon is about to end"));
  }

  #stopClient(id: string): void {
    this.#running.get(id)?.client.stop();
    this.#running.delete(id);
  }

  #end(id: string, error: Error): void {
    this.#stopClient(id);
    this.#waits.end(id, error);
  }

  #onTrouble(id: string, reason: string): void {
    const running = this.#running.get(id);
    if (running) running.trouble = reason;
    this.parts.log.warn({ ...this.#words(id), reason }, "DHCP: something is in the way of a lease");
  }

  #onLease(id: string, lease: Lease): void {
    void this.parts.reconciler.background("a lease could not be put into effect", async () => {
      try {
        await this.#take(id, lease);
        this.#waits.end(id);
      } catch (error) {
        this.#waits.end(id, error as Error);
        throw error;
      }
    });
  }

  async #take(id: string, lease: Lease): Promise<void> {
    const endpoint = this.parts.registry.endpoints.get(id);
    const running = this.#running.get(id);
    if (!endpoint || !running) return;
    const { ipv4, lease: before } = endpoint;
    const now = { ...endpoint, ipv4: lease.ip, lease: { ...lease, place: placeName(running.inode) } };
    this.parts.registry.commit({ endpoints: [now] });
    if (ipv4 === lease.ip && before && isSameLease(before, lease)) return;
    await this.#bringAbout(now);
    const until = lease.expiry === null ? "for good" : new Date(lease.expiry).toISOString();
    this.parts.log.info({ ...this.#words(id), server: lease.server, until }, "DHCP: an address is lent");
  }

  #onLost(id: string, reason: string): void {
    void this.parts.reconciler.background("an address that is not lent any more could not be removed", async () => {
      const endpoint = this.parts.registry.endpoints.get(id);
      if (endpoint?.ipv4 === undefined) return;
      this.parts.log.warn({ ...this.#words(id), reason }, "DHCP: a lease is lost; it is asked for another one");
      const now = withoutAddress(endpoint);
      this.parts.registry.commit({ endpoints: [now] });
      await this.#bringAbout(now);
    });
  }

  async #bringAbout(endpoint: EndpointRecord): Promise<void> {
    const { sandbox: id, network: on } = endpoint;
    const { registry, reconciler } = this.parts;
    const [sandbox, network] = [registry.sandboxes.get(id), registry.networks.get(on)];
    if (!sandbox || !network) return;
    await reconciler.change({
      networks: hasHostRoutes(network) ? [reconciler.wantedNetwork(network)] : [],
      sandboxes: [wantedSandbox(sandbox)], // rules for another address go with it
      endpoints: reconciler.wantedEndpointsOf(id),
    });
    this.parts.onChanged(registry.sandbox(id));
    this.#movePorts(endpoint);
  }

  #movePorts({ id, attachment, ipv4 }: EndpointRecord): void {
    if (attachment !== undefined) this.parts.movePorts(id, ipv4 === undefined ? {} : { ipv4 });
  }

  #words(id: string) {
    const endpoint = this.parts.registry.endpoints.get(id);
    const { networks } = this.parts.registry;
    return {
      sandbox: endpoint && this.#sandboxOf(endpoint)?.name,
      network: endpoint && networks.get(endpoint.network)?.name,
      ...(endpoint?.ipv4 !== undefined && { address: endpoint.ipv4 }),
    };
  }
}

function withoutAddress(endpoint: EndpointRecord): EndpointRecord {
  const { ...rest }: Omit<EndpointRecord, "ipv4"> & { ipv4?: string } = endpoint;
  delete rest.ipv4;
  return rest;
}

function hasHostRoutes({ lan }: NetworkRecord): boolean {
  return lan !== undefined && lan.hostAddresses.length > 0;
}

function gone(id: string): PontoonError {
  return new PontoonError("LEASE_ENDED", id, "the sandbox has left the network before it had an address there");
}
