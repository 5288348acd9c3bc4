import { clientAddress, iperfIsFree } from "./site.js";
import type { World } from "./world.js";

export interface IperfLoad {
  /** Bytes that arrived. */
  readonly bytes: number;
  readonly gigabitsPerSecond: number;
  /** Gbit/s in each second. */
  readonly seconds: readonly number[];
}

export interface IperfOptions {
  readonly seconds: number;
  readonly streams: number;
  /** The target sends, not the client. */
  readonly fromTarget: boolean;
}

/** Sends as much as goes through a published port of iperf3. */
export async function runIperf(
  world: World,
  port: number,
  { seconds, streams, fromTarget }: IperfOptions,
): Promise<IperfLoad> {
  const argv = [
    "iperf3",
    "--client",
    clientAddress,
    "--port",
    String(port),
    "--time",
    String(seconds),
    "--parallel",
    String(streams),
    "--json",
  ];
  await iperfIsFree(world);
  const { stdout } = await world.run([...argv, ...(fromTarget ? ["--reverse"] : [])], {
    timeoutMs: seconds * 1000 + 30_000,
    reject: false,
  });
  return parseIperf(stdout);
}

interface Report {
  readonly error?: string;
  readonly intervals: readonly { readonly sum: { readonly bits_per_second: number } }[];
  readonly end: { readonly sum_received?: { readonly bytes: number; readonly bits_per_second: number } };
}

/** Reads what iperf3 reports. */
export function parseIperf(output: string): IperfLoad {
  let report: Report;
  try {
    report = JSON.parse(output) as Report;
  } catch (error) {
    throw new Error(`iperf3 printed no report:\n${output}`, { cause: error });
  }
  const received = report.end.sum_received;
  if (report.error !== undefined || !received) throw new Error(`iperf3: ${report.error ?? "nothing was received"}`);
  return {
    bytes: received.bytes,
    gigabitsPerSecond: received.bits_per_second / 1e9,
    seconds: report.intervals.map(({ sum }) => sum.bits_per_second / 1e9),
  };
}
