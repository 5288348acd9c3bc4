import type { SeenBucket, TokenBucket } from "../../linux/netlink/rtnetlink/queues.js";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { SeenHost } from "../seen.js";
import { retiredGroup, shaperOf, type RateLimit, type WantedBandwidth } from "../wanted.js";
import type { Step } from "./steps.js";

/** The largest packet that the kernel moves in one piece (64 KiB), with its headers: one that is larger than a burst has to be cut up. */
const burstAtLeast = 65 * 1024;
/** Of IPv6, where an administrator has allowed for it (BIG TCP). */
const largestPacket = 512 * 1024;
/** What may pass at once, s of the rate: timers of the kernel's may be late by as much. */
const burstTime = 0.01;
/** What waits for its turn, s of the rate. */
const queueTime = 0.05;

/** An endpoint of either kind, as far as it is about its rate. */
export interface LimitedPlace {
  readonly id: string;
  readonly hostLink: string;
  readonly bandwidth?: WantedBandwidth;
}

/**
 * What holds an endpoint to its rate. What goes to the sandbox waits at the host's end; what comes from it is led from there
 * through a link of its own, the shaper: within the sandbox somebody could change it.
 * @param alias of the shaper
 * @param link the host's end; undefined for one that is just made
 */
export function planBandwidth(place: LimitedPlace, alias: string, link: Link | undefined, host: SeenHost): Step[] {
  const { hostLink, bandwidth: { toSandbox, fromSandbox } = {} } = place;
  const queue = link && host.queues.get(link.index);
  const to = toSandbox ? planBucket(hostLink, toSandbox, queue?.bucket) : [];
  const name = shaperOf(place);
  if (!fromSandbox) return to;
  const found = host.links.get(name);
  const shaper = found && isUsable(found) ? found : undefined;
  const isSet = shaper?.isUp === true && shaper.alias === alias;
  const isLed = shaper !== undefined && queue?.redirectedTo === shaper.index;
  return [
    ...(found && !shaper ? [{ kind: "delete-link", link: name } as const] : []),
    ...(isSet ? [] : [{ kind: "make-shaper", shaper: name, alias } as const]),
    ...planBucket(name, fromSandbox, shaper && host.queues.get(shaper.index)?.bucket),
    ...(isLed ? [] : [{ kind: "redirect", link: hostLink, shaper: name } as const]),
    ...to,
  ];
}

function planBucket(link: string, limit: RateLimit, seen: SeenBucket | undefined): Step[] {
  const bucket = bucketOf(limit);
  const isSet = seen?.rate === bucket.rate && seen.limit === bucket.limit;
  return isSet ? [] : [{ kind: "limit-rate", link, bucket }];
}

/** A rate as the kernel takes it. */
export function bucketOf({ rate, burst = 0 }: RateLimit): TokenBucket {
  const bytes = Math.floor(rate / 8);
  const size = (...atLeast: number[]) => Math.min(Math.ceil(Math.max(burstAtLeast, ...atLeast)), 2 ** 32 - 1);
  const most = size(burst, bytes * burstTime);
  return { rate: bytes, burst: most, limit: size(bytes * queueTime, Math.min(most, largestPacket)) };
}

/** What takes the shaper away, if there is one: after the host's end, from which nothing goes on without it. */
export function planShaperRemoval(place: Pick<LimitedPlace, "id">, alias: string, { links }: SeenHost): Step[] {
  const shaper = links.get(shaperOf(place));
  // One that is cut off between being made and being named has no alias yet.
  const isOurs = shaper?.kind === "ifb" && (shaper.alias === undefined || shaper.alias === alias);
  return isOurs && isUsable(shaper) ? [{ kind: "retire", index: shaper.index, inside: undefined }] : [];
}

/** One of an earlier endpoint of the same id may be about to be deleted. */
function isUsable({ kind, group }: Link): boolean {
  return kind === "ifb" && group !== retiredGroup;
}
