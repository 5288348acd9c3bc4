import { PontoonError } from "../../../../common/errors.js";
import type { CreateNetworkRequest } from "../../contract.js";

/** A network of several hosts that `docker network create` asks for. */
export interface OverlayOptions {
  /** Name or id of one that there is (`pontoon.network`); undefined for a new one. */
  readonly existing: string | undefined;
  /** All `-o` that hosts' dockerds are to make it with. */
  readonly options: Readonly<Record<string, string>>;
}

/** Of those that the driver knows, what counts for one host alone. */
const hostsOwn = [
  "com.docker.network.bridge.name",
  "com.docker.network.bridge.host_binding_ipv4",
  "com.docker.network.host_ipv4",
  "com.docker.network.host_ipv6",
  "parent",
  "macvlan_mode",
  "ipvlan_mode",
  "pontoon.host-access",
] as const;

/** What `-o pontoon.driver=overlay` comes to; undefined without it. Throws OPTION_UNFIT. */
export function overlayOptionsOf(
  given: Readonly<Record<string, string | undefined>>,
  { icc }: Pick<CreateNetworkRequest, "icc">,
): OverlayOptions | undefined {
  const { "pontoon.network": existing, "pontoon.driver": driver, ...rest } = given;
  if (driver !== "overlay") {
    const of = ["pontoon.network", "encrypted"].find((key) => given[key] !== undefined);
    if (of === undefined) return undefined;
    throw unfit(of, "is for networks of several hosts: add -o pontoon.driver=overlay, or leave it out");
  }
  const own = hostsOwn.find((key) => rest[key] !== undefined);
  if (own !== undefined)
    throw unfit(own, "is for networks of one host, and this one is the same on all of them; leave it out");
  // As with Docker's own driver, the word alone is enough.
  if (!["", "1", "true", undefined].includes(rest.encrypted))
    throw unfit("encrypted", `is there or is not: leave out =${rest.encrypted}, or all of it`);
  if (!icc)
    throw unfit(
      "com.docker.network.bridge.enable_icc",
      "is for networks of one host: containers of several hosts reach each other; leave it out",
    );
  return { existing, options: Object.fromEntries(Object.entries(rest).filter(isGiven)) };
}

function isGiven(entry: [string, string | undefined]): entry is [string, string] {
  return entry[1] !== undefined;
}

function unfit(key: string, why: string): PontoonError {
  return new PontoonError("OPTION_UNFIT", key, `the option ${key} ${why}`);
}
