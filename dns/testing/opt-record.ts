import type { Answer } from "dns-packet";

interface OptContent {
  readonly udpPayloadSize?: number;
  readonly dnssecOk?: boolean;
  /** As dns-packet takes them, which knows more than its types do. */
  readonly options?: readonly object[];
}

/** An OPT record (RFC 6891 section 6.1) for dns-packet. */
export function optRecord({ udpPayloadSize = 1232, dnssecOk = false, options = [] }: OptContent = {}): Answer {
  const record = {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: dnssecOk ? 0x8000 : 0,
    flag_do: dnssecOk,
    options,
  };
  return record as Answer;
}
