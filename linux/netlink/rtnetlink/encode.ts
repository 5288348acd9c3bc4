import { AttrStream, type StreamData } from "netlink/dist/structs.js";

/** A struct and attributes behind one another, as the encoders of `netlink` give them. */
export function bytesOf(...parts: readonly StreamData[]): Buffer {
  const stream = new AttrStream();
  for (const part of parts) stream.emit(part);
  return Buffer.concat(stream.bufs);
}

/** One attribute. The kernel takes nested ones without `NLA_F_NESTED` where it does not check strictly. */
export function attribute(type: number, value: Buffer): StreamData {
  return (stream: AttrStream) => stream.push(type, value);
}
