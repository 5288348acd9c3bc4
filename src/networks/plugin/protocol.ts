import { z } from "zod";

// What dockerd says to a network and IPAM plugin, as libnetwork has it for remote drivers (its documents on remote
// drivers and on IPAM, in moby/libnetwork). Fields that a newer dockerd adds are let pass; those that are known have to be as they are known.

/** Of networks and endpoints; swarm's are shorter. */
const id = z.string().regex(/^[a-zA-Z0-9]{1,64}$/, "not an id of Docker's");
const text = z.string().max(4096);
/** Go writes null for a map or a list that is empty. */
const options = z
  .record(z.string().max(4096), z.unknown())
  .nullish()
  .transform((value) => value ?? {});
const pools = z
  .array(
    z.object({
      AddressSpace: text.nullish(),
      Pool: text,
      /** With its prefix. */
      Gateway: text.nullish().transform((value) => value ?? ""),
      AuxAddresses: z.record(text, text).nullish(),
    }),
  )
  .max(64)
  .nullish()
  .transform((value) => value ?? []);

export const createNetworkCall = z.object({ NetworkID: id, Options: options, IPv4Data: pools, IPv6Data: pools });
export const networkCall = z.object({ NetworkID: id });
export const createEndpointCall = z.object({
  NetworkID: id,
  EndpointID: id,
  /** Addresses with their prefix. */
  Interface: z
    .object({
      Address: text.nullish().transform((value) => value ?? ""),
      AddressIPv6: text.nullish().transform((value) => value ?? ""),
      MacAddress: text.nullish().transform((value) => value ?? ""),
    })
    .nullish()
    .transform((value) => value ?? { Address: "", AddressIPv6: "", MacAddress: "" }),
  Options: options,
});
export const endpointCall = z.object({ NetworkID: id, EndpointID: id });
export const joinCall = z.object({ NetworkID: id, EndpointID: id, SandboxKey: text.min(1), Options: options });
export const externalCall = z.object({ NetworkID: id, EndpointID: id, Options: options });

export const requestPoolCall = z.object({
  AddressSpace: text.nullish().transform((value) => value ?? ""),
  Pool: text.nullish().transform((value) => value ?? ""),
  SubPool: text.nullish().transform((value) => value ?? ""),
  Options: options,
  V6: z
    .boolean()
    .nullish()
    .transform((value) => value ?? false),
});
export const poolCall = z.object({ PoolID: text.min(1) });
export const requestAddressCall = z.object({
  PoolID: text.min(1),
  Address: text.nullish().transform((value) => value ?? ""),
  Options: options,
});
export const releaseAddressCall = z.object({ PoolID: text.min(1), Address: text });

export type CreateNetworkCall = z.infer<typeof createNetworkCall>;
export type CreateEndpointCall = z.infer<typeof createEndpointCall>;
export type EndpointCall = z.infer<typeof endpointCall>;
export type JoinCall = z.infer<typeof joinCall>;
export type ExternalCall = z.infer<typeof externalCall>;
export type RequestPoolCall = z.infer<typeof requestPoolCall>;
export type RequestAddressCall = z.infer<typeof requestAddressCall>;

/** What Join is answered with. */
export interface JoinReply {
  readonly InterfaceName: { readonly SrcName: string; readonly DstPrefix: string; readonly DstName?: string };
  readonly Gateway?: string;
  readonly GatewayIPv6?: string;
}

/** Keys of options, `netlabel` in libnetwork. */
export const labels = {
  generic: "com.docker.network.generic",
  ipv6: "com.docker.network.enable_ipv6",
  ipv4: "com.docker.network.enable_ipv4",
  internal: "com.docker.network.internal",
  exposedPorts: "com.docker.network.endpoint.exposedports",
  portMap: "com.docker.network.portmap",
  linkName: "com.docker.network.endpoint.ifname",
  addressType: "RequestAddressType",
  gatewayAddress: "com.docker.network.gateway",
} as const;
