import { z } from "zod";
import { bandwidthRecord, networkRecord } from "../records.js";

// What is kept of Docker's networks and endpoints with the driver pontoon, and of address pools with that IPAM driver.

/** Whether the dockerd that is followed has listed it once: then it is that one's, and gone when it lists it no more. */
const isListed = z.boolean().default(false);

/** A network that dockerd has made with `-d pontoon`. Its name is Docker's to tell, and stands for its id until it has. */
export const dockerNetworkRecord = networkRecord.extend({
  /** Who publishes its containers' ports (`pontoon.ports`). */
  publishing: z.enum(["pontoon", "docker"]),
  /** Whether ports of an internal network are published (`pontoon.publish-internal`). */
  publishInternal: z.boolean(),
  /** Links of its containers are called so, with a number. */
  linkPrefix: z.string(),
  /** Routers by which its containers leave, in place of its own addresses. */
  routers: z.strictObject({ ipv4: z.string().exactOptional(), ipv6: z.string().exactOptional() }).default({}),
  isListed,
  /** It stands for a network of several hosts, of this id; `sharedOptions`: what others' dockerds make it with. */
  shared: z.string().exactOptional(),
  sharedOptions: z.record(z.string(), z.string()).exactOptional(),
  /** Those that its bridge, which was there before, had not. */
  lentGateways: z.array(z.string()).readonly(),
});

const mappedPort = z.strictObject({
  transport: z.enum(["tcp", "udp", "sctp"]),
  containerPort: z.number().int(),
  ip: z.string().exactOptional(),
  /** One of these; any without. */
  hostPorts: z.strictObject({ first: z.number().int(), last: z.number().int() }).exactOptional(),
});

/** A container's place on such a network. */
export const dockerEndpointRecord = z.strictObject({
  id: z.string(),
  network: z.string(),
  hostLink: z.string(),
  mac: z.string(),
  ipv4: z.string().exactOptional(),
  ipv6: z.string().exactOptional(),
  /** When it was made, ms since 1970. */
  since: z.number(),
  /** Of the link in the container, where it was asked for. */
  ifname: z.string().exactOptional(),
  ports: z.array(mappedPort).readonly(),
  bandwidth: bandwidthRecord.exactOptional(),
  /** Where dockerd has its namespace; undefined before it joins, and when it has left. */
  path: z.string().exactOptional(),
  /** Name of the container, as far as it is known, and its id. */
  container: z.string().exactOptional(),
  containerId: z.string().exactOptional(),
});

/** Addresses that dockerd has asked for, for a network of whatever driver. */
export const poolRecord = z.strictObject({
  id: z.string(),
  subnet: z.string(),
  ipRange: z.string().exactOptional(),
  /** When it was asked for, ms since 1970. */
  since: z.number(),
  isListed,
});

/** An address of a pool. */
export const addressRecord = z.strictObject({
  id: z.string(),
  pool: z.string(),
  address: z.string(),
  /** When it was given, or given back and kept, ms since 1970. */
  since: z.number(),
  /** Whether somebody has it. One that nobody has is kept for the container that asks for it by its number. */
  isGiven: z.boolean(),
  use: z.enum(["gateway", "named", "any"]),
});

export type DockerNetworkRecord = Readonly<z.infer<typeof dockerNetworkRecord>>;
export type DockerEndpointRecord = Readonly<z.infer<typeof dockerEndpointRecord>>;
export type PoolRecord = Readonly<z.infer<typeof poolRecord>>;
export type AddressRecord = Readonly<z.infer<typeof addressRecord>>;
