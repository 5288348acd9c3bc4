import { createHash } from "node:crypto";

const TYPE_DUID = 255;
const DUID_UUID = 4;

/**
 * A client identifier as RFC 4361 has it: an IAID, and a DUID that is a UUID (RFC 6355).
 * @param seed what makes the client another one
 */
export function clientIdOf(seed: string): Buffer {
  const hash = createHash("sha256").update(seed).digest();
  return Buffer.concat([Buffer.of(TYPE_DUID), hash.subarray(16, 20), Buffer.of(0, DUID_UUID), hash.subarray(0, 16)]);
}
