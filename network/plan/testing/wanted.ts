import type { Wanted, WantedEndpoint, WantedHandover, WantedNetwork, WantedSandbox } from "../../wanted.js";

/** Network N: bridge brN with 10.N.0.1/24, and fd00:N::1/64 if it has IPv6. */
export function network(number: number, changes: Partial<WantedNetwork> = {}): WantedNetwork {
  const hasIPv6 = changes.hasIPv6 ?? false;
  return {
    id: `net${number}`,
    name: `network${number}`,
    bridge: `br${number}`,
    isAdopted: false,
    addresses: [{ ip: `10.${number}.0.1`, prefix: 24 }, ...(hasIPv6 ? [{ ip: `fd00:${number}::1`, prefix: 64 }] : [])],
    mac: `02:42:0a:0${number}:00:01`,
    mtu: 1500,
    hasIPv6,
    firewall: undefined,
    ...changes,
  };
}

export function sandbox(id: string, changes: Partial<WantedSandbox> = {}): WantedSandbox {
  return {
    id,
    name: id,
    path: `/run/netns/${id}`,
    target: undefined,
    inode: undefined,
    isReplaceable: true,
    ...changes,
  };
}

/** A sandbox's place on network N, with .2 there; it is the way out, and the only one. */
export function endpoint(of: WantedSandbox, on: WantedNetwork, changes: Partial<WantedEndpoint> = {}): WantedEndpoint {
  const number = Number(on.id.slice(3));
  return {
    id: `${of.id}-${on.id}`,
    network: on.id,
    sandbox: of.id,
    hostLink: `v-${of.id}-${number}`,
    ifname: `eth${number}`,
    mac: `02:42:0a:0${number}:00:02`,
    mtu: on.mtu,
    group: 0,
    addresses: [
      { ip: `10.${number}.0.2`, prefix: 24 },
      ...(on.hasIPv6 ? [{ ip: `fd00:${number}::2`, prefix: 64 }] : []),
    ],
    gateways: on.addresses.map(({ ip }) => ip),
    isDefault: { ipv4: true, ipv6: on.hasIPv6 },
    table: undefined,
    ...changes,
  };
}

/** A container's place on network N, for an engine to take. */
export function handover(id: string, on: WantedNetwork, changes: Partial<WantedHandover> = {}): WantedHandover {
  return {
    id,
    network: on.id,
    hostLink: `h-${id}`,
    peer: `p-${id}`,
    mac: `02:42:0a:0${on.id.slice(3)}:00:02`,
    ips: [`10.${on.id.slice(3)}.0.2`],
    mtu: on.mtu,
    group: 0,
    path: `/var/run/docker/netns/${id}`,
    ...changes,
  };
}

export function wantedOf(
  networks: readonly WantedNetwork[],
  sandboxes: readonly WantedSandbox[],
  endpoints: readonly WantedEndpoint[],
  handovers: readonly WantedHandover[] = [],
): Wanted {
  const byId = <Item extends { readonly id: string }>(items: readonly Item[]) =>
    new Map(items.map((item) => [item.id, item]));
  return {
    networks: byId(networks),
    sandboxes: byId(sandboxes),
    endpoints: byId(endpoints),
    handovers: byId(handovers),
  };
}
