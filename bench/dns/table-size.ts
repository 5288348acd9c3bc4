import { DockerHost, type Container } from "../../integration/lab/index.js";
import { costOf, printCost, printMs, ratioRow } from "../lib/goals.js";
import { askSteadily, steadyRate } from "./latency.js";
import { together, type Bench, type Outcome } from "../lib/measure.js";
import type { PacedResult } from "./paced-client.js";
import type { Peer } from "../peers/peer.js";
import { questionLines, questionsFor, type Named } from "./questions.js";
import { takeTurns } from "../lib/rounds.js";
import { madeAddresses, type Made } from "./stand-in-inventory.js";
import { StandIn } from "./stand-in.js";
import { latencyTable, peersTable } from "../lib/table.js";
import { measureTurn } from "./throughput.js";
import { resolvConf } from "./upstream.js";

const networks = 500;
const containersOnEach = 20;
/** What the small table is: that many names on one network. */
const few = 10;
const startsPerSecond = 20;
const target = { address: "127.0.0.11", port: 53 };
const costGoal = { kind: "at most", value: 1.1, unit: "×" } as const;
const latencyGoal = { kind: "at most", value: 1.5, unit: "×" } as const;
/** Numbers of the clients among the made-up containers. */
const clientNumbers = { one: 0x100_000, all: 0x100_001, few: 0x100_002 };

/** Somebody who asks, and a pontoon-dns that answers. */
interface Case {
  readonly name: string;
  readonly peer: Peer;
  readonly queryFile: string;
}

/**
 * Two tables: ten names on one network, and 10,000 on 500. With the large one there is a client on one of the networks
 * and one that is on all of them, as a reverse proxy may be, and asks for every name.
 */
export async function measureTableSize(bench: Bench): Promise<Outcome> {
  const { options, progress, undo } = bench;
  const [small, large] = await Promise.all([
    DockerHost.start(undo, { resolvConf }),
    DockerHost.start(undo, { resolvConf }),
  ]);
  progress.show("a table of 10,000 names");
  const one = await client(large, "one");
  const all = await client(large, "all");
  const fewClient = await client(small, "few");
  const everywhere = Array.from({ length: networks }, (_, network) => network);
  const smallServer = await fill(small, 1, [...members(0, few), await made("few", fewClient, [0])]);
  const largeServer = await fill(large, networks, [
    ...everywhere.flatMap((network) => members(network, containersOnEach)),
    await made("one", one, [0]),
    await made("all", all, everywhere),
  ]);
  const cases = {
    few: await caseOf("10 names", small, smallServer.pid, fewClient, members(0, few)),
    one: await caseOf("10,000 names, client on 1 network", large, largeServer.pid, one, members(0, containersOnEach)),
    all: await caseOf(
      "10,000 names, client on 500 networks",
      large,
      largeServer.pid,
      all,
      everywhere.flatMap((network) => members(network, containersOnEach)),
    ),
  };
  const outcomes: Outcome[] = [];
  if (options.only.includes("table"))
    outcomes.push(
      await measureCost(bench, [
        [small, cases.few],
        [large, cases.one],
        [large, cases.all],
      ]),
    );
  if (options.only.includes("churn"))
    outcomes.push(
      await measureChurn(bench, large, largeServer.standIn, [
        [cases.one, one],
        [cases.all, all],
      ]),
    );
  await Promise.all([smallServer.standIn.stop(), largeServer.standIn.stop()]);
  return together(outcomes);
}

async function measureCost(
  { options, progress }: Bench,
  cases: readonly (readonly [DockerHost, Case])[],
): Promise<Outcome> {
  const contenders = cases.map(([host, each]) => ({ ...each, host }));
  for (const { host, peer, queryFile } of contenders) await measureTurn(host, peer, queryFile, options.warmUpSeconds);
  const rounds = await takeTurns(
    contenders,
    ({ host, peer, queryFile }) => measureTurn(host, peer, queryFile, options.seconds),
    {
      rounds: options.rounds,
      onTurn: (name, round) => progress.show(`table: round ${round + 1} of ${options.rounds}, ${name}`),
    },
  );
  const [few, one, all] = contenders.map(({ name }) => name) as [string, string, string];
  return {
    rows: [
      ratioRow(rounds, "10,000 names, 20 of them asked for, CPU per query", few, costGoal, costOf, printCost, one),
      ratioRow(rounds, "10,000 names, all of them asked for, CPU per query", few, costGoal, costOf, printCost, all),
    ],
    tables: [peersTable("SIZE OF THE TABLE", rounds)],
    data: { table: Object.fromEntries(rounds) },
  };
}

/** The starts happen on all networks in turn, the one of the client on a single network included. */
async function measureChurn(
  { options, progress }: Bench,
  host: DockerHost,
  standIn: StandIn,
  clients: readonly (readonly [Case, Container])[],
): Promise<Outcome> {
  const contenders = clients.flatMap(([{ name, queryFile }, client]) =>
    [false, true].map((busy) => ({
      name: `${name}${busy ? `, ${startsPerSecond} starts/s` : ""}`,
      queryFile,
      client,
      busy,
    })),
  );
  const rounds = await takeTurns(
    contenders,
    async ({ queryFile, client, busy }): Promise<PacedResult> => {
      if (busy)
        await standIn.ask({
          do: "churn",
          startsPerSecond,
          secondsAtMost: options.seconds + 3,
          networks: [0, 1, 2, 3, 4].flatMap((each) => [each, each * 100]),
        });
      const result = await askSteadily(host, client, target, queryFile, options.seconds);
      if (busy) await standIn.ask({ do: "still" });
      return result;
    },
    {
      rounds: options.rounds,
      onTurn: (name, round) => progress.show(`churn: round ${round + 1} of ${options.rounds}, ${name}`),
    },
  );
  const rows = clients.map(([{ name }]) =>
    ratioRow(
      rounds,
      `99th percentile at ${steadyRate.toLocaleString("en")} queries/s, ${startsPerSecond} starts/s; ${name}`,
      name,
      latencyGoal,
      ({ latency }) => latency.p99,
      printMs,
      `${name}, ${startsPerSecond} starts/s`,
    ),
  );
  return {
    rows: rows.map((row) => ({ ...row, against: "quiet" })),
    tables: [latencyTable("STARTS MEANWHILE", rounds)],
    data: { churn: Object.fromEntries(rounds) },
  };
}

async function fill(
  host: DockerHost,
  networks: number,
  containers: readonly Made[],
): Promise<{ standIn: StandIn; pid: number }> {
  const standIn = await StandIn.start(host);
  const { server: pid } = await standIn.ask({ do: "fill", networks, containers });
  return { standIn, pid };
}

/** A real container with Docker's resolver and its rules, which the stand-in takes over. */
async function client(host: DockerHost, name: string): Promise<Container> {
  await host.network(`real-${name}`);
  return host.container({ name, networks: [`real-${name}`] });
}

async function made(
  which: keyof typeof clientNumbers,
  container: Container,
  networks: readonly number[],
): Promise<Made> {
  return {
    name: `client-${which}`,
    number: clientNumbers[which],
    networks,
    sandbox: { kind: "process", id: container.id, pid: await container.pid() },
  };
}

/** Containers of one network; their names are theirs alone. */
function members(network: number, count: number): Made[] {
  return Array.from({ length: count }, (_, index) => {
    const number = network * containersOnEach + index + 1;
    return { name: `service${number}`, number, networks: [network] };
  });
}

async function caseOf(
  name: string,
  host: DockerHost,
  server: number,
  container: Container,
  asked: readonly Made[],
): Promise<Case> {
  const named = asked.map((each): Named => ({
    name: each.name,
    ip: madeAddresses(each.number).ipv4,
    ip6: madeAddresses(each.number).ipv6,
  }));
  const questions = questionsFor(named);
  const queryFile = `/run/bench/questions/${asked.length}`;
  host.writeFile(queryFile, questionLines(questions));
  for (const { name: asked, type, expected } of [questions[0]!, questions.at(-1)!]) {
    const { addresses } = await container.dig(asked, type);
    if (addresses.join() !== expected)
      throw new Error(`${asked} ${type} is answered with ${addresses.join()} instead of ${expected}`);
  }
  await container.releaseProbe();
  return {
    name,
    queryFile,
    peer: { name, client: container, target, processes: [server], stop: () => Promise.resolve() },
  };
}
