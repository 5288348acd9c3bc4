import { decodeIP } from "../../common/address.js";
import type { Budget } from "./budget.js";
import { listFlows, type FlowTarget } from "./conntrack.js";
import type { Nfnetlink } from "./nfnetlink.js";

// What the kernel knows of flows (`CTA_*` of include/uapi/linux/netfilter/nfnetlink_conntrack.h).

const ENTRY = { original: 1, status: 3 } as const;
const TUPLE_ADDRESSES = 1;
const ADDRESS = { source4: 1, source6: 3 } as const;
const IPS_SEEN_REPLY = 0x2;

/** A connection, or what passes for one. */
export interface KnownFlow {
  /** Who began it; an address. */
  readonly from: string;
  /** Whether anything has come back. */
  readonly isAnswered: boolean;
}

/** Flows that are answered from a target. Throws NetlinkError, and what {@link Nfnetlink.list} throws. */
export function flowsTo(nfnetlink: Nfnetlink, target: FlowTarget, budget: Budget): KnownFlow[] {
  return listFlows(nfnetlink, target, budget, (attributes) => {
    const addresses = attributes.nested(ENTRY.original)?.nested(TUPLE_ADDRESSES);
    const source = addresses?.raw(ADDRESS.source4) ?? addresses?.raw(ADDRESS.source6);
    return (
      source && { from: decodeIP(source), isAnswered: ((attributes.u32(ENTRY.status) ?? 0) & IPS_SEEN_REPLY) !== 0 }
    );
  });
}
