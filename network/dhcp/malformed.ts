/** What came is not what it would have to be; the only error of reading a packet. */
export class MalformedPacket extends Error {
  override readonly name = "MalformedPacket";
}
