import { fileURLToPath } from "node:url";
import { readHeld, readToDaemon } from "../../proxy/messages.js";
import { PROTOCOL, type HeldPublication as HeldRecord, type ToDaemon, type ToProxy } from "../../proxy/protocol.js";
import type { Held, ServerKind } from "../supervisor/session.js";
import type { ServerFiles } from "../supervisor/process.js";

export interface ProxyLanguage {
  readonly toServer: ToProxy;
  readonly toDaemon: ToDaemon;
  readonly held: HeldRecord;
}

/** A publication a server holds for an earlier daemon. Descriptor: its socket. */
export type HeldPublication = Held<ProxyLanguage>;

export const proxyServer: ServerKind<ProxyLanguage> = {
  name: "pontoon-proxy",
  module: fileURLToPath(new URL("../../proxy/main.js", import.meta.url)),
  nodeFlags: ["--max-semi-space-size=4"],
  user: 28783,
  protocol: PROTOCOL,
  signOfLife: { kind: "ping", request: 0 },
  readMessage: readToDaemon,
  readHeld,
  keyOfHeld: ({ publication }) => publication.id,
  descriptorsHeld: 1,
  heldAtMost: 200_000,
  endTime: 30_000, // connections are let drain
  drainTime: undefined, // as long as its connections last
  hasNoSubstitute: true,
  withoutIt: "published ports wait for a pontoon-proxy",
};

export function proxyFiles(runDir: string): ServerFiles {
  return {
    socketPath: `${runDir}/proxy-control.sock`,
    publicPath: `${runDir}/proxy.sock`,
    logPath: `${runDir}/proxy.log`,
    pidPath: `${runDir}/proxy.pid`,
  };
}
