import { encodeIPv4 } from "../../../common/address.js";
import { macBytes } from "../../../linux/link-socket.js";
import { messageTypes } from "../message.js";
import { option, writeOptions } from "../options.js";

export const testMac = "02:00:00:00:00:09";

/** What a server sends. */
export interface ReplyFields {
  readonly ip?: string;
  readonly mask?: string;
  readonly seconds?: number;
  readonly server?: string;
  readonly xid?: number;
  readonly mac?: string;
  readonly options?: readonly (readonly [number, Buffer])[];
}

/** A message of a server's, as it should be unless it is said otherwise. */
export function replyOf(type: "offer" | "ack" | "nak" | "discover", fields: ReplyFields = {}): Buffer {
  const {
    ip = "0.0.0.0",
    mask = "255.255.255.0",
    seconds = 3600,
    server = "10.0.0.1",
    xid = 0,
    mac = testMac,
  } = fields;
  const header = Buffer.alloc(240);
  header.writeUInt8(2, 0);
  header.writeUInt8(1, 1);
  header.writeUInt8(6, 2);
  header.writeUInt32BE(xid, 4);
  encodeIPv4(ip).copy(header, 16);
  macBytes(mac).copy(header, 28);
  header.writeUInt32BE(0x63825363, 236);
  const time = Buffer.alloc(4);
  time.writeUInt32BE(seconds);
  const options = new Map([
    [option.messageType, Buffer.of(messageTypes[type])],
    [option.server, encodeIPv4(server)],
    ...(type === "nak"
      ? []
      : ([
          [option.leaseTime, time],
          [option.mask, encodeIPv4(mask)],
          [option.router, encodeIPv4(server)],
        ] as const)),
    ...(fields.options ?? []),
  ] as [number, Buffer][]);
  return Buffer.concat([header, writeOptions(options)]);
}
