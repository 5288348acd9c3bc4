// Starts pontoon-proxy as the daemon does, says which processes that made, and leaves it to itself.
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { until } from "../../integration/lab/until.js";
import { workersWanted } from "../../proxy/bulk/spawn-workers.js";
import { goAhead, raiseDescriptorLimit } from "../../linux/privileges.js";
import { proxyFiles, proxyServer } from "../../src/ports/program.js";
import { startServer } from "../../src/supervisor/process.js";
import { version } from "../../src/version.js";

export interface PontoonRequest {
  readonly runDir: string;
}

export interface PontoonReply {
  /** Process id of pontoon-proxy, and those of its bulk workers. */
  readonly proxy: number;
  readonly workers: readonly number[];
}

/** The daemon's, which its servers inherit. */
const niceness = -5;

answerRequests(async ({ runDir }: PontoonRequest): Promise<PontoonReply> => {
  mkdirSync(runDir, { recursive: true });
  goAhead(niceness);
  raiseDescriptorLimit();
  const proxy = startServer(proxyServer, proxyFiles(runDir), version).pid!;
  await until(() => childrenOf(proxy).length === workersWanted(), { timeoutMs: 20_000, what: "the bulk workers run" });
  return { proxy, workers: childrenOf(proxy) };
});

function childrenOf(pid: number): readonly number[] {
  const isChild = (name: string) => /^\d+$/.test(name) && parentOf(name) === pid;
  return readdirSync("/proc").filter(isChild).map(Number);
}

function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return 0; // it has ended
  }
}
