import { decode, encode, type Answer, type RecordType } from "dns-packet";

/** The flags of a DNS message that tests look at. */
export interface DnsFlags {
  aa: boolean;
  tc: boolean;
  rd: boolean;
  ra: boolean;
  ad: boolean;
  cd: boolean;
}

/** One resource record. Text is given as strings; data of types nobody decodes stays a buffer. */
export interface DnsRecord {
  name: string;
  type: string;
  ttl: number;
  data: unknown;
}

/** A DNS response, decoded from its bytes. */
export interface DnsResponse {
  rcode: string;
  flags: DnsFlags;
  /** The question as echoed, letter case included. */
  questionName: string | undefined;
  questionType: string | undefined;
  answers: DnsRecord[];
  authority: DnsRecord[];
  /** Without the OPT record, for which there is `edns`. */
  additional: DnsRecord[];
  edns: Edns | undefined;
  /** What the A and AAAA answers say. */
  addresses: string[];
  elapsedMs: number;
  bytes: Buffer;
}

/** What an OPT record says. */
export interface Edns {
  udpPayloadSize: number;
  dnssecOk: boolean;
}

/** How a query is made; recursion is desired unless `rd` is false, and there is no EDNS unless `edns` is given. */
export interface QueryShape {
  rd?: boolean;
  ad?: boolean;
  cd?: boolean;
  edns?: Partial<Edns>;
}

const rcodes = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
const flagBits = { aa: 0x400, tc: 0x200, rd: 0x100, ra: 0x80, ad: 0x20, cd: 0x10 };

/** The number of a response code's name. */
export function rcodeNumber(name: string): number {
  const number = rcodes.indexOf(name);
  if (number < 0) throw new Error(`no such response code: ${name}`);
  return number;
}

/** The bytes of a query with a random id. */
export function encodeQuery(name: string, type: string, shape: QueryShape = {}): Buffer {
  const { rd = true, ad = false, cd = false, edns } = shape;
  return encode({
    type: "query",
    id: Math.floor(Math.random() * 65_536),
    flags: (rd ? flagBits.rd : 0) | (ad ? flagBits.ad : 0) | (cd ? flagBits.cd : 0),
    questions: [{ name, type: type as RecordType, class: "IN" }],
    additionals: edns === undefined ? [] : [optRecord(edns)],
  });
}

/** An OPT record for dns-packet. */
export function optRecord({ udpPayloadSize = 1232, dnssecOk = false }: Partial<Edns>): Answer {
  const flags = dnssecOk ? 0x8000 : 0;
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags,
    flag_do: dnssecOk,
    options: [],
  };
}

/** The flags in the header of a message. */
export function readFlags(bytes: Buffer): DnsFlags {
  const word = bytes.readUInt16BE(2);
  const has = (bit: number) => (word & bit) !== 0;
  const { aa, tc, rd, ra, ad, cd } = flagBits;
  return { aa: has(aa), tc: has(tc), rd: has(rd), ra: has(ra), ad: has(ad), cd: has(cd) };
}

/** What the message's OPT record says, if it has one. */
export function readEdns(additionals: readonly Answer[] = []): Edns | undefined {
  const opt = additionals.find((record) => record.type === "OPT");
  return opt && { udpPayloadSize: opt.udpPayloadSize, dnssecOk: opt.flag_do };
}

/** Decodes a response; throws on bytes that are none. */
export function decodeResponse(bytes: Buffer, elapsedMs: number): DnsResponse {
  const packet = decode(bytes);
  const answers = records(packet.answers);
  const rcode = bytes.readUInt16BE(2) & 0xf;
  return {
    rcode: rcodes[rcode] ?? `RCODE${rcode}`,
    flags: readFlags(bytes),
    questionName: packet.questions?.[0]?.name,
    questionType: packet.questions?.[0]?.type,
    answers,
    authority: records(packet.authorities),
    additional: records(packet.additionals?.filter((record) => record.type !== "OPT")),
    edns: readEdns(packet.additionals),
    addresses: answers.filter(({ type }) => type === "A" || type === "AAAA").map(({ data }) => data as string),
    elapsedMs,
    bytes,
  };
}

function records(answers: readonly Answer[] = []): DnsRecord[] {
  return answers.flatMap((record) =>
    record.type === "OPT"
      ? []
      : [{ name: record.name, type: record.type, ttl: record.ttl ?? 0, data: readable(record) }],
  );
}

function readable(record: Exclude<Answer, { type: "OPT" }>): unknown {
  if (record.type !== "TXT") return record.data;
  return [record.data].flat().map(String);
}
