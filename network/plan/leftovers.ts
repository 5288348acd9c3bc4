import type { SeenHost } from "../seen.js";
import { aliasOf, handedPrefix, onTheWayPrefix, shaperOf, type Wanted, type WantedEndpoint } from "../wanted.js";
import { planLeftProxies } from "./ndp-plan.js";
import type { ObjectRef, ObjectSteps } from "./steps.js";

/**
 * Removes links that say they are ours, of objects nobody wants any more: a lost store, a process that ended in between.
 * @param ofEngines what was made for container engines, or all else: only they know what of theirs is in use
 */
export function leftovers(
  host: SeenHost,
  { networks, endpoints, handovers }: Pick<Wanted, "networks" | "endpoints" | "handovers">,
  ofEngines: boolean,
): ObjectSteps[] {
  const { links } = host;
  const proxies = ofEngines ? [] : planLeftProxies(host, { networks, endpoints });
  const wanted = new Set([
    ...[...networks.values()].map((network) => aliasOf.network(network)),
    ...[...networks.values()].filter(({ overlay }) => overlay).map((network) => aliasOf.overlay(network)),
    ...[...endpoints.values()].map((endpoint) => aliasOf.endpoint(endpoint)),
    ...[...handovers.values()].flatMap((handover) => [aliasOf.handover(handover), aliasOf.handed(handover)]),
    ...[...endpoints.values()].filter(hasShaper).map(aliasOf.shaper),
    ...[...handovers.values()].filter(hasShaper).map(aliasOf.engineShaper),
  ]);
  const parents = new Set([...networks.values()].map(({ lan }) => lan?.parent));
  const strays = [...links.values()].flatMap(({ name, alias = "" }): ObjectSteps[] => {
    if (alias === aliasOf.vlan(name) && !parents.has(name) && !ofEngines)
      return [{ object: { kind: "network", id: name }, steps: [{ kind: "delete-link", link: name }] }];
    const left = ownerIn(alias, name);
    if (!left || wanted.has(alias) || left.isEngines !== ofEngines) return [];
    const place = endpoints.get(left.object.id) ?? handovers.get(left.object.id);
    // The endpoint may be there: its limit was lost with a store.
    const isLed = place && name === shaperOf(place) && links.has(place.hostLink);
    const free = isLed ? [{ kind: "end-redirect", link: place.hostLink } as const] : [];
    return [{ object: left.object, steps: [...free, { kind: "delete-link", link: name }] }];
  });
  return proxies.length > 0 ? [...strays, { object: { kind: "network", id: "proxies" }, steps: proxies }] : strays;
}

const hasShaper = ({ bandwidth }: Pick<WantedEndpoint, "bandwidth">) => bandwidth?.fromSandbox !== undefined;

/** Whose a link says it is. The one by which a container leaves, and a daemon in it, has got another name when it was taken. */
function ownerIn(alias: string, name: string): { object: ObjectRef; isEngines: boolean } | undefined {
  const [, owner, kind, id] = /^pontoon (engine-)?(network|overlay|endpoint|shaper) (\S+)$/.exec(alias) ?? [];
  if (kind !== undefined && id !== undefined)
    return {
      object: { kind: kind === "network" || kind === "overlay" ? "network" : "endpoint", id },
      isEngines: owner !== undefined,
    };
  // On its way from a sandbox back to its driver, when a crash came.
  if (name.startsWith(onTheWayPrefix) && alias.startsWith(aliasOf.inside({ id: "" })))
    return { object: { kind: "endpoint", id: alias.slice(aliasOf.inside({ id: "" }).length) }, isEngines: false };
  const [handed, waiting] = [aliasOf.handed({ id: "" }), name.startsWith(handedPrefix)];
  if (!waiting || !alias.startsWith(handed)) return undefined;
  return { object: { kind: "endpoint", id: alias.slice(handed.length) }, isEngines: true };
}
