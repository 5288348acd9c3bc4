import { formatRule, formatRuleAttrs } from "netlink/dist/rt/gen_structs.js";
import { decodeIPv4, decodeIPv6, encodeIPv4, encodeIPv6, type Family } from "../../../common/address.js";
import { AF_INET, AF_INET6, AF_UNSPEC } from "../../constants.js";
import { Attributes } from "../attributes.js";
import { bytesOf } from "./encode.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

// Policy routing (ip-rule(8)), as far as it goes by a packet's source.

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
/** `struct fib_rule_hdr`. */
const HEADER = { size: 12, sourceLength: 2, table: 4, action: 7 } as const;
const FRA = { source: 2, priority: 6, suppressedPrefix: 14, table: 15 } as const;
const ACTION_TO_TABLE = 1;

/** What comes from an address goes by a table. */
export interface RoutingRule {
  readonly family: Family;
  /** Undefined for whatever comes. */
  readonly source: string | undefined;
  readonly table: number;
  /** Rules are asked in this order; the main table's is 32766. */
  readonly priority: number;
  /** Default routes of the table do not count (`suppress_prefixlength 0`). */
  readonly skipsDefault: boolean;
}

export function addRule(rule: RoutingRule): RtRequest {
  return request(RTM_NEWRULE, MAKE.only, rule, "add");
}

export function deleteRule(rule: RoutingRule): RtRequest {
  return request(RTM_DELRULE, 0, rule, "delete");
}

function request(type: number, flags: number, rule: RoutingRule, verb: string): RtRequest {
  const { family, source, table, priority, skipsDefault } = rule;
  const isV6 = family === "ipv6";
  const src = source === undefined ? undefined : isV6 ? encodeIPv6(source) : encodeIPv4(source);
  const header = {
    family: isV6 ? AF_INET6 : AF_INET,
    ...(src && { srcLen: src.length * 8 }),
    action: ACTION_TO_TABLE,
  };
  const attributes = {
    ...(src && { src }),
    priority,
    table,
    ...(skipsDefault && { suppressPrefixlen: Buffer.alloc(4) }),
  };
  const subject = `${verb} rule from ${source ?? "all"} to table ${table}`;
  return { type, flags, body: bytesOf(formatRule(header), formatRuleAttrs(attributes)), subject };
}

/** Rules of the namespace that go by one address, or by none. Throws {@link NetlinkError}. */
export function rulesOf(rtnetlink: Rtnetlink): RoutingRule[] {
  const body = bytesOf(formatRule({ family: AF_UNSPEC }));
  return rtnetlink.list({ type: RTM_GETRULE, flags: 0, body, subject: "list rules" }, (payload) => {
    const attributes = new Attributes(payload.subarray(HEADER.size));
    const source = attributes.raw(FRA.source);
    if (payload.readUInt8(HEADER.sourceLength) !== (source?.length ?? 0) * 8) return undefined;
    return {
      family: payload.readUInt8(0) === AF_INET6 ? "ipv6" : "ipv4",
      source: source && (source.length === 4 ? decodeIPv4(source, 0) : decodeIPv6(source, 0)),
      table: attributes.raw(FRA.table)?.readUInt32LE() ?? payload.readUInt8(HEADER.table),
      priority: attributes.raw(FRA.priority)?.readUInt32LE() ?? 0,
      skipsDefault: attributes.raw(FRA.suppressedPrefix)?.readInt32LE() === 0,
    };
  });
}
