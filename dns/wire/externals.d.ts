// What the published type declarations leave out.
import type {} from "dns-packet";

declare global {
  interface Buffer {
    /** Node's own fast path behind `toString("latin1")`; offsets are not checked against the buffer's end. */
    latin1Slice(start: number, end: number): string;
  }
}

declare module "dns-packet" {
  interface NameCodec {
    encode(name: string): Buffer;
  }
  interface SrvData {
    priority: number;
    weight: number;
    port: number;
    target: string;
  }
  interface HinfoData {
    cpu: string;
    os: string;
  }
  /** Codec of a record's data; encoded with its length in front. */
  interface DataCodec<Data> {
    encode(data: Data): Buffer;
  }
  const name: NameCodec;
  function record(type: "PTR"): DataCodec<string>;
  function record(type: "SRV"): DataCodec<SrvData>;
  function record(type: "HINFO"): DataCodec<HinfoData>;
}
