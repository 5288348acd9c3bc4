import { fileURLToPath } from "node:url";
import { readHeld, readToDaemon } from "../../dns/messages.js";
import { PROTOCOL, type HeldSandbox as HeldRecord, type ToDaemon, type ToServer } from "../../dns/protocol.js";
import type { Held, ServerKind } from "../supervisor/session.js";
import type { ServerFiles } from "../supervisor/process.js";

export interface DnsLanguage {
  readonly toServer: ToServer;
  readonly toDaemon: ToDaemon;
  readonly held: HeldRecord;
}

/** A sandbox a server holds for an earlier daemon. Descriptors: pidfd, UDP, TCP. */
export type HeldSandbox = Held<DnsLanguage>;

export const dnsServer: ServerKind<DnsLanguage> = {
  name: "pontoon-dns",
  module: fileURLToPath(new URL("../../dns/main.js", import.meta.url)),
  // A small young generation, in MB each half: a flood of questions to forward would make it grow to 48 MB otherwise.
  nodeFlags: ["--max-semi-space-size=4"],
  user: 28782,
  protocol: PROTOCOL,
  signOfLife: { kind: "report", request: 0 },
  readMessage: readToDaemon,
  readHeld,
  keyOfHeld: ({ sandbox }) => sandbox,
  descriptorsHeld: 3,
  heldAtMost: 20_000,
  endTime: 2000,
  drainTime: 15_000, // it takes up to 10 s itself
  hasNoSubstitute: false,
  withoutIt: "every container is answered by Docker's own resolver",
};

export function dnsFiles(runDir: string): ServerFiles {
  return { socketPath: `${runDir}/dns.sock`, logPath: `${runDir}/dns.log`, pidPath: `${runDir}/dns.pid` };
}
