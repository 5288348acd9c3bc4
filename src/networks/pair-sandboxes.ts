import { PontoonError } from "../../common/errors.js";
import { connectRequest, createNetworkRequest, type PairRequest } from "./contract.js";
import type { Endpoints } from "./endpoints.js";
import type { Networks } from "./networks.js";
import type { NetworkRecord, SandboxRecord } from "./records.js";

/**
 * Makes a network of two sandboxes, and connects them. Called from a command of the reconciler.
 * Rejects with a PontoonError that says what is wrong; nothing is left of it then.
 */
export async function pairSandboxes(
  sandboxes: readonly SandboxRecord[],
  { subnets, name }: PairRequest,
  networks: Networks,
  endpoints: Endpoints,
): Promise<NetworkRecord> {
  const [one, other] = sandboxes.map((sandbox) => sandbox.name);
  if (one === other)
    throw new PontoonError(
      "ALREADY_CONNECTED",
      one!,
      `a pair has two ends, and ${one} cannot be both; name two sandboxes`,
    );
  const request = { name: name ?? `${one}-${other}`.slice(0, 63), driver: "pair", subnets };
  const network = await networks.create(createNetworkRequest.parse(request));
  const connected: SandboxRecord[] = [];
  try {
    for (const sandbox of sandboxes) {
      await endpoints.connect(network, sandbox, connectRequest.parse({ network: network.id, sandbox: sandbox.id }));
      connected.push(sandbox);
    }
    return network;
  } catch (error) {
    for (const sandbox of connected) await endpoints.disconnect({ network: network.id, sandbox: sandbox.id });
    await networks.remove(network.id);
    throw error;
  }
}
