import { addressesOf } from "./addresses.js";
import type { Condition } from "../store/shared-store.js";
import type { Mirror, StoredEndpoint } from "./mirror.js";
import { keys, type SharedEndpoint } from "./records.js";

/** What this host's claims in the store need, to be those of what it has. */
export interface ClaimSteps {
  /** What it has, and the store does not say so. */
  readonly claim: readonly SharedEndpoint[];
  /** What the store says it has, and it has not. */
  readonly release: readonly StoredEndpoint[];
}

/**
 * Compares what a host has with what it has claimed. Only an endpoint's own record counts: its addresses come and go with it.
 * @param host its id
 * @param own all of its endpoints on networks of the cluster
 */
export function claimSteps(host: string, own: Iterable<SharedEndpoint>, mirror: Mirror): ClaimSteps {
  const mine = new Map([...own].map((endpoint) => [endpoint.id, endpoint]));
  const claimed = new Set<string>();
  const release: StoredEndpoint[] = [];
  for (const stored of mirror.endpointsOf(host)) {
    const { endpoint } = stored;
    if (mine.has(endpoint.id)) claimed.add(endpoint.id);
    else release.push(stored);
  }
  return { claim: [...mine.values()].filter(({ id }) => !claimed.has(id)), release };
}

/** Why a claim was refused. What is told first is what its user can do something about. */
export type Refusal =
  | { readonly kind: "name" }
  | { readonly kind: "addresses"; readonly ips: readonly string[] }
  | { readonly kind: "network" }
  | { readonly kind: "host" };

/** @param failed conditions of the transaction `claiming(endpoint)` that did not hold */
export function refusalOf(endpoint: SharedEndpoint, failed: readonly Condition[]): Refusal {
  const { network, name, host } = endpoint;
  const missed = new Set(
    failed.map((condition) => (condition.kind === "none-below" ? condition.prefix : condition.key)),
  );
  if (missed.has(keys.host(host))) return { kind: "host" };
  if (missed.has(keys.network(network))) return { kind: "network" };
  if (missed.has(keys.endpoint(network, name))) return { kind: "name" };
  return { kind: "addresses", ips: addressesOf(endpoint).filter((ip) => missed.has(keys.taken.address(network, ip))) };
}
