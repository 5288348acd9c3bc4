import { PontoonError } from "../../common/errors.js";
import type { SharedRecord } from "../store/shared-store.js";
import type { Membership } from "./membership.js";
import { keys, takenAddressRecord, type HostRecord } from "./records.js";
import { reserving } from "./transactions.js";

/** What the comparison of a host's addresses with the store has come to. */
export interface ComparedAddresses {
  /** Somebody else has these by now. */
  readonly lost: readonly string[];
}

/**
 * Addresses that a host takes before it is known which endpoint will have them, and keeps when that is gone: a container engine
 * asks for an address first, and says later what for.
 */
export class Reservations {
  constructor(
    private readonly host: HostRecord,
    private readonly membership: Pick<Membership, "commit" | "read">,
  ) {}

  /** @returns whether this host has it now. Rejects with HOST_FORGOTTEN, NETWORK_UNKNOWN, and as {@link Membership.commit}. */
  async reserve(network: string, ip: string): Promise<boolean> {
    const committed = await this.membership.commit(reserving(network, ip, this.host.id));
    if (committed.kind === "done") return true;
    const missed = committed.failed.map((condition) => (condition.kind === "none-below" ? "" : condition.key));
    if (missed.includes(keys.host(this.host.id))) throw forgottenHost(this.host);
    if (missed.includes(keys.network(network))) throw networkGone(network);
    return (await this.held(network, ip)) !== undefined;
  }

  /** The revision with which this host took an address, for no endpoint alone; undefined when it has not. Rejects as {@link Membership.read}. */
  async held(network: string, ip: string): Promise<number | undefined> {
    const key = keys.taken.address(network, ip);
    const record = (await this.membership.read(key)).records.get(key);
    return record && this.#isOurs(record) ? record.revision : undefined;
  }

  /** Gives an address back. Does nothing to one that somebody else has. Rejects as {@link Membership.commit}. */
  async free(network: string, ip: string): Promise<void> {
    const key = keys.taken.address(network, ip);
    const revision = await this.held(network, ip);
    if (revision === undefined) return;
    await this.membership.commit({
      requires: [{ kind: "unchanged", key, revision }],
      changes: [{ key, value: undefined }],
    });
  }

  /**
   * Has the store say which addresses this host has, and no others; those that go with an endpoint are left alone.
   * @param held all that it has on this network
   */
  async compare(network: string, held: ReadonlySet<string>): Promise<ComparedAddresses> {
    const prefix = keys.taken.addressesOn(network);
    const { records } = await this.membership.read(prefix);
    const lost: string[] = [];
    for (const record of records.values()) {
      const [ip, isOurs] = [record.key.slice(prefix.length), this.#isOurs(record)];
      if (held.has(ip) && !isOurs) lost.push(ip);
      if (!held.has(ip) && isOurs) await this.free(network, ip);
    }
    for (const ip of held) if (!records.has(prefix + ip) && !(await this.reserve(network, ip))) lost.push(ip);
    return { lost };
  }

  /** One that goes with an endpoint is that endpoint's, though it may be of this host. */
  #isOurs({ value }: SharedRecord): boolean {
    const owner = takenAddressRecord.safeParse(value).data;
    return owner?.host === this.host.id && owner.endpoint === undefined;
  }
}

export function forgottenHost({ name }: HostRecord): PontoonError {
  return new PontoonError(
    "HOST_FORGOTTEN",
    name,
    `this host (${name}) was forgotten by \`pontoon host forget\`; restart the daemon to have it join again`,
  );
}

function networkGone(network: string): PontoonError {
  const name = network.slice(0, 12);
  return new PontoonError("NETWORK_UNKNOWN", name, `network ${name} has just been removed on another host`);
}
