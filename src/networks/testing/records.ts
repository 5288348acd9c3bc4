import { PontoonError } from "../../../common/errors.js";
import { connectRequest, createNetworkRequest, createSandboxRequest } from "../contract.js";
import type { ConnectRequest, CreateNetworkRequest, CreateSandboxRequest } from "../contract.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records.js";
import { Registry, type RegistryChange } from "../registry.js";
import { MemoryStore } from "./memory-store.js";

/** Network N: 10.N.0.0/24, and fd00:N::/64 if it has IPv6. */
export function networkRecord(
  number: number,
  changes: Partial<NetworkRecord> & { ipv6?: boolean } = {},
): NetworkRecord {
  const { ipv6 = false, ...others } = changes;
  return {
    id: String(number).repeat(64),
    name: `network${number}`,
    created: "2026-01-02T03:04:05.000Z",
    bridge: `br${number}`,
    isAdopted: false,
    subnets: [
      { subnet: `10.${number}.0.0/24`, gateway: `10.${number}.0.1` },
      ...(ipv6 ? [{ subnet: `fd00:${number}::/64`, gateway: `fd00:${number}::1` }] : []),
    ],
    internal: false,
    icc: true,
    masquerade: true,
    snatAddresses: [],
    mtu: 1500,
    firewall: true,
    labels: {},
    ...others,
  };
}

export function sandboxRecord(name: string, changes: Partial<SandboxRecord> = {}): SandboxRecord {
  return {
    id: Buffer.from(name).toString("hex").padEnd(64, "0"),
    name,
    created: "2026-01-02T03:04:05.000Z",
    namespace: { kind: "own" },
    inode: 0,
    hostname: name,
    exposed: [],
    dns: { servers: [], search: [], options: [] },
    extraHosts: [],
    labels: {},
    ...changes,
  };
}

/** A sandbox's place on network N, with .2 there, as link ethN. */
export function endpointRecord(
  sandbox: SandboxRecord,
  network: NetworkRecord,
  changes: Partial<EndpointRecord> = {},
): EndpointRecord {
  const number = Number(network.id[0]);
  const hasIPv6 = network.subnets.some(({ subnet }) => subnet.includes(":"));
  return {
    id: `e${number}${sandbox.id.slice(0, 62)}`,
    network: network.id,
    sandbox: sandbox.id,
    hostLink: `v-${sandbox.name}-${number}`,
    ifname: `eth${number}`,
    mac: `02:42:0a:0${number}:00:02`,
    ipv4: `10.${number}.0.2`,
    ...(hasIPv6 && { ipv6: `fd00:${number}::2` }),
    aliases: [],
    links: [],
    gatewayPriority: 0,
    ...changes,
  };
}

export function registryOf(change: RegistryChange): Registry {
  const registry = new Registry(new MemoryStore());
  registry.commit(change);
  return registry;
}

/** Requests as the control API takes them. */
export const requestFor = {
  network: (fields: object = {}): CreateNetworkRequest => createNetworkRequest.parse({ name: "web", ...fields }),
  sandbox: (fields: object = {}): CreateSandboxRequest => createSandboxRequest.parse({ name: "a", ...fields }),
  endpoint: (fields: object = {}): ConnectRequest => connectRequest.parse({ network: "web", sandbox: "a", ...fields }),
};

/** How something is refused: code and message, which is to be one sentence. */
export function refusalOf(work: () => unknown): readonly [code: string, message: string] {
  try {
    work();
  } catch (error) {
    if (!(error instanceof PontoonError)) throw error;
    const isSentence = !/\n|\w\.(\s|$)/.test(error.message);
    return [error.code, isSentence ? error.message : `not one sentence: ${error.message}`];
  }
  return ["", "it was taken"];
}
