import { encodeIPv4, encodeIPv6 } from "../../common/address.js";
import { keyOfText, type NameKey } from "../wire/name.js";
import type { LocalAnswer } from "./lookup.js";
import { TYPE } from "../wire/query.js";

const localhost = keyOfText("localhost")!;
const ttl = 600;
const addresses: Partial<Record<number, Buffer>> = {
  [TYPE.A]: encodeIPv4("127.0.0.1"),
  [TYPE.AAAA]: encodeIPv6("::1"),
};

/** `localhost` and every name under it is the loopback address, and nobody else is asked (RFC 6761 section 6.3). */
export function localhostAnswer(key: NameKey, type: number): LocalAnswer | undefined {
  if (!key.endsWith(localhost) || !isWithin(key)) return undefined;
  const data = addresses[type];
  const records = data ? [{ owner: undefined, type, ttl, data }] : [];
  return {
    exists: true,
    records,
    additional: [],
    source: { kind: "local", network: "loopback", names: ["localhost"] },
  };
}

/** Whether the name ends in that label, and not in a longer one with the same end. */
function isWithin(key: NameKey): boolean {
  for (let at = 0; at < key.length; at += 1 + key.charCodeAt(at)) if (key.length - at === localhost.length) return true;
  return false;
}
