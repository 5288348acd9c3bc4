import type { CommandOptions, CommandResult } from "../../integration/lab/index.js";
import { until } from "../../integration/lab/until.js";
import { parseIperf } from "../proxy/iperf.js";
import { parseWrk } from "../proxy/wrk.js";

/** Runs a program somewhere. */
export type Run = (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;

/** Where iperf3 serves, and how a client comes to it. */
export interface Bulk {
  readonly client: Run;
  readonly server: Run;
  /** At the server. */
  readonly serverPort: number;
  /** As the client sees it. */
  readonly address: string;
  readonly port: number;
}

/** One TCP stream as fast as it goes. @returns Gbit/s */
export async function bulkLoad(bulk: Bulk, seconds: number): Promise<number> {
  const { client, address, port } = bulk;
  await iperfIsFree(bulk);
  const argv = ["iperf3", "--client", address, "--port", String(port), "--time", String(seconds), "--json"];
  const { stdout } = await client(argv, { timeoutMs: seconds * 1000 + 30_000, reject: false });
  return parseIperf(stdout).gigabitsPerSecond;
}

/** Requests of HTTP, 32 at a time. @returns how many a second */
export async function httpLoad(client: Run, url: string, seconds: number): Promise<number> {
  const argv = ["wrk", "--threads", "1", "--connections", "32", "--duration", `${seconds}s`, "--latency", url];
  const load = parseWrk((await client(argv, { timeoutMs: seconds * 1000 + 15_000 })).stdout);
  if (load.errors > 0) throw new Error(`${load.errors} of ${load.requests} requests to ${url} failed`);
  return load.requestsPerSecond;
}

export function printGigabits(rate: number): string {
  return `${rate.toFixed(2)} Gbit/s`;
}

/** After each test iperf3 closes its listener for a moment. */
async function iperfIsFree({ server, serverPort }: Bulk): Promise<void> {
  const isFree = async () => {
    const { stdout } = await server(["ss", "-tan", `sport = :${serverPort}`]);
    return stdout.includes("LISTEN") && !/ESTAB|CLOSE-WAIT/.test(stdout);
  };
  await until(isFree, { timeoutMs: 20_000, what: "iperf3 waits for a client" });
}
