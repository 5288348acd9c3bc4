import { decodeIPv4 } from "../../common/address.js";
import { isUnicast } from "./is-unicast.js";

// Classless static routes (RFC 3442): prefix, its significant bytes, gateway.

export interface LeasedRoute {
  readonly destination: { readonly ip: string; readonly prefix: number };
  /** Left out for one that leads right over the link. */
  readonly gateway?: string;
}

const routesAtMost = 64;

/**
 * They count in place of the option for routers. What does not lead to others' unicast addresses is left out.
 * @param own the client's address
 * @returns undefined when they make no sense as a whole
 */
export function readRoutes(
  value: Buffer,
  own: string,
): { router: string | undefined; routes: LeasedRoute[] } | undefined {
  let router: string | undefined;
  const routes: LeasedRoute[] = [];
  for (let at = 0; at < value.length;) {
    const prefix = value[at]!;
    const size = Math.ceil(prefix / 8);
    if (prefix > 32 || at + 1 + size + 4 > value.length) return undefined;
    const bytes = Buffer.alloc(4);
    value.copy(bytes, 0, at + 1, at + 1 + size);
    const mask = prefix === 0 ? 0 : (~0 << (32 - prefix)) >>> 0;
    bytes.writeUInt32BE((bytes.readUInt32BE() & mask) >>> 0);
    const gateway = decodeIPv4(value, at + 1 + size);
    at += 1 + size + 4;
    const isOnLink = gateway === "0.0.0.0" || gateway === own;
    if (!isOnLink && !isUnicast(gateway)) continue;
    if (prefix === 0) router ??= isOnLink ? undefined : gateway;
    else if (isUnicast(decodeIPv4(bytes, 0)) && routes.length < routesAtMost)
      routes.push({
        destination: { ip: decodeIPv4(bytes, 0), prefix },
        ...(!isOnLink && { gateway }),
      });
  }
  return { router, routes: unique(routes) };
}

/** Of several to one destination the first counts. */
function unique(routes: readonly LeasedRoute[]): LeasedRoute[] {
  const byDestination = new Map<string, LeasedRoute>();
  for (const route of routes) {
    const key = `${route.destination.ip}/${route.destination.prefix}`;
    if (!byDestination.has(key)) byDestination.set(key, route);
  }
  return [...byDestination.values()];
}
