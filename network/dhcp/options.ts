import { MalformedPacket } from "./malformed.js";

// Options of DHCP: code, length, value, one behind the other (RFC 2132).

export const option = {
  mask: 1,
  router: 3,
  dns: 6,
  hostname: 12,
  domain: 15,
  mtu: 26,
  requestedIp: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  server: 54,
  parameterList: 55,
  message: 56,
  sizeAtMost: 57,
  renewal: 58,
  rebinding: 59,
  clientId: 61,
  search: 119,
  classlessRoutes: 121,
} as const;

const PAD = 0;
const END = 255;
const lengthAtMost = 255;

/** Values by code. */
export type Options = ReadonlyMap<number, Buffer>;

export function writeOptions(options: Options): Buffer {
  const parts = [...options].flatMap(([code, value]) => {
    if (value.length > lengthAtMost) throw new RangeError(`option ${code} is too long: ${value.length} bytes`);
    return [Buffer.of(code, value.length), value];
  });
  return Buffer.concat([...parts, Buffer.of(END)]);
}

/**
 * Also what is continued in the fields `file` and `sname` (RFC 2131 section 4.1, option overload), and what comes in several parts
 * (RFC 3396). Throws {@link MalformedPacket} for an option that is longer than what it stands in.
 */
export function readOptions(bytes: Buffer, file: Buffer, sname: Buffer): Options {
  const found = new Map<number, Buffer[]>();
  readInto(found, bytes);
  const overload = found.get(option.overload)?.[0]?.[0] ?? 0;
  if (overload & 1) readInto(found, file);
  if (overload & 2) readInto(found, sname);
  return new Map([...found].map(([code, parts]) => [code, parts.length === 1 ? parts[0]! : Buffer.concat(parts)]));
}

function readInto(found: Map<number, Buffer[]>, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) {
    const code = bytes[at]!;
    if (code === END) return;
    if (code === PAD) {
      at++;
      continue;
    }
    const length = bytes[at + 1];
    const end = at + 2 + (length ?? 0);
    if (length === undefined || end > bytes.length) throw new MalformedPacket(`option ${code} is cut off`);
    const parts = found.get(code);
    if (parts) parts.push(bytes.subarray(at + 2, end));
    else found.set(code, [bytes.subarray(at + 2, end)]);
    at = end;
  }
}
