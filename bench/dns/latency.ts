import { fileURLToPath } from "node:url";
import type { Container, DockerHost } from "../../integration/lab/index.js";
import { checkAnswers } from "./check-answers.js";
import type { PacedLoad, PacedResult } from "./paced-client.js";
import type { Peer } from "../peers/peer.js";
import type { Progress } from "../lib/progress.js";
import type { QuestionSet } from "./questions.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";
import type { RoundsOptions } from "./throughput.js";

const program = fileURLToPath(new URL("paced-child.js", import.meta.url));

/** Queries each second: the rate the goals speak of. */
export const steadyRate = 20_000;

/** Asks each peer at a steady rate, in turn. */
export async function measureLatency(
  host: DockerHost,
  peers: readonly Peer[],
  set: QuestionSet,
  { rounds, seconds }: RoundsOptions,
  progress: Progress,
): Promise<Rounds<PacedResult>> {
  for (const peer of peers) await checkAnswers(peer, set);
  for (const { client } of peers) await client.releaseProbe();
  return takeTurns(peers, ({ client, target }) => askSteadily(host, client, target, set.file, seconds), {
    rounds,
    onTurn: (name, round) => progress.show(`${steadyRate} queries/s: round ${round + 1} of ${rounds}, ${name}`),
  });
}

/** One turn: half a second of warming up, then what counts. */
export async function askSteadily(
  host: DockerHost,
  client: Container,
  { address, port }: Peer["target"],
  queryFile: string,
  seconds: number,
): Promise<PacedResult> {
  const load: PacedLoad & { queryFile: string } = {
    server: { ip: address, port },
    rate: steadyRate,
    seconds,
    warmUpSeconds: 0.5,
    queryFile,
  };
  const { stdout } = await host.exec([process.execPath, program, JSON.stringify(load)], {
    netns: client,
    timeoutMs: seconds * 1000 + 15_000,
  });
  return JSON.parse(stdout) as PacedResult;
}
