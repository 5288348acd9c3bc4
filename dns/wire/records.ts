import dnsPacket from "dns-packet";
import { TYPE } from "./query.js";

/** A resource record of an answer. `owner` undefined: the question's own name, as the client spelled it. */
export interface AnswerRecord {
  readonly owner: string | undefined;
  readonly type: number;
  /** Seconds. */
  readonly ttl: number;
  readonly data: Buffer;
}

/** Whose addresses an answer tells, as bytes of records. */
export interface AddressOwner {
  readonly record: { readonly ttl: number };
  readonly ipv4: Buffer | undefined;
  readonly ipv6: Buffer | undefined;
}

export function addressRecord(
  { record, ipv4, ipv6 }: AddressOwner,
  type: typeof TYPE.A | typeof TYPE.AAAA,
  owner?: string,
): AnswerRecord | undefined {
  const data = type === TYPE.A ? ipv4 : ipv6;
  return data && { owner, type, ttl: record.ttl, data };
}

export function pointerRecord(target: string, ttl: number): AnswerRecord {
  return { owner: undefined, type: TYPE.PTR, ttl, data: encodeData(dnsPacket.record("PTR"), target) };
}

export function serviceRecord(target: string, port: number, ttl: number): AnswerRecord {
  const data = encodeData(dnsPacket.record("SRV"), { priority: 0, weight: 0, port, target });
  return { owner: undefined, type: TYPE.SRV, ttl, data };
}

/** The answer to ANY: a single HINFO record in place of all others (RFC 8482 section 4.2). */
export function anyRecord(ttl: number): AnswerRecord {
  return {
    owner: undefined,
    type: TYPE.HINFO,
    ttl,
    data: encodeData(dnsPacket.record("HINFO"), { cpu: "RFC8482", os: "" }),
  };
}

/** A name, uncompressed, as it stands in a record. */
export function encodeName(name: string): Buffer {
  return dnsPacket.name.encode(name);
}

/** dns-packet puts the length of the data in front of it. */
function encodeData<Data>(codec: { encode: (data: Data) => Buffer }, data: Data): Buffer {
  return codec.encode(data).subarray(2);
}
