// Has a pontoon-proxy run as the daemon does, starts the bulk workers it wants, and says which processes there are.
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { pino } from "pino";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { until } from "../../integration/lab/until.js";
import { NodePoller } from "../../linux/node-poller.js";
import { goAhead, raiseDescriptorLimit } from "../../linux/privileges.js";
import { ProxyClient } from "../../src/ports/proxy-client.js";
import { version } from "../../src/version.js";

export interface PontoonRequest {
  readonly runDir: string;
}

export interface PontoonReply {
  /** Process id of pontoon-proxy, and those of the bulk workers that run. */
  readonly proxy: number;
  readonly workers: readonly number[];
}

/** The daemon's, which its servers inherit. */
const niceness = -5;

let client: ProxyClient | undefined;

answerRequests(async ({ runDir }: PontoonRequest): Promise<PontoonReply> => {
  const { server } = (client ??= start(runDir));
  const proxy = server.kind === "running" ? server.pid : await pidOf(client);
  return { proxy, workers: childrenOf(process.pid).filter((pid) => pid !== proxy) };
});

function start(runDir: string): ProxyClient {
  mkdirSync(runDir, { recursive: true });
  goAhead(niceness);
  raiseDescriptorLimit();
  const poller = new NodePoller();
  const events = { onBegin: () => undefined, onFailed: () => undefined };
  const options = { runDir, version, settings: { drainMs: 0 } };
  const started = new ProxyClient(poller.poller, options, pino({ level: "warn" }, pino.destination(2)), events);
  poller.start();
  started.start();
  return started;
}

async function pidOf(client: ProxyClient): Promise<number> {
  await until(() => client.server.kind === "running", { timeoutMs: 20_000, what: "pontoon-proxy runs" });
  return client.server.kind === "running" ? client.server.pid : 0;
}

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
