import { formatAddress } from "../../common/address.js";

/** What errors of a connection to a container mean. */
const meanings: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing there takes connections at that port, or only on the container's own 127.0.0.1",
  EHOSTUNREACH: "nobody answers for that address on its network",
  ENETUNREACH: "the host has no route to that network",
  ETIMEDOUT: "it does not answer; a firewall of the container or the host may drop what is sent there",
  EACCES: "a firewall of the host forbids it",
  EPERM: "a firewall of the host forbids it",
  EADDRNOTAVAIL: "the host has no port left to connect from",
};

/** Why connections to a container fail, for people. @param reason name of an errno */
export function dialFailureText(
  reason: string,
  target: { readonly ip: string; readonly port: number } | undefined,
): string {
  const where = target === undefined ? "" : ` to ${formatAddress(target)}`;
  const meaning = Object.hasOwn(meanings, reason) ? `: ${meanings[reason]}` : "";
  return `the last connection that failed${where} ended with ${reason}${meaning}`;
}
