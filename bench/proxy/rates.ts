import { dnsperfCommand, parseDnsperf } from "../dns/dnsperf.js";
import { printCost, printMs, printRate, ratioRow, type Goal, type Row } from "../lib/goals.js";
import { together, type Bench, type Outcome } from "../lib/measure.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";
import { aligned } from "../lib/table.js";
import { median } from "../lib/statistics.js";
import { runIperf } from "./iperf.js";
import type { MeasureName, ProxyOptions } from "./options.js";
import { buildSite, clientAddress, withCpu, type Contender, type Site } from "./site.js";
import type { World } from "./world.js";
import { runWrk } from "./wrk.js";

/** One turn of one contender; what it did not measure is left out. */
export interface Turn {
  /** Requests, connections or queries a second. */
  readonly perSecond?: number;
  /** Milliseconds. */
  readonly p50?: number;
  readonly p99?: number;
  /** CPU time of the contender's processes: microseconds for each request, connection or query. */
  readonly cpuEach?: number;
  readonly gigabitsPerSecond?: number;
  /** CPU seconds for each 10⁹ bytes. */
  readonly cpuPerGigabyte?: number;
  /** What failed, or got no answer. */
  readonly errors: number;
}

type Load = (world: World, contender: Contender, seconds: number) => Promise<Turn>;

/** A load, by the measure that it is part of, and what it is to come to. */
interface Trial {
  readonly measure: MeasureName;
  readonly title: string;
  readonly load: Load;
  readonly rows: (rounds: Rounds<Turn>) => readonly Row[];
}

const atLeast = (value: number): Goal => ({ kind: "at least", value, unit: "×" });
const atMost = (value: number): Goal => ({ kind: "at most", value, unit: "×" });
const printGigabits = (rate: number) => `${rate.toFixed(2)} Gbit/s`;
const printCostPerGigabyte = (cost: number) => `${cost.toFixed(3)} s/GB`;

const row = (
  rounds: Rounds<Turn>,
  measure: string,
  figure: Exclude<keyof Turn, "errors">,
  goal: Goal,
  print: (figure: number) => string,
) => ratioRow(rounds, measure, "docker-proxy", goal, (turn) => turn[figure]!, print);

const trials: readonly Trial[] = [
  {
    measure: "connections",
    title: "new connections",
    load: http("connections"),
    rows: (rounds) => [row(rounds, "new TCP connections/s", "perSecond", atLeast(1.25), printRate)],
  },
  {
    measure: "requests",
    title: "keep-alive requests",
    load: http("requests"),
    rows: (rounds) => [
      row(rounds, "keep-alive requests/s", "perSecond", atLeast(1.2), printRate),
      row(rounds, "… 99th percentile", "p99", atMost(0.6), printMs),
      row(rounds, "… CPU a request", "cpuEach", atMost(0.7), printCost),
    ],
  },
  {
    measure: "bulk",
    title: "bulk to the container",
    load: bulk(false),
    rows: (rounds) => bulkRows(rounds, "to the container"),
  },
  {
    measure: "bulk",
    title: "bulk from the container",
    load: bulk(true),
    rows: (rounds) => bulkRows(rounds, "from the container"),
  },
  {
    measure: "mixed",
    title: "requests beside bulk",
    load: mixed,
    rows: (rounds) => [
      row(rounds, "requests/s beside four bulk streams", "perSecond", atLeast(1), printRate),
      row(rounds, "… 99th percentile", "p99", atMost(1), printMs),
      row(rounds, "… bulk meanwhile", "gigabitsPerSecond", atLeast(0.95), printGigabits),
    ],
  },
  {
    measure: "udp",
    title: "UDP queries",
    load: udp,
    rows: (rounds) => [
      row(rounds, "UDP queries/s", "perSecond", atLeast(1.3), printRate),
      row(rounds, "… CPU a datagram", "cpuEach", atMost(0.65), printCost),
    ],
  },
];

/** The measures {@link measureRates} makes. */
export const rateMeasures: readonly MeasureName[] = ["connections", "requests", "bulk", "mixed", "udp"];

/** What goes through a published port in a second, and what that costs. */
export async function measureRates(bench: Bench<ProxyOptions>): Promise<Outcome> {
  bench.progress.show("a target and those who publish it");
  const site = await buildSite(bench.undo);
  site.world.writeFile(questions, "a.example A\n");
  const outcomes: Outcome[] = [];
  for (const trial of trials)
    if (bench.options.only.includes(trial.measure)) outcomes.push(await measureTrial(bench, site, trial));
  return together(outcomes);
}

async function measureTrial(
  { options, progress }: Bench<ProxyOptions>,
  { world, contenders }: Site,
  { title, load, rows }: Trial,
): Promise<Outcome> {
  const { rounds: count, seconds, warmUpSeconds } = options;
  for (const contender of contenders) {
    progress.show(`${title}: ${contender.name} warms up`);
    await load(world, contender, warmUpSeconds);
  }
  const rounds = await takeTurns(contenders, (contender) => load(world, contender, seconds), {
    rounds: count,
    onTurn: (name, round) => progress.show(`${title}: round ${round + 1} of ${count}, ${name}`),
  });
  return { rows: rows(rounds), tables: [turnsTable(title, rounds)], data: { [title]: Object.fromEntries(rounds) } };
}

function http(service: "requests" | "connections"): Load {
  return async (world, contender, seconds) => {
    const { result, cpu } = await withCpu(world, contender, () => runWrk(world, contender.ports[service], seconds));
    const { requests, requestsPerSecond, latency, errors } = result;
    return { perSecond: requestsPerSecond, ...latency, cpuEach: (cpu * 1e6) / requests, errors };
  };
}

function bulk(fromTarget: boolean): Load {
  return async (world, contender, seconds) => {
    const { result, cpu } = await withCpu(world, contender, () =>
      runIperf(world, contender.ports.bulk, { seconds, streams: 1, fromTarget }),
    );
    return { gigabitsPerSecond: result.gigabitsPerSecond, cpuPerGigabyte: cpu / (result.bytes / 1e9), errors: 0 };
  };
}

function bulkRows(rounds: Rounds<Turn>, direction: string): Row[] {
  return [
    row(rounds, `bulk TCP, one stream ${direction}`, "gigabitsPerSecond", atLeast(1), printGigabits),
    row(rounds, "… CPU per gigabyte", "cpuPerGigabyte", atMost(0.8), printCostPerGigabyte),
  ];
}

/** Of bulk only those seconds count in which requests were made. */
async function mixed(world: World, contender: Contender, seconds: number): Promise<Turn> {
  const bulk = runIperf(world, contender.ports.bulk, { seconds: seconds + 3, streams: 4, fromTarget: false });
  const requests = delayed(1500, () => runWrk(world, contender.ports.requests, seconds));
  const [{ seconds: rates }, { requestsPerSecond, latency, errors }] = await Promise.all([bulk, requests]);
  const meanwhile = rates.slice(2, 1 + seconds);
  return {
    perSecond: requestsPerSecond,
    ...latency,
    gigabitsPerSecond: median(meanwhile.length > 0 ? meanwhile : rates.slice(1, 2)),
    errors,
  };
}

/** One datagram of the client's, whose answer is another. */
async function udp(world: World, contender: Contender, seconds: number): Promise<Turn> {
  const command = dnsperfCommand({ address: clientAddress, port: contender.ports.dns }, questions, seconds);
  const { result, cpu } = await withCpu(world, contender, async () =>
    parseDnsperf((await world.run(command, { timeoutMs: seconds * 1000 + 15_000 })).stdout),
  );
  return {
    perSecond: result.queriesPerSecond,
    p50: result.latency.average,
    cpuEach: (cpu * 1e6) / result.completed / 2,
    errors: result.lost,
  };
}

const questions = "/run/bench/questions";

async function delayed<Result>(ms: number, work: () => Promise<Result>): Promise<Result> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return work();
}

/** Medians of each contender, for people. */
function turnsTable(title: string, rounds: Rounds<Turn>): string {
  const columns = [
    { name: "PER SECOND", of: "perSecond", print: printRate },
    { name: "MEDIAN", of: "p50", print: printMs },
    { name: "99 %", of: "p99", print: printMs },
    { name: "CPU EACH", of: "cpuEach", print: printCost },
    { name: "BULK", of: "gigabitsPerSecond", print: printGigabits },
    { name: "CPU/GB", of: "cpuPerGigabyte", print: printCostPerGigabyte },
  ] as const;
  const used = columns.filter(({ of }) =>
    [...rounds.values()].some((turns) => turns.some((turn) => turn[of] !== undefined)),
  );
  const lines = [...rounds].map(([name, turns]) => {
    const cells = used.map(({ of, print }) => print(median(turns.map((turn) => turn[of]!))));
    return [name, ...cells, String(turns.reduce((sum, { errors }) => sum + errors, 0))];
  });
  return aligned([[title.toUpperCase(), ...used.map(({ name }) => name), "ERRORS"], ...lines]);
}
