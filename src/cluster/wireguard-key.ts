import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { z } from "zod";
import { canonicalAddress } from "../../common/address.js";

// Keys of WireGuard's (Curve25519, RFC 7748): 32 bytes as base64.

const keyLength = 32;

/** As WireGuard tells it again: with the bits that do not count set as RFC 7748 has them (section 5). */
export function newPrivateKey(): string {
  const raw = Buffer.from(generateKeyPairSync("x25519").privateKey.export({ format: "jwk" }).d ?? "", "base64url");
  raw[0]! &= 0xf8;
  raw[31] = (raw[31]! & 0x7f) | 0x40;
  return raw.toString("base64");
}

/** PKCS #8 of a Curve25519 key (RFC 8410), without the 32 bytes of the key itself. */
const privatePrefix = Buffer.from("302e020100300506032b656e04220420", "hex");

export function publicKeyOf(privateKey: string): string {
  const der = Buffer.concat([privatePrefix, Buffer.from(privateKey, "base64")]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  return rawOf(key.export({ format: "jwk" }).x);
}

function rawOf(base64url: string | undefined): string {
  return Buffer.from(base64url ?? "", "base64url").toString("base64");
}

/** Whether it is 32 bytes in base64, written as everybody writes them. */
export function isKey(text: string): boolean {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === keyLength && bytes.toString("base64") === text;
}

/** What a host's record says of it. */
export const hostWireguard = z.object({
  publicKey: z.string().refine(isKey),
  port: z.number().int().min(1).max(65_535),
});

/**
 * A host's address in the tunnel: link-local, and made of its key, so that nobody else's key has it.
 * @param publicKey as {@link isKey} has it
 */
export function tunnelAddress(publicKey: string): string {
  const hash = createHash("sha256").update(Buffer.from(publicKey, "base64")).digest("hex");
  const groups = [0, 4, 8, 12].map((at) => hash.slice(at, at + 4));
  return canonicalAddress(`fe80::${groups.join(":")}`)!;
}
