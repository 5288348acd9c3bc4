import type { SeenHost } from "../seen.js";
import { aliasOf, type WantedEndpoint, type WantedNetwork } from "../wanted.js";
import type { ObjectSteps } from "./steps.js";

/** Removes links that say they are ours, of objects nobody wants any more: a lost store, a process that ended in between. */
export function leftovers(
  { links }: SeenHost,
  networks: ReadonlyMap<string, WantedNetwork>,
  endpoints: ReadonlyMap<string, WantedEndpoint>,
): ObjectSteps[] {
  const wanted = new Set([
    ...[...networks.values()].map((network) => aliasOf.network(network)),
    ...[...endpoints.values()].map((endpoint) => aliasOf.endpoint(endpoint)),
  ]);
  return [...links.values()].flatMap(({ name, alias = "" }) => {
    const [, kind, id] = /^pontoon (network|endpoint) (\S+)$/.exec(alias) ?? [];
    if (kind === undefined || id === undefined || wanted.has(alias)) return [];
    return [{ object: { kind: kind as "network" | "endpoint", id }, steps: [{ kind: "delete-link", link: name }] }];
  });
}
