/** Of `02:42:0a:59:00:02`. */
export function bytesOfMac(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}

/** `02:42:0a:59:00:02`. */
export function macOf(bytes: Buffer): string {
  return bytes.toString("hex").match(/../g)?.join(":") ?? "";
}
