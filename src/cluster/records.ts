import { isIP, isIPv4, isIPv6 } from "node:net";
import { z } from "zod";
import { hostWireguard } from "./wireguard-key.js";

// What hosts of a cluster agree on, and under which keys. Whoever reads a record of a later version leaves out what it does not know.

/** This host follows what is below. What is only ever claimed, and known from elsewhere, is below {@link keys.taken}. */
export const stateBelow = "state/";

const texts = z.array(z.string()).readonly();
// What others write is theirs to get wrong: a record with what is no address is left alone, and reaches nothing that would fail on it.
const ip = z.string().refine((text) => isIP(text) !== 0, "not an IP address");
const ipv4 = z.string().refine(isIPv4, "not an IPv4 address");
const ipv6 = z.string().refine(isIPv6, "not an IPv6 address");
const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i, "not a MAC address");
const subnet = z.string().refine((text) => {
  const [address = "", prefix = "", ...more] = text.split("/");
  const bits = isIPv4(address) ? 32 : 128;
  return isIP(address) !== 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= bits && more.length === 0;
}, "not a subnet");

/** One for all: tells this cluster from another that is at the same addresses by now. */
export const clusterRecord = z.object({ id: z.string(), created: z.string() });

/** A host that has joined. It stays until somebody has it forgotten. */
export const hostRecord = z.object({
  id: z.string(),
  name: z.string(),
  /** Where other hosts reach it: its underlay address. */
  advertise: ip,
  /** ISO 8601. */
  joined: z.string(),
  /** How encrypted packets reach it. Left out by hosts that have no WireGuard; what makes no sense counts as left out. */
  wireguard: hostWireguard.optional().catch(undefined),
});

/** A host that is in touch with the store. It goes by itself when the host is not. */
export const aliveRecord = z.object({ since: z.string() });

const networkFields = z.object({
  id: z.string(),
  name: z.string(),
  created: z.string(),
  subnets: z.array(z.object({ subnet, gateway: ip, ipRange: subnet.exactOptional() })).readonly(),
  internal: z.boolean(),
  masquerade: z.boolean(),
  mtu: z.number().int().min(68).max(65_535),
  labels: z.record(z.string(), z.string()),
  /** Of one that a dockerd has had made: all hosts' dockerds are to have it, with these options. */
  docker: z
    .object({
      options: z.record(z.string(), z.string()),
      /** Docker tells a network's name only when that is there: until then it is called by the first digits of its id. */
      isNamed: z.boolean(),
    })
    .exactOptional(),
});

/** VXLAN network identifier (RFC 7348): 24 bits. */
const vni = z.number().int().min(1).max(0xffffff);

/**
 * A version that knows nothing of encryption finds no number in the record of an encrypted network, and leaves the network alone: it would
 * carry it in plain.
 */
export const sharedNetworkRecord = networkFields
  .extend({ vni: z.union([vni, z.object({ wireguard: vni })]) })
  .transform(({ vni, ...network }): SharedNetwork =>
    typeof vni === "number" ? { ...network, vni } : { ...network, vni: vni.wireguard, isEncrypted: true },
  );

/** A network as it stands in the store. */
export function storedNetwork({ vni, isEncrypted, ...network }: SharedNetwork): z.input<typeof sharedNetworkRecord> {
  return { ...network, vni: isEncrypted ? { wireguard: vni } : vni };
}

/** An endpoint of any host's. Its key is its name on the network, which nobody else can have. */
export const sharedEndpointRecord = z.object({
  id: z.string(),
  network: z.string(),
  /** Id of the host. */
  host: z.string(),
  /** Id of the sandbox, which may be on several networks. */
  sandbox: z.string(),
  name: z.string(),
  hostname: z.string(),
  aliases: texts,
  exposed: z.array(z.tuple([z.number().int(), z.enum(["tcp", "udp", "sctp"])])).readonly(),
  ipv4: ipv4.exactOptional(),
  ipv6: ipv6.exactOptional(),
  mac,
  /** Its host has its addresses, before it and after it: they do not come and go with it. */
  reserved: z.literal(true).exactOptional(),
});

/** Whose an address is. */
export const takenAddressRecord = z.object({
  host: z.string(),
  /** Left out where its host has it, for one endpoint after the other. */
  endpoint: z.string().exactOptional(),
});

export type ClusterRecord = Readonly<z.infer<typeof clusterRecord>>;
export type HostRecord = Readonly<z.infer<typeof hostRecord>>;
export interface SharedNetwork extends Readonly<z.infer<typeof networkFields>> {
  readonly vni: number;
  /** What passes between hosts goes by their WireGuard links. */
  readonly isEncrypted?: true;
}
export type SharedEndpoint = Readonly<z.infer<typeof sharedEndpointRecord>>;

export const keys = {
  cluster: `${stateBelow}cluster`,
  host: (id: string) => `${stateBelow}hosts/${id}`,
  alive: (id: string) => `${stateBelow}alive/${id}`,
  network: (id: string) => `${stateBelow}networks/${id}`,
  endpoint: (network: string, name: string) => `${stateBelow}endpoints/${network}/${name}`,
  endpoints: `${stateBelow}endpoints/`,
  endpointsOn: (network: string) => `${stateBelow}endpoints/${network}/`,
  taken: {
    networkName: (name: string) => `taken/network-names/${name}`,
    subnets: "taken/subnets",
    vni: (vni: number) => `taken/vnis/${vni}`,
    underlay: (ip: string) => `taken/underlays/${ip}`,
    address: (network: string, ip: string) => `taken/addresses/${network}/${ip}`,
    addressesOn: (network: string) => `taken/addresses/${network}/`,
    addresses: "taken/addresses/",
  },
} as const;

/** Which subnets networks have, in one record: no two networks have parts of each other's. By id of the network. */
export const takenSubnetsRecord = z.record(z.string(), z.array(z.string()).readonly());
export type TakenSubnets = Readonly<z.infer<typeof takenSubnetsRecord>>;

/** What a record of {@link stateBelow} is about. */
export type Known =
  | { readonly kind: "cluster"; readonly value: ClusterRecord }
  | { readonly kind: "host"; readonly id: string; readonly value: HostRecord }
  | { readonly kind: "alive"; readonly id: string }
  | { readonly kind: "network"; readonly id: string; readonly value: SharedNetwork }
  | { readonly kind: "endpoint"; readonly value: SharedEndpoint };

const kinds = { hosts: hostRecord, networks: sharedNetworkRecord } as const;

/** @returns undefined for what makes no sense to this version: it is left alone */
export function readRecord(key: string, value: unknown): Known | undefined {
  const [, kind, id = ""] = key.split("/");
  if (key === keys.cluster) return known("cluster", clusterRecord.safeParse(value));
  if (kind === "alive") return aliveRecord.safeParse(value).success ? { kind: "alive", id } : undefined;
  if (kind === "endpoints") return known("endpoint", sharedEndpointRecord.safeParse(value));
  if (kind === "hosts") return known("host", kinds.hosts.safeParse(value), id);
  if (kind === "networks") return known("network", kinds.networks.safeParse(value), id);
  return undefined;
}

function known(kind: Known["kind"], read: { success: boolean; data?: unknown }, id?: string): Known | undefined {
  if (!read.success) return undefined;
  const isOther = id !== undefined && (read.data as { id: string }).id !== id;
  return isOther ? undefined : ({ kind, id, value: read.data } as Known);
}
