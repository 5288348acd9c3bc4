import type { z } from "zod";
import type { AddressPools } from "./address-pools.js";
import type { DockerNetworks } from "./docker-networks.js";
import {
  createEndpointCall,
  createNetworkCall,
  endpointCall,
  externalCall,
  joinCall,
  networkCall,
  poolCall,
  releaseAddressCall,
  requestAddressCall,
  requestPoolCall,
  type RequestAddressCall,
} from "./protocol.js";
import type { PluginMethod } from "./server.js";

const nothing = {};

const fixed = (answer: object): PluginMethod => ({
  call: undefined,
  problem: "Err",
  run: () => Promise.resolve(answer),
});

/** Of a daemon that drives no networks of dockerd's. */
export const noDriver = new Map([["Plugin.Activate", fixed({ Implements: [] })]]);

/** Who gives addresses out: the pools themselves, or who asks other hosts before. */
export interface AddressGiver {
  requestAddress(call: RequestAddressCall): object | Promise<object>;
  releaseAddress(pool: string, address: string): void;
}

/** Every method that dockerd may ask, by its name. */
export function pluginMethods(
  networks: DockerNetworks,
  pools: Pick<AddressPools, "requestPool" | "releasePool">,
  addresses: AddressGiver,
): Map<string, PluginMethod> {
  const driver = <Call>(
    call: z.ZodType<Call>,
    run: (call: Call) => object | Promise<object | undefined>,
  ): PluginMethod => ({
    call,
    problem: "Err",
    run: async (value) => (await run(value as Call)) ?? nothing,
  });
  const ipam = <Call>(
    call: z.ZodType<Call>,
    run: (call: Call) => object | Promise<object> | undefined,
  ): PluginMethod => ({
    call,
    problem: "Error",
    run: async (value) => (await run(value as Call)) ?? nothing,
  });
  /** Of swarm and its neighbours: networks of one host have none. */
  const unused = fixed(nothing);
  return new Map<string, PluginMethod>([
    ["Plugin.Activate", fixed({ Implements: ["NetworkDriver", "IpamDriver"] })],
    ["NetworkDriver.GetCapabilities", fixed({ Scope: "local", ConnectivityScope: "local" })],
    ["NetworkDriver.CreateNetwork", driver(createNetworkCall, async (call) => void (await networks.create(call)))],
    ["NetworkDriver.DeleteNetwork", driver(networkCall, async (call) => void (await networks.remove(call.NetworkID)))],
    [
      "NetworkDriver.CreateEndpoint",
      driver(createEndpointCall, async (call) => ({ Interface: await networks.createEndpoint(call) })),
    ],
    ["NetworkDriver.DeleteEndpoint", driver(endpointCall, async (call) => void (await networks.deleteEndpoint(call)))],
    ["NetworkDriver.EndpointOperInfo", driver(endpointCall, () => ({ Value: {} }))],
    ["NetworkDriver.Join", driver(joinCall, (call) => networks.join(call))],
    ["NetworkDriver.Leave", driver(endpointCall, async (call) => void (await networks.leave(call)))],
    [
      "NetworkDriver.ProgramExternalConnectivity",
      driver(externalCall, async (call) => void (await networks.connectOutside(call))),
    ],
    [
      "NetworkDriver.RevokeExternalConnectivity",
      driver(endpointCall, async (call) => void (await networks.disconnectOutside(call))),
    ],
    ["NetworkDriver.AllocateNetwork", unused],
    ["NetworkDriver.FreeNetwork", unused],
    ["NetworkDriver.DiscoverNew", unused],
    ["NetworkDriver.DiscoverDelete", unused],
    // What was given stands in the store: nothing need be said again.
    ["IpamDriver.GetCapabilities", fixed({ RequiresMACAddress: false, RequiresRequestReplay: false })],
    [
      "IpamDriver.GetDefaultAddressSpaces",
      fixed({ LocalDefaultAddressSpace: "pontoon-local", GlobalDefaultAddressSpace: "pontoon-global" }),
    ],
    ["IpamDriver.RequestPool", ipam(requestPoolCall, (call) => pools.requestPool(call))],
    ["IpamDriver.ReleasePool", ipam(poolCall, ({ PoolID }) => void pools.releasePool(PoolID))],
    ["IpamDriver.RequestAddress", ipam(requestAddressCall, (call) => addresses.requestAddress(call))],
    [
      "IpamDriver.ReleaseAddress",
      ipam(releaseAddressCall, ({ PoolID, Address }) => void addresses.releaseAddress(PoolID, Address)),
    ],
  ]);
}
