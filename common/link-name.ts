/** Whether a network link may have this name, as the kernel has it: 1 to 15 bytes, without spaces, `/` and `:`. */
export function isLinkName(name: string): boolean {
  return /^[^\s/:]+$/.test(name) && Buffer.byteLength(name) <= 15 && name !== "." && name !== "..";
}
