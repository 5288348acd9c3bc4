import { PontoonError } from "../../../common/errors.js";
import type { GivenAddresses, NetworkAddresses } from "../network-addresses.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records.js";
import type { Overlays } from "./overlays.js";

/** Addresses that other hosts have just taken, until one is free. */
const claimsAtMost = 64;
/**
 * Hosts that give out addresses at the same time and place meet at each second one (2 × 2,500 on one network: 4,700 claims were
 * refused). Who comes second goes on further behind: so they meet once in so many, at most. Random, for there may be three.
 */
const leaveOutAtMost = 64;

export interface ClaimParts {
  readonly addresses: NetworkAddresses;
  readonly overlays: Pick<Overlays, "claim" | "noteTaken">;
}

/** Who is to have what on a network of several hosts. */
export interface WantedClaim {
  readonly network: NetworkRecord;
  readonly sandbox: SandboxRecord;
  /** Those that are asked for. */
  readonly ips: readonly string[];
}

/**
 * Takes an endpoint's name, and addresses that nobody on another host has: one that was asked for, or the next that is free.
 * @param define the endpoint, with addresses that are free as far as this host knows
 * Rejects as {@link Overlays.claim}, {@link NetworkAddresses.give}, with what `define` throws, and ADDRESS_TAKEN; nothing is taken then.
 */
export async function claimFree(
  { addresses, overlays }: ClaimParts,
  { network, sandbox, ips }: WantedClaim,
  define: (given: GivenAddresses) => EndpointRecord,
): Promise<EndpointRecord> {
  for (let tried = 0; ; tried++) {
    const given = addresses.give(network, `sandbox ${sandbox.name}`, ips);
    try {
      const endpoint = define(given);
      const taken = await overlays.claim(endpoint, sandbox);
      if (taken.length === 0) return endpoint;
      const asked = taken.find((ip) => ips.includes(ip));
      if (asked !== undefined || tried === claimsAtMost) throw takenElsewhere(network, asked ?? taken[0]!);
      addresses.release(network.id, given);
      overlays.noteTaken(network.id, taken);
      addresses.goOnBehind(network.id, taken, 1 + Math.floor(Math.random() * leaveOutAtMost));
    } catch (error) {
      addresses.release(network.id, given);
      throw error;
    }
  }
}

function takenElsewhere({ name }: NetworkRecord, ip: string): PontoonError {
  return new PontoonError(
    "ADDRESS_TAKEN",
    ip,
    `${ip} is taken by an endpoint of network ${name} on another host; choose another`,
  );
}
