import type { DockerHost } from "../../integration/lab/index.js";
import type { Peer } from "../peers/peer.js";

/** Client sockets, and questions under way at once over all of them. */
const clients = 8;
const outstanding = 100;

/** What dnsperf saw. */
export interface Load {
  readonly queriesPerSecond: number;
  readonly sent: number;
  readonly completed: number;
  readonly lost: number;
  /** Answers by response code. */
  readonly rcodes: Readonly<Record<string, number>>;
  /** Seconds. */
  readonly ranFor: number;
  /** Milliseconds. */
  readonly latency: { readonly average: number; readonly deviation: number; readonly max: number };
}

/** Asks a peer, from inside its client's network namespace, as fast as it answers. */
export async function runDnsperf(host: DockerHost, peer: Peer, queryFile: string, seconds: number): Promise<Load> {
  const { stdout } = await host.exec(dnsperfCommand(peer.target, queryFile, seconds), {
    netns: peer.client,
    timeoutMs: seconds * 1000 + 15_000,
  });
  return parseDnsperf(stdout);
}

/** The command line that asks for so long. */
export function dnsperfCommand({ address, port }: Peer["target"], queryFile: string, seconds: number): string[] {
  const where = ["-s", address, "-p", String(port), "-d", queryFile];
  return ["dnsperf", ...where, "-l", String(seconds), "-c", String(clients), "-q", String(outstanding), "-T", "1"];
}

/** Reads the statistics dnsperf prints at its end. */
export function parseDnsperf(output: string): Load {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(output)?.[1];
    if (found === undefined) throw new Error(`dnsperf printed no ${pattern.source}:\n${output}`);
    return Number(found);
  };
  const milliseconds = (pattern: RegExp) => number(pattern) * 1000;
  return {
    queriesPerSecond: number(/Queries per second:\s+([\d.]+)/),
    sent: number(/Queries sent:\s+(\d+)/),
    completed: number(/Queries completed:\s+(\d+)/),
    lost: number(/Queries lost:\s+(\d+)/),
    rcodes: parseRcodes(output),
    ranFor: number(/Run time \(s\):\s+([\d.]+)/),
    latency: {
      average: milliseconds(/Average Latency \(s\):\s+([\d.]+)/),
      deviation: milliseconds(/Latency StdDev \(s\):\s+([\d.]+)/),
      max: milliseconds(/Average Latency \(s\):.*max ([\d.]+)\)/),
    },
  };
}

function parseRcodes(output: string): Record<string, number> {
  const line = /Response codes:\s+(.*)/.exec(output)?.[1] ?? "";
  return Object.fromEntries(
    [...line.matchAll(/([A-Z0-9]+) (\d+)/g)].map(([, rcode, count]) => [rcode!, Number(count)]),
  );
}
