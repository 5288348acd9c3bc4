import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { SeenSandbox } from "../seen.js";
import { aliasOf } from "../wanted.js";
import { planInside } from "./inside-plan.js";
import { namedChild } from "./lan-plan.js";
import type { PairEnd, Step } from "./steps.js";

/** One end of a link between two sandboxes, and what its sandbox has. */
export interface SeenEnd extends PairEnd {
  readonly inside: SeenSandbox;
}

/**
 * What makes one end of a link between two sandboxes. The end whose id comes first makes both, and is to be planned first.
 * @param other undefined while nobody is there
 */
export function planPairEnd(own: SeenEnd, other: SeenEnd | undefined): Step[] {
  const { endpoint, sandbox, inside } = own;
  if (inside.kind !== "there") return [];
  const link = linkOf(own);
  const alias = aliasOf.inside(endpoint);
  const theirs = other && linkOf(other);
  const isWhole = link !== undefined && theirs?.index === link.peer && link.index === theirs?.peer;
  if (isWhole) return planInside(endpoint, sandbox, inside, link, alias);
  if (other?.inside.kind !== "there") return []; // one that has lost its other end carries nothing
  const make = endpoint.id < other.endpoint.id ? [...removal(own), ...removal(other), makePair(own, other)] : [];
  return [...make, ...planInside(endpoint, sandbox, inside, undefined, alias)];
}

/** A link tells whose it is, but for one that was cut off just when it was made. */
function linkOf({ endpoint, sandbox, inside }: SeenEnd): Link | undefined {
  if (inside.kind !== "there") return undefined;
  const isCutOff = ({ alias, kind, name }: Link) =>
    sandbox.target === undefined && alias === undefined && kind === "veth" && name === endpoint.ifname;
  return namedChild(aliasOf.inside(endpoint), inside.links) ?? inside.links.find(isCutOff);
}

/** An end whose other end is gone, or is not the right one. */
function removal(end: SeenEnd): Step[] {
  const link = linkOf(end);
  if (!link || end.inside.kind !== "there") return [];
  const { path } = end.sandbox;
  return [{ kind: "delete-inside", inside: { path, inode: end.inside.inode, index: link.index, rules: [] } }];
}

function makePair(own: PairEnd, other: PairEnd): Step {
  const endOf = ({ endpoint, sandbox }: PairEnd): PairEnd => ({ endpoint, sandbox });
  return { kind: "make-pair", ends: [endOf(own), endOf(other)] };
}
