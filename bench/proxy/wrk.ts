import { clientAddress } from "./site.js";
import type { World } from "./world.js";

/** Connections at a time. */
const connections = 32;

/** What wrk reports at its end. */
export interface WrkLoad {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Milliseconds. */
  readonly latency: { readonly p50: number; readonly p99: number };
  /** Connections that failed, requests that were cut off, and answers other than 2xx. */
  readonly errors: number;
}

/** Asks a published HTTP port as fast as it answers. */
export async function runWrk(world: World, port: number, seconds: number): Promise<WrkLoad> {
  const argv = [
    "wrk",
    "--threads",
    "1",
    "--connections",
    String(connections),
    "--duration",
    `${seconds}s`,
    "--latency",
    `http://${clientAddress}:${port}/`,
  ];
  return parseWrk((await world.run(argv, { timeoutMs: seconds * 1000 + 15_000 })).stdout);
}

/** Reads what wrk prints. */
export function parseWrk(output: string): WrkLoad {
  const find = (pattern: RegExp): RegExpExecArray => {
    const found = pattern.exec(output);
    if (!found) throw new Error(`wrk printed no ${pattern.source}:\n${output}`);
    return found;
  };
  const time = (percent: number) => milliseconds(find(new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)$`, "m")));
  const socketErrors =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output)?.slice(1) ?? [];
  const refusals = /Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? "0";
  return {
    requests: Number(find(/(\d+) requests in /)[1]),
    requestsPerSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)[1]),
    latency: { p50: time(50), p99: time(99) },
    errors: [...socketErrors, refusals].reduce((sum, count) => sum + Number(count), 0),
  };
}

function milliseconds([, number, unit]: RegExpExecArray): number {
  return (Number(number) * { us: 1, ms: 1000, s: 1e6, m: 60e6 }[unit as "us" | "ms" | "s" | "m"]) / 1000;
}
