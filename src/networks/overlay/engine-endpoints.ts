import type { SharedEndpoint, SharedNetwork } from "../../cluster/records.js";

/** What a container engine has on networks of several hosts, beside sandboxes of our own. */
export interface EngineEndpoints {
  /** How many have joined a network. */
  joinedOn(network: string): number;
  /** Whether an endpoint of this id has joined. */
  has(id: string): boolean;
  /** All that have joined, as other hosts are to know them. */
  shared(): SharedEndpoint[];
  /** Somebody else has an endpoint's name or addresses by now: it is cut off. Never rejects. */
  cutOff(id: string, reason: string): Promise<void>;
  /** How its engine has had a network made; undefined where it has not. */
  dockerOf(network: string): SharedNetwork["docker"];
  /** The store says something else of these than before. Returns at once. */
  endpointsHaveChanged(ids: ReadonlySet<string>): void;
  /** There are other networks of several hosts than before. Returns at once. */
  networksHaveChanged(): void;
  /** The store is to say which addresses this host has. Rejects as `Membership.commit`. To be called in a turn. */
  settleAddresses(): Promise<void>;
}

/** Of a host without an engine that has networks of ours. */
export const noEngineEndpoints: EngineEndpoints = {
  joinedOn: () => 0,
  has: () => false,
  shared: () => [],
  cutOff: () => Promise.resolve(),
  dockerOf: () => undefined,
  endpointsHaveChanged: () => undefined,
  networksHaveChanged: () => undefined,
  settleAddresses: () => Promise.resolve(),
};
