import { checkAnswers } from "./check-answers.js";
import { cpuSeconds } from "./cpu.js";
import { runDnsperf, type Load } from "./dnsperf.js";
import type { Peer } from "./peers/peer.js";
import type { Progress } from "./progress.js";
import { takeTurns, type Rounds } from "./rounds.js";
import type { Site } from "./site.js";

/** One turn of one peer. */
export interface Turn extends Load {
  /** Microseconds of the serving processes' CPU time for each answer. */
  readonly cpuPerQuery: number;
  /** How many answers were not NOERROR. */
  readonly errors: number;
}

/** How long and how often is measured. */
export interface LocalNamesOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** Asks each peer for local names as fast as it answers, in turn. */
export async function measureLocalNames(site: Site, peers: readonly Peer[], options: LocalNamesOptions, progress: Progress): Promise<Rounds<Turn>> {
  for (const peer of peers) {
    progress.show(`local names: ${peer.name} warms up`);
    await checkAnswers(site, peer);
    await runDnsperf(site.host, peer, site.queryFile, options.warmUpSeconds);
  }
  for (const { asker } of peers) await asker.releaseProbe();
  return takeTurns(peers, (peer) => measureTurn(site, peer, options.seconds), {
    rounds: options.rounds,
    onTurn: (name, round) => progress.show(`local names: round ${round + 1} of ${options.rounds}, ${name}`),
  });
}

async function measureTurn({ host, queryFile }: Site, peer: Peer, seconds: number): Promise<Turn> {
  const before = cpuSeconds(host, peer.processes);
  const load = await runDnsperf(host, peer, queryFile, seconds);
  const used = cpuSeconds(host, peer.processes) - before;
  return { ...load, cpuPerQuery: (used * 1e6) / load.completed, errors: load.completed - (load.rcodes["NOERROR"] ?? 0) };
}
