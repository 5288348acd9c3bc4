import type { DockerHost } from "../../integration/lab/index.js";
import { checkAnswers } from "./check-answers.js";
import { cpuSeconds } from "../lib/cpu.js";
import { runDnsperf, type Load } from "./dnsperf.js";
import type { Peer } from "../peers/peer.js";
import type { Progress } from "../lib/progress.js";
import type { QuestionSet } from "./questions.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";

/** One turn of one peer. */
export interface Turn extends Load {
  /** Microseconds of the serving processes' CPU time for each answer. */
  readonly cpuPerQuery: number;
  /** How many answers were not NOERROR. */
  readonly errors: number;
}

/** How long and how often is measured. */
export interface RoundsOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** Asks each peer as fast as it answers, in turn. `what` tells a person which names. */
export async function measureThroughput(
  host: DockerHost,
  peers: readonly Peer[],
  what: string,
  set: QuestionSet,
  options: RoundsOptions,
  progress: Progress,
): Promise<Rounds<Turn>> {
  for (const peer of peers) {
    progress.show(`${what}: ${peer.name} warms up`);
    await checkAnswers(peer, set);
    await runDnsperf(host, peer, set.file, options.warmUpSeconds);
  }
  for (const { client } of peers) await client.releaseProbe();
  return takeTurns(peers, (peer) => measureTurn(host, peer, set.file, options.seconds), {
    rounds: options.rounds,
    onTurn: (name, round) => progress.show(`${what}: round ${round + 1} of ${options.rounds}, ${name}`),
  });
}

/** One turn: asks as fast as the peer answers, and reads what that cost its processes. */
export async function measureTurn(host: DockerHost, peer: Peer, queryFile: string, seconds: number): Promise<Turn> {
  const before = cpuSeconds(host, peer.processes);
  const load = await runDnsperf(host, peer, queryFile, seconds);
  const used = cpuSeconds(host, peer.processes) - before;
  return {
    ...load,
    cpuPerQuery: (used * 1e6) / load.completed,
    errors: load.completed - (load.rcodes["NOERROR"] ?? 0),
  };
}
