// What is no reason not to start, and whoever runs the host should know.
import type { Logger } from "pino";
import { faultOfWriting } from "../common/own-folder.js";

export function warnOfRunDir(log: Logger, runDir: string): void {
  const fault = faultOfWriting(runDir);
  if (fault === undefined) return;
  log.warn(
    { runDir, reason: `it is ${fault.what}` },
    "servers that do not run yet may not start: make room in the run directory",
  );
}

/** Names do not need it, so it is no reason to have none. */
export function warnOfStateDir(log: Logger, stateDir: string): void {
  const fault = faultOfWriting(stateDir);
  if (fault === undefined) return;
  const remedy = "permit writing there or make room, or give another --state-dir";
  log.error(
    { code: "STORE_UNWRITABLE", stateDir, reason: `--state-dir ${stateDir}: it is ${fault.what}; ${remedy}` },
    "what is published cannot be remembered, so nothing more can be published",
  );
}

/** @param pids of servers that an earlier daemon has started and this one leaves alone */
export function warnOfUnsteered(log: Logger, pids: Record<"dns" | "proxy", number | undefined>): void {
  if (pids.dns !== undefined)
    log.warn(
      { pid: pids.dns },
      "a pontoon-dns of an earlier daemon goes on answering, and is left alone; `pontoon status` shows where",
    );
  if (pids.proxy !== undefined)
    log.warn(
      { pid: pids.proxy },
      "a pontoon-proxy of an earlier daemon goes on serving published ports, and is left alone",
    );
}
