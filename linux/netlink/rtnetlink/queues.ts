import { formatInfo } from "netlink/dist/rt/ifla.js";
import { Attributes, attributesIn, AttributeWriter } from "../attributes.js";
import { bytesOf } from "./encode.js";
import { encoded, request, RTM_NEWLINK } from "./links.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

// Queueing disciplines of links (tc(8)), as far as they hold a rate: a token bucket for what a link sends (tc-tbf(8)), and the
// way of what comes in at a link through another one, an ifb, where it can be held back as what is sent.

const RTM = { newQdisc: 36, deleteQdisc: 37, getQdisc: 38, newFilter: 44, getFilter: 46 } as const;
/** `struct tcmsg`. */
const HEADER = { size: 20, link: 4, handle: 8, parent: 12, info: 16 } as const;
const TCA = { kind: 1, options: 2 } as const;
const TBF = { parameters: 1, rate64: 4, burst: 6 } as const;
/** `struct tc_tbf_qopt`. */
const BUCKET = { size: 36, linkLayer: 1, rate: 8, limit: 24 } as const;
const U32 = { selector: 5, actions: 7 } as const;
/** `struct tc_u32_sel` with one `struct tc_u32_key`. */
const SELECTOR = { size: 32, flags: 0, count: 2 } as const;
const TERMINAL = 1;
const ACTION = { kind: 1, options: 2 } as const;
const MIRRED_PARAMETERS = 2;
/** `struct tc_mirred`. */
const MIRRED = { size: 28, verdict: 8, action: 20, link: 24 } as const;
const STOLEN = 4;
const EGRESS_REDIRECT = 1;
const ETHERNET = 1;
const ROOT = 0xffffffff;
const INGRESS = 0xfffffff1;
/** Of the discipline at a link's ingress. */
const INGRESS_HANDLE = 0xffff0000;
/** Priority 1, frames of every kind (`ETH_P_ALL`). */
const EVERY_FRAME = 0x10300;
const largest32 = 0xffffffff;

/** What a link sends goes at this rate, but for so much at once. */
export interface TokenBucket {
  /** Bytes a second. */
  readonly rate: number;
  /** Bytes. The kernel cuts larger packets up where it can, and drops the others. */
  readonly burst: number;
  /** Bytes that wait at the most; what comes beyond is dropped. */
  readonly limit: number;
}

/** As the kernel has it: it tells of a burst by the time that it takes. */
export type SeenBucket = Omit<TokenBucket, "burst">;

/** How what a link sends, and what comes in at it, is held back. */
export interface LinkQueue {
  /** Undefined where there is no token bucket. */
  readonly bucket: SeenBucket | undefined;
  /** Index of the link by which all that comes in goes; undefined where it goes on as it comes. */
  readonly redirectedTo: number | undefined;
}

/** Gives a link a token bucket, whatever it has in its place. ENOENT on a kernel without `sch_tbf`. */
export function setBucket(link: number, { rate, burst, limit }: TokenBucket): RtRequest {
  const parameters = Buffer.alloc(BUCKET.size);
  parameters.writeUInt8(ETHERNET, BUCKET.linkLayer);
  parameters.writeUInt32LE(Math.min(rate, largest32), BUCKET.rate);
  parameters.writeUInt32LE(Math.min(limit, largest32), BUCKET.limit);
  const rate64 = Buffer.alloc(8);
  rate64.writeBigUInt64LE(BigInt(rate));
  const writer = tcMessage(link, { parent: ROOT });
  writer.text(TCA.kind, "tbf");
  writer.nest(TCA.options, () => {
    writer.raw(TBF.parameters, parameters);
    if (rate > largest32) writer.raw(TBF.rate64, rate64);
    writer.raw(TBF.burst, number(Math.min(burst, largest32)));
  });
  return requestOf(RTM.newQdisc, MAKE.orReplace, writer, `limit what link ${link} sends`);
}

/** Gives what a link sends no other order than that of any link. ENOENT where there is nothing. */
export function deleteBucket(link: number): RtRequest {
  return requestOf(RTM.deleteQdisc, 0, tcMessage(link, { parent: ROOT }), `send freely from link ${link}`);
}

/** What comes in at a link goes by nothing else. ENOENT or EINVAL where it does so already. */
export function deleteIngress(link: number): RtRequest {
  return requestOf(RTM.deleteQdisc, 0, tcMessage(link, { parent: INGRESS }), `take in freely at link ${link}`);
}

/** A place for filters where frames come in at a link. ENOENT on a kernel without `sch_ingress`. */
export function addIngress(link: number): RtRequest {
  const writer = tcMessage(link, { parent: INGRESS, handle: INGRESS_HANDLE });
  writer.text(TCA.kind, "ingress");
  return requestOf(RTM.newQdisc, MAKE.only, writer, `filter what comes in at link ${link}`);
}

/**
 * All that comes in at a link is as if another link had sent it, and goes on from there. After {@link addIngress}.
 * ENOENT on a kernel without `cls_u32` or `act_mirred`.
 */
export function redirectAll(link: number, to: number): RtRequest {
  const selector = Buffer.alloc(SELECTOR.size); // its mask is 0: every frame
  selector.writeUInt8(TERMINAL, SELECTOR.flags);
  selector.writeUInt8(1, SELECTOR.count);
  const mirred = Buffer.alloc(MIRRED.size);
  mirred.writeUInt32LE(STOLEN, MIRRED.verdict);
  mirred.writeUInt32LE(EGRESS_REDIRECT, MIRRED.action);
  mirred.writeUInt32LE(to, MIRRED.link);
  const writer = tcMessage(link, { parent: INGRESS_HANDLE, info: EVERY_FRAME });
  writer.text(TCA.kind, "u32");
  writer.nest(TCA.options, () => {
    writer.raw(U32.selector, selector);
    writer.nest(U32.actions, () =>
      writer.nest(1, () => {
        writer.text(ACTION.kind, "mirred");
        writer.nest(ACTION.options, () => writer.raw(MIRRED_PARAMETERS, mirred));
      }),
    );
  });
  return requestOf(RTM.newFilter, MAKE.only, writer, `redirect what comes in at link ${link}`);
}

/** A link that gives what it is sent back, as if it had just come in where it came from. ENOTSUP on a kernel without `ifb`. */
export function newIfb(name: string): RtRequest {
  const { header, attributes } = encoded({ name });
  const linkinfo = bytesOf(formatInfo({ kind: "ifb" }));
  return request(RTM_NEWLINK, MAKE.only, header, { ...attributes, linkinfo }, ["add ifb", name]);
}

/**
 * @param links indices of links that are there
 * All of the namespace are listed: kernels before 6.4 answer a question about a single one to whoever listens for changes, too.
 * Throws {@link NetlinkError}.
 */
export function queuesOf(rtnetlink: Rtnetlink, links: readonly number[]): Map<number, LinkQueue> {
  if (links.length === 0) return new Map();
  const all = requestOf(RTM.getQdisc, 0, tcMessage(0, { parent: 0 }), "list queues");
  const buckets = new Map(rtnetlink.list(all, readBucket));
  return new Map(
    links.map((link) => {
      const filters = requestOf(
        RTM.getFilter,
        0,
        tcMessage(link, { parent: INGRESS_HANDLE }),
        `list filters of ${link}`,
      );
      const [redirectedTo] = rtnetlink.list(filters, readRedirect);
      return [link, { bucket: buckets.get(link), redirectedTo }];
    }),
  );
}

/** With the index of the link whose own it is. */
function readBucket(payload: Buffer): [number, SeenBucket] | undefined {
  if (payload.readUInt32LE(HEADER.parent) !== ROOT) return undefined;
  const attributes = new Attributes(payload.subarray(HEADER.size));
  const options = attributes.text(TCA.kind) === "tbf" ? attributes.nested(TCA.options) : undefined;
  const parameters = options?.raw(TBF.parameters);
  if (parameters?.length !== BUCKET.size) return undefined;
  const rate64 = options?.raw(TBF.rate64);
  const rate = rate64?.length === 8 ? Number(rate64.readBigUInt64LE()) : parameters.readUInt32LE(BUCKET.rate);
  return [payload.readInt32LE(HEADER.link), { rate, limit: parameters.readUInt32LE(BUCKET.limit) }];
}

/** Where a filter sends every frame; undefined for others, and for tables that filters are in. */
function readRedirect(payload: Buffer): number | undefined {
  const attributes = new Attributes(payload.subarray(HEADER.size));
  const options = attributes.text(TCA.kind) === "u32" ? attributes.nested(TCA.options) : undefined;
  const selector = options?.raw(U32.selector);
  const isEveryFrame = selector?.length === SELECTOR.size && selector.readUInt32LE(16) === 0;
  const actions = options?.raw(U32.actions);
  if (!isEveryFrame || !actions) return undefined;
  for (const [, value] of attributesIn(actions)) {
    const action = new Attributes(value);
    const mirred = action.text(ACTION.kind) === "mirred" ? action.nested(ACTION.options) : undefined;
    const parameters = mirred?.raw(MIRRED_PARAMETERS);
    if (parameters?.length === MIRRED.size && parameters.readUInt32LE(MIRRED.action) === EGRESS_REDIRECT)
      return parameters.readUInt32LE(MIRRED.link) || undefined; // 0 when the link is gone
  }
  return undefined;
}

function tcMessage(link: number, given: { parent: number; handle?: number; info?: number }): AttributeWriter {
  const writer = new AttributeWriter(256);
  writer.reserve(HEADER.size);
  writer.memory.writeUInt32LE(link, HEADER.link);
  writer.memory.writeUInt32LE(given.handle ?? 0, HEADER.handle);
  writer.memory.writeUInt32LE(given.parent, HEADER.parent);
  writer.memory.writeUInt32LE(given.info ?? 0, HEADER.info);
  return writer;
}

function requestOf(type: number, flags: number, { bytes }: AttributeWriter, subject: string): RtRequest {
  return { type, flags, body: bytes, subject };
}

function number(value: number): Buffer {
  const raw = Buffer.alloc(4);
  raw.writeUInt32LE(value);
  return raw;
}
