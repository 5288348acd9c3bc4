import { readProcFile } from "../../linux/proc.js";
import type { ClientIdentity } from "../../network/dhcp/client.js";
import type { LinkPlace } from "../../network/dhcp/link.js";
import type { EndpointRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { hasOwnMac, namespacePathOf } from "./wanted.js";

/** Where the client of an endpoint asks, and as whom; undefined while its namespace is not there. */
export function clientPlace(
  registry: Registry,
  { sandbox: id, network: on, ifname, clientId = "" }: EndpointRecord,
): { readonly place: LinkPlace; readonly identity: ClientIdentity } | undefined {
  const [sandbox, network] = [registry.sandboxes.get(id), registry.networks.get(on)];
  if (!sandbox || !network?.lan || sandbox.inode === 0) return undefined;
  return {
    place: { path: namespacePathOf(sandbox.name), inode: sandbox.inode, ifname },
    identity: {
      clientId: Buffer.from(clientId, "hex"),
      hostname: sandbox.hostname.split(".")[0]!,
      sharesMac: !hasOwnMac(network.lan),
    },
  };
}

/** Another one for each start of the host, and for each namespace. @param inode of the namespace */
export function placeName(inode: number): string {
  return `${bootId()}/${inode}`;
}

/** Another one than any. */
export const nowhere = "";

let boot: string | undefined;

/** random(4). */
function bootId(): string {
  return (boot ??= readProcFile("/proc/sys/kernel/random/boot_id", 64).text.trim());
}
