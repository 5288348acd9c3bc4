import type { Logger } from "pino";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import { addressesOf } from "./addresses.js";
import { claimSteps, refusalOf } from "./claims.js";
import type { Membership } from "./membership.js";
import type { Mirror, StoredEndpoint } from "./mirror.js";
import {
  keys,
  readRecord,
  takenSubnetsRecord,
  type HostRecord,
  type SharedEndpoint,
  type SharedNetwork,
  type TakenSubnets,
} from "./records.js";
import { forgottenHost, Reservations } from "./reservations.js";
import {
  changing,
  claiming,
  creating,
  forgetting,
  naming,
  releasing,
  removing,
  type SeenSubnets,
} from "./transactions.js";
import type { OwnWireguard } from "./wireguard.js";

/** Others may change the same at the same moment: so often is it tried. */
const triesAtMost = 16;

/** What a claim has come to. */
export type Claimed = { readonly kind: "done" } | { readonly kind: "addresses-taken"; readonly ips: readonly string[] };

/** What this host has to give up: somebody else has its name or address by now. */
export interface Conflict {
  readonly endpoint: SharedEndpoint;
  readonly reason: string;
}

/** What this host does with the others of its cluster: makes networks, and takes names and addresses on them. */
export class Cluster {
  readonly reservations: Reservations;

  constructor(
    readonly host: HostRecord,
    readonly mirror: Mirror,
    private readonly membership: Pick<Membership, "commit" | "read" | "requireJoined">,
    private readonly log: Logger,
    /** Undefined where this host cannot encrypt. */
    readonly wireguard?: OwnWireguard,
  ) {
    this.reservations = new Reservations(host, membership);
  }

  /** Whether this host is in touch with the store. */
  get isJoined(): boolean {
    try {
      this.membership.requireJoined();
      return true;
    } catch {
      return false;
    }
  }

  /** Throws CLUSTER_AWAY and what else {@link Membership.commit} rejects with. */
  requireJoined(): void {
    this.membership.requireJoined();
  }

  /**
   * Makes a network of the cluster.
   * @param define told which subnets networks of the cluster have; what it throws is thrown
   * Rejects with NAME_TAKEN, and as {@link Membership.commit}; nothing is left of it then.
   */
  async createNetwork(define: (taken: TakenSubnets) => SharedNetwork): Promise<SharedNetwork> {
    for (let tried = 0; tried < triesAtMost; tried++) {
      const seen = await this.#seenSubnets();
      const network = define(seen.subnets);
      const committed = await this.membership.commit(creating(network, this.host.id, seen));
      if (committed.kind === "done") return network;
      const missed = committed.failed.map((condition) => (condition.kind === "none-below" ? "" : condition.key));
      if (missed.includes(keys.taken.networkName(network.name))) throw nameTaken(network.name);
      if (missed.includes(keys.host(this.host.id))) throw forgottenHost(this.host);
      // Somebody else has just made another one.
    }
    throw tooBusy();
  }

  /**
   * Docker has told a network's name: it is called so, and all hosts' dockerds are to have it.
   * Rejects with NAME_TAKEN, NETWORK_UNKNOWN, and as {@link Membership.commit}.
   */
  async nameNetwork(id: string, name: string): Promise<void> {
    for (let tried = 0; tried < triesAtMost; tried++) {
      const stored = await this.#storedNetwork(id);
      if (!stored?.network)
        throw new PontoonError("NETWORK_UNKNOWN", name, `network ${name} has just been removed on another host`);
      const { docker = { options: {} }, ...rest } = stored.network;
      if (stored.network.docker?.isNamed === true && rest.name === name) return; // somebody has just done so
      const named = { ...rest, name, docker: { ...docker, isNamed: true } };
      const committed = await this.membership.commit(naming(stored.network, named, stored.revision));
      if (committed.kind === "done") return;
      // Where its own record is another one, too, it may have the name itself by now.
      if (committed.failed.every(({ kind }) => kind === "absent")) throw nameTaken(name);
    }
    throw tooBusy();
  }

  /** As the store has it now; `network` is undefined where this version can make no sense of it. */
  async #storedNetwork(id: string): Promise<{ network: SharedNetwork | undefined; revision: number } | undefined> {
    const key = keys.network(id);
    const record = (await this.membership.read(key)).records.get(key);
    if (!record) return undefined;
    const known = readRecord(key, record.value);
    return { network: known?.kind === "network" ? known.value : undefined, revision: record.revision };
  }

  /** Removes a network that nobody is on. Rejects with NETWORK_IN_USE, which names who is, and as {@link Membership.commit}. */
  async removeNetwork(network: SharedNetwork): Promise<void> {
    for (let tried = 0; tried < triesAtMost; tried++) {
      const stored = await this.#storedNetwork(network.id);
      if (!stored) return; // it is gone already
      const now = stored.network ?? network; // it may have been named meanwhile
      const committed = await this.membership.commit(removing(now, stored.revision, await this.#seenSubnets()));
      if (committed.kind === "done") return;
      if (committed.failed.some(({ kind }) => kind === "none-below")) throw await this.#inUse(network);
    }
    throw tooBusy();
  }

  async #inUse(network: SharedNetwork): Promise<PontoonError> {
    const { records } = await this.membership.read(keys.endpointsOn(network.id));
    const [first, ...others] = [...records.values()].map(({ value }) => value as SharedEndpoint);
    const host = first && (this.mirror.hosts.get(first.host)?.name ?? first.host.slice(0, 12));
    const more = others.length > 0 ? ` and ${others.length} more` : "";
    const who = first ? `${first.name} on host ${host}${more}` : "somebody who has just left it";
    return new PontoonError(
      "NETWORK_IN_USE",
      network.name,
      `network ${network.name} is in use by ${who}; disconnect what is on it first`,
    );
  }

  async #seenSubnets(): Promise<SeenSubnets> {
    const { records } = await this.membership.read(keys.taken.subnets);
    const record = records.get(keys.taken.subnets);
    return { subnets: takenSubnetsRecord.parse(record?.value ?? {}), revision: record?.revision };
  }

  /**
   * Takes an endpoint's name and addresses.
   * @returns which addresses somebody else has, when it is only that
   * Rejects with ENDPOINT_NAME_TAKEN in Docker's words, NETWORK_UNKNOWN, HOST_FORGOTTEN, and as {@link Membership.commit}.
   */
  async claim(endpoint: SharedEndpoint): Promise<Claimed> {
    const committed = await this.membership.commit(claiming(endpoint, await this.#held(endpoint)));
    if (committed.kind === "done") return committed;
    const refusal = refusalOf(endpoint, committed.failed);
    const network = this.#nameOfNetwork(endpoint.network);
    if (refusal.kind === "addresses") return { kind: "addresses-taken", ips: refusal.ips };
    if (refusal.kind === "host") throw forgottenHost(this.host);
    if (refusal.kind === "network")
      throw new PontoonError("NETWORK_UNKNOWN", network, `network ${network} has just been removed on another host`);
    if (await this.#isOurs(endpoint)) return { kind: "done" };
    throw endpointNameTaken(endpoint.name, network);
  }

  /** Which of its addresses its host has already, and since when. */
  async #held(endpoint: SharedEndpoint): Promise<Map<string, number>> {
    const held = new Map<string, number>();
    for (const ip of endpoint.reserved ? addressesOf(endpoint) : []) {
      const revision = await this.reservations.held(endpoint.network, ip);
      if (revision !== undefined) held.set(ip, revision);
    }
    return held;
  }

  /**
   * An endpoint of this host's is otherwise than it was; its addresses are the same. Does nothing to one that is not claimed.
   * Rejects with ENDPOINT_NAME_TAKEN, and as {@link Membership.commit}.
   */
  async change({ endpoint: before, revision }: StoredEndpoint, now: SharedEndpoint): Promise<void> {
    const committed = await this.membership.commit(changing(before, now, revision));
    // Where its own record is another one, too, that was told already, and is heard of soon.
    if (committed.kind === "refused" && committed.failed.every(({ kind }) => kind === "absent"))
      throw endpointNameTaken(now.name, this.#nameOfNetwork(now.network));
  }

  #nameOfNetwork(id: string): string {
    return this.mirror.networks.get(id)?.name ?? id.slice(0, 12);
  }

  /** Whether a claim is there already: the answer to it may have been lost. */
  async #isOurs({ network, name, id }: SharedEndpoint): Promise<boolean> {
    const key = keys.endpoint(network, name);
    const value = (await this.membership.read(key)).records.get(key)?.value as Partial<SharedEndpoint> | undefined;
    return value?.id === id;
  }

  /**
   * Gives back what endpoints have claimed. Never rejects.
   * @returns whether all of it could be told; what could not is with the next {@link settle}
   */
  async release(endpoints: readonly SharedEndpoint[]): Promise<boolean> {
    let isTold = true;
    for (const endpoint of endpoints) {
      try {
        const key = keys.endpoint(endpoint.network, endpoint.name);
        const record = (await this.membership.read(key)).records.get(key);
        if ((record?.value as Partial<SharedEndpoint> | undefined)?.id !== endpoint.id) continue;
        await this.membership.commit(releasing(endpoint, record!.revision));
      } catch (error) {
        this.log.info(
          { endpoint: endpoint.name, reason: describeError(error) },
          "what an endpoint had is given back later",
        );
        isTold = false;
      }
    }
    return isTold;
  }

  /**
   * Has the store say what this host has, and nothing else.
   * @param own all endpoints of this host's on networks of the cluster; none may be on its way
   * @returns what somebody else has by now. Rejects as {@link Membership.commit}; what was done before stays done.
   */
  async settle(own: readonly SharedEndpoint[]): Promise<Conflict[]> {
    const { claim, release } = claimSteps(this.host.id, own, this.mirror);
    const conflicts: Conflict[] = [];
    for (const { endpoint, revision } of release) await this.membership.commit(releasing(endpoint, revision));
    for (const endpoint of claim) {
      try {
        const claimed = await this.claim(endpoint);
        if (claimed.kind === "addresses-taken")
          conflicts.push({ endpoint, reason: `somebody else has ${claimed.ips.join(" and ")} by now` });
      } catch (error) {
        if (errorCode(error) === "ENDPOINT_NAME_TAKEN")
          conflicts.push({ endpoint, reason: `somebody else has the name ${endpoint.name} by now` });
        else if (errorCode(error) === "NETWORK_UNKNOWN")
          conflicts.push({
            endpoint,
            reason: "its network is gone, or another one has that name or those subnets by now",
          });
        else throw error;
      }
    }
    return conflicts;
  }

  /**
   * Puts back a network that the store has lost. Does nothing to one that is there, and to one whose
   * name or subnets others have by now: claims on it are refused then.
   * @param overlap whether one subnet has addresses of another
   */
  async restoreNetwork(network: SharedNetwork, overlap: (one: string, other: string) => boolean): Promise<void> {
    if (this.mirror.networks.has(network.id)) return;
    for (let tried = 0; tried < triesAtMost; tried++) {
      const seen = await this.#seenSubnets();
      const taken = Object.values(seen.subnets).flat();
      if (network.subnets.some(({ subnet }) => taken.some((other) => overlap(subnet, other)))) return;
      const committed = await this.membership.commit(creating(network, this.host.id, seen));
      if (committed.kind === "done") {
        this.log.warn({ network: network.name }, "the store had lost a network: it is back");
        return;
      }
      const hasChanged = committed.failed.every(
        ({ kind, ...condition }) => kind !== "none-below" && isSubnets(condition),
      );
      if (!hasChanged) return;
    }
  }

  /**
   * Frees all that a host has had. It has to be out of touch with the store.
   * Rejects with HOST_UNKNOWN, HOST_ALIVE, and as {@link Membership.commit}.
   */
  async forget(nameOrId: string): Promise<{ readonly host: HostRecord; readonly endpoints: number }> {
    this.requireJoined();
    const host = this.#find(nameOrId);
    const alive = new PontoonError(
      "HOST_ALIVE",
      host.name,
      `host ${host.name} (${host.advertise}) is in touch with the store; stop the daemon there first, and try again ${presenceNote}`,
    );
    if (this.mirror.isAlive(host.id)) throw alive;
    // First it is no host any more: nothing that it has asked for can come in between from then on.
    const committed = await this.membership.commit(forgetting(host));
    if (committed.kind === "refused" && committed.failed.some(({ kind }) => kind === "absent")) throw alive;
    return { host, endpoints: await this.#releaseAllOf(host) };
  }

  /** What a host has that is none any more, as the store has it. Stops when it has joined again. */
  async #releaseAllOf({ id }: HostRecord): Promise<number> {
    const { records } = await this.membership.read(keys.endpoints);
    const isGone = { kind: "absent", key: keys.host(id) } as const;
    let released = 0;
    for (const { key, value, revision } of records.values()) {
      const known = readRecord(key, value);
      if (known?.kind !== "endpoint" || known.value.host !== id) continue;
      const { requires, changes } = releasing(known.value, revision);
      const committed = await this.membership.commit({ requires: [...requires, isGone], changes });
      if (committed.kind === "done") released++;
      else if (committed.failed.some(({ kind }) => kind === "absent")) return released;
    }
    await this.#freeAllOf(id);
    return released;
  }

  /** Addresses that a host had before its endpoints did. As {@link #releaseAllOf}. */
  async #freeAllOf(id: string): Promise<void> {
    const { records } = await this.membership.read(keys.taken.addresses);
    for (const { key, value, revision } of records.values()) {
      if ((value as { host?: unknown } | null)?.host !== id) continue;
      const committed = await this.membership.commit({
        requires: [
          { kind: "unchanged", key, revision },
          { kind: "absent", key: keys.host(id) },
        ],
        changes: [{ key, value: undefined }],
      });
      if (committed.kind === "refused" && committed.failed.some(({ kind }) => kind === "absent")) return;
    }
  }

  #find(nameOrId: string): HostRecord {
    const hosts = [...this.mirror.hosts.values(), ...this.#remains()];
    const found = hosts.filter(({ id, name, advertise }) => [id, name, advertise].includes(nameOrId));
    const begun = hosts.filter(({ id }) => nameOrId.length >= 4 && id.startsWith(nameOrId));
    const matches = found.length > 0 ? found : begun;
    if (matches.length === 1) return matches[0]!;
    throw new PontoonError(
      "HOST_UNKNOWN",
      nameOrId,
      matches.length === 0
        ? `there is no host ${nameOrId}; \`pontoon host ls\` shows those there are`
        : `${matches.length} hosts are called ${nameOrId}; name one by its id, which \`pontoon host ls\` shows`,
    );
  }

  /** Hosts that somebody has begun to have forgotten, by what is left of them. */
  #remains(): HostRecord[] {
    const ids = new Set([...this.mirror.endpoints()].map(({ endpoint }) => endpoint.host));
    const left = [...ids].filter((id) => !this.mirror.hosts.has(id));
    return left.map((id) => ({ id, name: id.slice(0, 12), advertise: "", joined: "" }));
  }
}

function isSubnets(condition: object): boolean {
  return "key" in condition && condition.key === keys.taken.subnets;
}

const presenceNote = "a quarter of a minute later";

function endpointNameTaken(name: string, network: string): PontoonError {
  return new PontoonError(
    "ENDPOINT_NAME_TAKEN",
    name,
    `endpoint with name ${name} already exists in network ${network}; choose another name: it is one for all hosts`,
  );
}

function nameTaken(name: string): PontoonError {
  return new PontoonError(
    "NAME_TAKEN",
    name,
    `there is a network ${name} already, on all hosts; choose another name, or remove it first`,
  );
}

function tooBusy(): PontoonError {
  return new PontoonError(
    "CLUSTER_BUSY",
    "the store that hosts share",
    `other hosts have changed networks ${triesAtMost} times meanwhile; try again`,
  );
}
