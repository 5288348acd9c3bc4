/** Neither loopback, nor multicast, nor "this network" (RFC 6890). */
export function isUnicast(ip: string): boolean {
  const first = Number(ip.split(".")[0]);
  return first > 0 && first !== 127 && first < 224;
}
