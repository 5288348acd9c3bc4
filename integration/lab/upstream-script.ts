import { decode, encode, type Answer, type DecodedPacket, type Question } from "dns-packet";
import { optRecord, rcodeNumber, readEdns, type DnsFlags, type DnsRecord, type Edns } from "./dns-message.js";

/**
 * How a reply is forged. All but "garbage" claim {@link forgedAddress} as an A answer,
 * so that a test sees whether it was believed.
 */
export type Forgery =
  "wrong-id" | "wrong-question" | "wrong-source" | "wrong-case" | "not-a-response" | "cut-short" | "garbage";

/** The address forged answers claim. */
export const forgedAddress = "192.0.2.66";

/** All an upstream does, as plain data. Names are in lower case. */
export interface UpstreamScript {
  records: DnsRecord[];
  rcodes: Record<string, string>;
  silent: boolean;
  silentNames: string[];
  delayMs: number;
  truncatedNames: string[];
  forgeries: Record<string, { forgery: Forgery; thenTruth: boolean }>;
  /** The A record of every name that has none of its own. */
  hijack: string | undefined;
  /** What becomes of queries with EDNS: a bare header with an error, or nothing at all. */
  withEdns: "answered" | "dropped" | "refused";
}

/** The script of an upstream nobody has told anything: every name is unknown. */
export function emptyScript(): UpstreamScript {
  return {
    records: [],
    rcodes: {},
    silent: false,
    silentNames: [],
    delayMs: 0,
    truncatedNames: [],
    forgeries: {},
    hijack: undefined,
    withEdns: "answered",
  };
}

/** A query an upstream received. */
export interface SeenQuery {
  id: number;
  /** In the letter case it came in. */
  name: string;
  type: string;
  transport: "udp" | "tcp";
  from: string;
  fromPort: number;
  /** When, in milliseconds of `Date.now()`. */
  at: number;
  flags: DnsFlags;
  edns: Edns | undefined;
}

/** A message to send back, from the address asked or from another port. */
export interface Reply {
  bytes: Buffer;
  fromElsewhere: boolean;
}

/** What the script says to send in answer to a query. */
export function replies(script: UpstreamScript, query: Buffer, transport: "udp" | "tcp"): Reply[] {
  const packet = decode(query);
  const question = packet.questions?.[0];
  if (question === undefined) return [];
  const name = question.name.toLowerCase();
  if (script.silent || script.silentNames.includes(name)) return [];
  if (script.withEdns !== "answered" && readEdns(packet.additionals))
    return script.withEdns === "dropped" ? [] : [{ bytes: bareError(query), fromElsewhere: false }];
  const truth = { bytes: truthful(script, packet, question, transport), fromElsewhere: false };
  const forged = script.forgeries[name];
  if (forged === undefined) return [truth];
  const lie = forge(forged.forgery, packet, question);
  return forged.thenTruth ? [lie, truth] : [lie];
}

function truthful(script: UpstreamScript, query: DecodedPacket, question: Question, transport: "udp" | "tcp"): Buffer {
  const whole = respond(query, question, findAnswers(script, question));
  if (transport === "tcp") return whole;
  const limit = readEdns(query.additionals)?.udpPayloadSize ?? 512;
  if (whole.length <= limit && !script.truncatedNames.includes(question.name.toLowerCase())) return whole;
  return respond(query, question, { rcode: "NOERROR", answers: [] }, 0x200);
}

interface Found {
  rcode: string;
  answers: DnsRecord[];
}

function findAnswers(script: UpstreamScript, question: Question): Found {
  const answers = chain(script, question.name.toLowerCase(), question.type);
  const rcode = script.rcodes[question.name.toLowerCase()];
  if (rcode !== undefined) return { rcode, answers };
  if (script.hijack !== undefined && answers.length === 0 && question.type === "A")
    return { rcode: "NOERROR", answers: [{ name: question.name, type: "A", ttl: 60, data: script.hijack }] };
  const known = script.records.some((record) => record.name === question.name.toLowerCase());
  return { rcode: known ? "NOERROR" : "NXDOMAIN", answers };
}

/** The records of a name, through aliases; aliases in a circle end where it closes. */
function chain(script: UpstreamScript, name: string, type: string, passed: string[] = []): DnsRecord[] {
  if (passed.includes(name)) return [];
  const own = script.records.filter((record) => record.name === name);
  const wanted = own.filter((record) => record.type === type);
  const alias = own.find((record) => record.type === "CNAME");
  if (wanted.length > 0 || alias === undefined) return wanted;
  return [alias, ...chain(script, String(alias.data).toLowerCase(), type, [...passed, name])];
}

function respond(query: DecodedPacket, question: Question, { rcode, answers }: Found, extraFlags = 0): Buffer {
  const edns = readEdns(query.additionals);
  const recursion = query.flag_rd ? 0x100 : 0;
  return encode({
    type: "response",
    id: query.id,
    flags: recursion | 0x80 | extraFlags | rcodeNumber(rcode),
    questions: [question],
    // An answer's owner is spelled as the question is, as servers do.
    answers: answers.map((record, index) => (index === 0 ? { ...record, name: question.name } : record)) as Answer[],
    authorities: answers.length === 0 && (rcode === "NXDOMAIN" || rcode === "NOERROR") ? [authority] : [],
    additionals: edns === undefined ? [] : [optRecord({ ...edns, udpPayloadSize: 1232 })],
  });
}

/** FORMERR, without even the question: how servers answer that do not read further. */
function bareError(query: Buffer): Buffer {
  const header = Buffer.from(query.subarray(0, 12)).fill(0, 4);
  header.writeUInt16BE(0x8181, 2);
  return header;
}

const authority: Answer = {
  name: "test",
  type: "SOA",
  ttl: 60,
  data: {
    mname: "ns.test",
    rname: "hostmaster.test",
    serial: 1,
    refresh: 3600,
    retry: 600,
    expire: 86_400,
    minimum: 60,
  },
};

function forge(forgery: Forgery, query: DecodedPacket, question: Question): Reply {
  const lie: Found = { rcode: "NOERROR", answers: [{ name: question.name, type: "A", ttl: 60, data: forgedAddress }] };
  const bytes = respond(query, question, lie);
  switch (forgery) {
    case "wrong-source":
      return { bytes, fromElsewhere: true };
    case "wrong-id":
      bytes.writeUInt16BE((query.id! + 1) & 0xffff, 0);
      return { bytes, fromElsewhere: false };
    case "wrong-question":
      return { bytes: respond(query, { ...question, name: `not.${question.name}` }, lie), fromElsewhere: false };
    case "wrong-case":
      return { bytes: respond(query, { ...question, name: swapCase(question.name) }, lie), fromElsewhere: false };
    case "not-a-response":
      bytes[2]! &= 0x7f;
      return { bytes, fromElsewhere: false };
    case "cut-short":
      return { bytes: bytes.subarray(0, bytes.length - 7), fromElsewhere: false };
    case "garbage":
      return { bytes: Buffer.concat([bytes.subarray(0, 12), Buffer.alloc(40, 0xff)]), fromElsewhere: false };
  }
}

function swapCase(name: string): string {
  return name.replaceAll(/[a-z]/gi, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );
}
