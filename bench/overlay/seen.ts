import { readFileSync } from "node:fs";
import { uplinkInterface, type BareHost } from "../../integration/lab/index.js";
import { cpuSeconds } from "../lib/cpu.js";
import { residentMemory } from "../proxy/process.js";
import type { PontoonHost } from "./pontoon.js";

/** What a host has, and has been told. */
export interface Seen {
  /** Bytes, resident: what hosts on one machine share with each other, each would have for itself. */
  readonly daemon: number;
  readonly dns: number;
  /** CPU seconds of the daemon and pontoon-dns since their start. */
  readonly cpu: number;
  /** Since the host has been there, through its uplink in both directions. */
  readonly packets: number;
  readonly bytes: number;
}

/** What a host has, and has been told so far. */
export function see({ host, pontoon }: PontoonHost): Seen {
  const [dns] = pontoon.processes("pontoon-dns");
  return {
    daemon: residentMemory(host, pontoon.pid),
    dns: dns === undefined ? 0 : residentMemory(host, dns),
    cpu: cpuSeconds(host, [pontoon.pid, ...(dns === undefined ? [] : [dns])]),
    packets: counter(host, "rx_packets") + counter(host, "tx_packets"),
    bytes: counter(host, "rx_bytes") + counter(host, "tx_bytes"),
  };
}

function counter(host: BareHost, name: string): number {
  return Number(readFileSync(host.path(`/sys/class/net/${uplinkInterface}/statistics/${name}`), "utf8"));
}
