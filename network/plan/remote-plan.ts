import type { Route } from "../../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import { aliasOf, type WantedEndpoint, type WantedSandbox } from "../wanted.js";
import type { SeenSandbox } from "../seen.js";
import { planInside, rulesOf } from "./inside-plan.js";
import { namedChild } from "./lan-plan.js";
import type { Step } from "./steps.js";

/** What makes a link that a driver has made a sandbox's. One that is in the sandbox tells whose it is. */
export function planRemoteEndpoint(
  endpoint: WantedEndpoint,
  sandbox: WantedSandbox,
  inside: SeenSandbox & { kind: "there" },
): Step[] {
  const alias = aliasOf.inside(endpoint);
  const end = namedChild(alias, inside.links);
  return [
    ...(end ? [] : [{ kind: "take-link", endpoint, sandbox } as const]),
    ...planInside(endpoint, sandbox, inside, end, alias),
  ];
}

/** Its driver deletes the link, which is on the host again, as libnetwork has it. */
export function planRemoteRemoval(
  endpoint: WantedEndpoint,
  { path }: Pick<WantedSandbox, "path">,
  inside: SeenSandbox,
): Step[] {
  const end = inside.kind === "there" ? namedChild(aliasOf.inside(endpoint), inside.links) : undefined;
  if (!end || inside.kind !== "there") return [];
  const rules = rulesOf(endpoint).filter(({ source }) => source !== undefined);
  return [
    { kind: "give-back", name: endpoint.hostLink, inside: { path, inode: inside.inode, index: end.index, rules } },
  ];
}

/**
 * Why a link of the host's is not a driver's to give away; undefined for one that is. The host leaves by it, others are built on
 * it, or it is pontoon's own.
 * @param links all of the host
 * @param routes all of the host
 */
export function whyKept(link: Link, links: readonly Link[], routes: readonly Route[]): string | undefined {
  if (link.name === "lo") return "it is the host's loopback";
  if (routes.some(({ link: by, destination }) => by === link.index && destination.prefix === 0))
    return "the host leaves by it";
  if (link.kind === "bridge" || links.some(({ master }) => master === link.index)) return "it has ports of its own";
  if (link.master !== undefined)
    return `it is a port of ${links.find(({ index }) => index === link.master)?.name ?? "a bridge"}`;
  if (link.alias?.startsWith("pontoon ") === true) return "it is a link of pontoon's own";
  const upper = links.find(({ kind, peer, index }) => kind !== "veth" && peer === link.index && index !== link.index);
  return upper && link.kind !== "veth" ? `the host's link ${upper.name} is on it` : undefined;
}
