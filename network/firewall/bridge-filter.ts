import { readFileSync } from "node:fs";

/** Whether IP's rules are asked about what is bridged in the calling thread's network namespace; Docker switches that on for the host's. */
export function bridgesAreFiltered(): boolean {
  return ["iptables", "ip6tables"].some((rules) => {
    try {
      return readFileSync(`/proc/sys/net/bridge/bridge-nf-call-${rules}`, "latin1").trim() !== "0";
    } catch {
      return false; // br_netfilter is not loaded
    }
  });
}
