import { addressesOf } from "./addresses.js";
import type { Condition, SharedChange, SharedTransaction } from "../store/shared-store.js";
import {
  keys,
  storedNetwork,
  type HostRecord,
  type SharedEndpoint,
  type SharedNetwork,
  type TakenSubnets,
} from "./records.js";

// What hosts ask of the store, each in one transaction: done as a whole, or refused for a reason that its conditions tell.

/**
 * A host joins, or says of itself what has changed.
 * @param before what it had joined with
 */
export function joining(host: HostRecord, before: HostRecord | undefined): SharedTransaction {
  const isMoved = before?.advertise !== host.advertise;
  return {
    requires: [
      ...(before ? [{ kind: "present", key: keys.host(host.id) } as const] : []),
      ...(isMoved ? [{ kind: "absent", key: keys.taken.underlay(host.advertise) } as const] : []),
    ],
    changes: [
      { key: keys.host(host.id), value: host },
      ...(isMoved ? [{ key: keys.taken.underlay(host.advertise), value: { host: host.id } }] : []),
      ...(before && isMoved ? [{ key: keys.taken.underlay(before.advertise), value: undefined }] : []),
    ],
  };
}

/** The record of all subnets as it was read, which is to be the same still. */
export interface SeenSubnets {
  readonly subnets: TakenSubnets;
  /** Undefined where there is none yet. */
  readonly revision: number | undefined;
}

function sameSubnets({ revision }: SeenSubnets): Condition {
  const key = keys.taken.subnets;
  return revision === undefined ? { kind: "absent", key } : { kind: "unchanged", key, revision };
}

/** A network comes into being, with a name, a VNI and subnets that no other has. */
export function creating(network: SharedNetwork, host: string, seen: SeenSubnets): SharedTransaction {
  const name = keys.taken.networkName(network.name);
  const vni = keys.taken.vni(network.vni);
  return {
    requires: [
      { kind: "present", key: keys.host(host) },
      { kind: "absent", key: name },
      { kind: "absent", key: vni },
      { kind: "absent", key: keys.network(network.id) },
      sameSubnets(seen),
    ],
    changes: [
      { key: keys.network(network.id), value: storedNetwork(network) },
      { key: name, value: { network: network.id } },
      { key: vni, value: { network: network.id } },
      {
        key: keys.taken.subnets,
        value: { ...seen.subnets, [network.id]: network.subnets.map(({ subnet }) => subnet) },
      },
    ],
  };
}

/**
 * A network goes, which nobody is on.
 * @param revision of its record: it may get another name meanwhile
 */
export function removing(network: SharedNetwork, revision: number, seen: SeenSubnets): SharedTransaction {
  const others = Object.fromEntries(Object.entries(seen.subnets).filter(([id]) => id !== network.id));
  return {
    requires: [
      { kind: "unchanged", key: keys.network(network.id), revision },
      { kind: "none-below", prefix: keys.endpointsOn(network.id) },
      sameSubnets(seen),
    ],
    changes: [
      { key: keys.taken.subnets, value: others },
      { key: keys.network(network.id), value: undefined },
      { key: keys.taken.networkName(network.name), value: undefined },
      { key: keys.taken.vni(network.vni), value: undefined },
    ],
  };
}

/**
 * A network has the name that Docker gave it, and is for all hosts' dockerds from now on.
 * @param revision of its record
 */
export function naming(network: SharedNetwork, named: SharedNetwork, revision: number): SharedTransaction {
  const [before, now] = [keys.taken.networkName(network.name), keys.taken.networkName(named.name)];
  const isOther = before !== now;
  return {
    requires: [
      { kind: "unchanged", key: keys.network(network.id), revision },
      ...(isOther ? [{ kind: "absent", key: now } as const] : []),
    ],
    changes: [
      { key: keys.network(network.id), value: storedNetwork(named) },
      ...(isOther
        ? [
            { key: before, value: undefined },
            { key: now, value: { network: network.id } },
          ]
        : []),
    ],
  };
}

/** A host takes an address, for endpoints to come. */
export function reserving(network: string, ip: string, host: string): SharedTransaction {
  const key = keys.taken.address(network, ip);
  return {
    requires: [
      { kind: "present", key: keys.host(host) },
      { kind: "present", key: keys.network(network) },
      { kind: "absent", key },
    ],
    changes: [{ key, value: { host } }],
  };
}

/**
 * An endpoint takes its name and its addresses, on a network that is there.
 * @param held revisions of those that its host has already
 */
export function claiming(
  endpoint: SharedEndpoint,
  held: ReadonlyMap<string, number> = new Map<string, number>(),
): SharedTransaction {
  const { network, name, host, id, reserved } = endpoint;
  const addresses = addressesOf(endpoint);
  return {
    requires: [
      { kind: "present", key: keys.host(host) },
      { kind: "present", key: keys.network(network) },
      { kind: "absent", key: keys.endpoint(network, name) },
      ...addresses.map((ip) => sameOrAbsent(keys.taken.address(network, ip), held.get(ip))),
    ],
    changes: [
      { key: keys.endpoint(network, name), value: endpoint },
      ...addresses
        .filter((ip) => !held.has(ip))
        .map((ip) => ({
          key: keys.taken.address(network, ip),
          value: { host, ...(reserved ? {} : { endpoint: id }) },
        })),
    ],
  };
}

function sameOrAbsent(key: string, revision: number | undefined): Condition {
  return revision === undefined ? { kind: "absent", key } : { kind: "unchanged", key, revision };
}

/**
 * An endpoint is otherwise than it was, and has the same addresses.
 * @param revision of its record
 */
export function changing(before: SharedEndpoint, now: SharedEndpoint, revision: number): SharedTransaction {
  const [old, key] = [keys.endpoint(before.network, before.name), keys.endpoint(now.network, now.name)];
  return {
    requires: [{ kind: "unchanged", key: old, revision }, ...(old === key ? [] : [{ kind: "absent", key } as const])],
    changes: [...(old === key ? [] : [{ key: old, value: undefined }]), { key, value: now }],
  };
}

/**
 * An endpoint gives back what it has.
 * @param revision of its record: what somebody else has under that name by now is left alone
 */
export function releasing(endpoint: SharedEndpoint, revision: number): SharedTransaction {
  const { network, name, reserved } = endpoint;
  const key = keys.endpoint(network, name);
  const gone: SharedChange[] = (reserved ? [] : addressesOf(endpoint)).map((ip) => ({
    key: keys.taken.address(network, ip),
    value: undefined,
  }));
  return { requires: [{ kind: "unchanged", key, revision }], changes: [{ key, value: undefined }, ...gone] };
}

/** A host is no more: nothing else may be left of it by then, and it must not be there. */
export function forgetting(host: HostRecord): SharedTransaction {
  return {
    requires: [
      { kind: "present", key: keys.host(host.id) },
      { kind: "absent", key: keys.alive(host.id) },
    ],
    changes: [
      { key: keys.host(host.id), value: undefined },
      { key: keys.taken.underlay(host.advertise), value: undefined },
    ],
  };
}
