import { encodeIPv4, encodeIPv6 } from "../../../common/address.js";
import { DATA_TYPE } from "./numbers.js";

/** How a value is written, and what kind of data it is in sets. */
export interface DataType<Value> {
  /** nft's number for it. */
  readonly type: number;
  /** Bytes. */
  readonly length: number;
  encode(value: Value): Buffer;
}

export const ipv4: DataType<string> = { type: DATA_TYPE.ipv4, length: 4, encode: encodeIPv4 };
export const ipv6: DataType<string> = { type: DATA_TYPE.ipv6, length: 16, encode: encodeIPv6 };
export const service: DataType<number> = { type: DATA_TYPE.service, length: 2, encode: (port) => bigEndian(port, 2) };
export const protocol: DataType<number> = {
  type: DATA_TYPE.protocol,
  length: 1,
  encode: (number) => Buffer.of(number),
};
export const etherType: DataType<number> = {
  type: DATA_TYPE.etherType,
  length: 2,
  encode: (type) => bigEndian(type, 2),
};
export const mark: DataType<number> = { type: DATA_TYPE.mark, length: 4, encode: hostOrder };
/** Up to 15 bytes. In a test a last `*` stands for any ending. */
export const interfaceName: DataType<string> = {
  type: DATA_TYPE.ifname,
  length: 16,
  encode: (name) => {
    if (name.endsWith("*")) return Buffer.from(name.slice(0, -1));
    if (Buffer.byteLength(name) > 15) throw new RangeError(`${name} is too long for the name of an interface`);
    return Buffer.concat([Buffer.from(name), Buffer.alloc(16 - Buffer.byteLength(name))]);
  },
};
/** The number of a VXLAN network (RFC 7348). */
export const vni: DataType<number> = { type: DATA_TYPE.integer, length: 3, encode: (number) => bigEndian(number, 3) };
export const number32: DataType<number> = { type: 0, length: 4, encode: hostOrder };

function bigEndian(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
}

/** Little-endian wherever pontoon runs. */
export function hostOrder(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
