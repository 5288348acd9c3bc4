import { monotonicNow } from "../../linux/timer-wheel.js";
import { failureError, policyError, staleError } from "./extended-errors.js";
import type { Why } from "../forward/forward.js";
import type { LocalAnswer } from "../table/lookup.js";
import { STALE_TTL, type ForwardedAnswer, type ForwardedQuestion } from "./forwarder.js";
import type { Source } from "../protocol.js";
import { CLASS, isInternet, RCODE, TYPE, type Question } from "../wire/query.js";
import { buildReply, renderReply, udpLimit, type ReplyContent } from "../wire/reply.js";
import { isTruncated } from "../wire/reply-check.js";
import { rotations } from "../wire/rotation.js";
import type { Found, Searched } from "./search.js";
import type { Sandbox } from "../sandbox.js";
import { PASSED_ON, storeReply, storeTruncated } from "../wire/stored-reply.js";

// How a question ends: replies ready to send, made from what was found, decided or failed.

/** Seconds an answer of Docker's own resolver may be kept: it says 600, but the name may move at once. */
const BRIDGED_TTL = 5;
/** NS, SOA, DS, DNSKEY: about a zone, not a host. */
const zoneTypes: readonly number[] = [2, 6, 43, 48];

export interface Asked {
  readonly sandbox: Sandbox;
  readonly question: Question;
  /** The query, a copy that lives as long as the question is under way. */
  readonly message: Buffer;
  readonly transport: "udp" | "tcp";
  /** Largest reply the client takes, bytes. */
  readonly limit: number;
}

/** A reply ready to send, and where it came from. */
export interface Resolved {
  readonly reply: Buffer;
  readonly source: Source;
  /** Negative: the name, or anything of this type, is not there. */
  readonly found: boolean;
  /** The table's answer, when it came from there and is good until the table changes. */
  readonly local?: LocalAnswer;
  /** The reply in each order its addresses may be given out in, itself first. */
  readonly variants?: readonly Buffer[];
  /** Milliseconds this very reply may be given out again; undefined for not at all. */
  readonly lasts?: number;
}

/** The reply to a name of the table. @param rotation which of its addresses comes first */
export function localReply(asked: Asked, local: LocalAnswer, rotation: number): Buffer {
  const rcode = local.exists ? RCODE.NOERROR : RCODE.NXDOMAIN;
  return reply(asked, { rcode, records: local.records, additional: local.additional }, rotation);
}

export function reply({ message, question, limit }: Asked, content: ReplyContent, rotation = 0): Buffer {
  return buildReply(message, question, content, limit, rotation);
}

/** Whether it may be a host's single label. Questions about a top-level domain itself are not meant. */
export function isSingleLabel(question: Question): boolean {
  const { key, type } = question;
  return isInternet(question) && key.length > 0 && key.length === 1 + key.charCodeAt(0) && !zoneTypes.includes(type);
}

export function isSingleLabelAddress(question: Question): boolean {
  return (question.type === TYPE.A || question.type === TYPE.AAAA) && isSingleLabel(question);
}

/** Whether the client's suffixes are tried before anything else. */
export function isSearched({ question, sandbox }: Asked): boolean {
  return isSingleLabelAddress(question) && sandbox.record.search.length > 0;
}

/** The part of a client's question that upstreams get: cookies, padding and the like are between the client and us. */
export function forwardedQuestion({ question, transport }: Asked): ForwardedQuestion {
  const { key, type, flags, edns } = question;
  return {
    key,
    type,
    class: isInternet(question) ? CLASS.IN : question.class,
    flags: flags & PASSED_ON,
    dnssecOk: edns?.dnssecOk ?? false,
    clientSubnet: edns?.clientSubnet ?? "",
    clientSize: udpLimit(edns),
    overTcp: transport === "tcp",
  };
}

export function policy(asked: Asked, { rcode, reason }: { rcode: ReplyContent["rcode"]; reason: string }): Resolved {
  asked.sandbox.counters.refused++;
  const error = rcode === RCODE.SERVFAIL ? policyError(reason) : undefined;
  return {
    reply: reply(asked, { rcode, records: [], additional: [], error }),
    source: { kind: "policy", reason },
    found: false,
  };
}

export function singleLabelPolicy(asked: Asked): Resolved {
  const denied = asked.sandbox.record.singleLabels === "deny";
  const reason = denied
    ? "single labels are answered here only (dns.single-label)"
    : "ndots is set, so single labels are not forwarded";
  return policy(asked, { rcode: denied ? RCODE.NXDOMAIN : RCODE.NOERROR, reason });
}

/** Why a question for a service that the table does not have fails while the table may be behind Docker. */
export const UNKNOWN_SERVICE = "whether this service is there is not known at present";

export function failure(asked: Asked, why: Why, reason: string): Resolved {
  asked.sandbox.counters.failed++;
  return {
    reply: reply(asked, {
      rcode: why === "refused" ? RCODE.REFUSED : RCODE.SERVFAIL,
      records: [],
      additional: [],
      error: failureError(why, reason),
    }),
    source: { kind: "failure", reason },
    found: false,
  };
}

export function rendered(asked: Asked, answer: ForwardedAnswer): Resolved {
  if (answer.kind === "failed") return failure(asked, answer.why, answer.reason);
  const { stored, age, stale, source } = answer;
  const rendering = stale ? { age, ttl: () => STALE_TTL, error: staleError } : { age };
  return {
    reply: renderReply(asked.message, asked.question, stored, asked.limit, rendering),
    source,
    found: stored.hasAnswers,
  };
}

export function dockerResolver(asked: Asked, dockers: Buffer): Resolved | undefined {
  const { end } = asked.question;
  const stored =
    isTruncated(dockers) && dockers.length >= end ? storeTruncated(dockers, end) : storeReply(dockers, end);
  if (!stored) return undefined;
  const rendering = { age: 0, ttl: (left: number) => Math.min(left, BRIDGED_TTL) };
  return {
    reply: renderReply(asked.message, asked.question, stored, asked.limit, rendering),
    source: { kind: "docker" },
    found: stored.rcode === RCODE.NOERROR && stored.hasAnswers,
  };
}

export function foundUnderSuffix(asked: Asked, { records, answer }: Found): Resolved {
  return { reply: reply(asked, { rcode: RCODE.NOERROR, records, additional: [] }), source: answer.source, found: true };
}

/**
 * No suffix has an address. If one could not be asked, it cannot be said that there is no such name; where the name exists
 * under one, the answer for the label itself would be about another name.
 */
export function notUnderSuffix(asked: Asked, { failed, exists }: Searched, plain: Resolved): Resolved {
  return failed && (exists || !plain.found) ? failure(asked, failed.why, failed.reason) : plain;
}

/**
 * A reply from the cache: its addresses are given out in turn, as those of containers are.
 * @param lasts milliseconds it may be given out as it is
 */
export function rotatedCached(asked: Asked, resolved: Resolved, lasts: number): Resolved {
  const all = rotations(resolved.reply, asked.question.end);
  const first = asked.sandbox.counters.cached++ % all.length;
  const variants = [...all.slice(first), ...all.slice(0, first)];
  return { ...resolved, reply: variants[0]!, variants, lasts };
}

/** Milliseconds since a time of {@link monotonicNow}. */
export function since(start: number): number {
  return Math.round((monotonicNow() - start) * 1000) / 1000;
}
