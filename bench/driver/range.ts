import { readdirSync } from "node:fs";
import { until, type DockerHost } from "../../integration/lab/index.js";
import type { HelperProcess } from "../../integration/lab/helper-process.js";
import { ratioRow, type Row } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { compare, takeTurns, type Rounds } from "../lib/rounds.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import { fewRounds } from "../network/figures.js";
import { bridge, childProgram, network, startContenders, type Contender } from "./host.js";
import type { DriverOptions } from "./options.js";
import type { RangeReply, RangeRequest } from "./range-child.js";
import { growth, heldBy, sumOf, type Held } from "./servers.js";

const firstPort = 20_000;
const goals = {
  started: { kind: "at most", value: 0.2, unit: "×" },
  removed: { kind: "at most", value: 0.1, unit: "×" },
  processes: { kind: "at most", value: 0, unit: "processes" },
  memory: { kind: "at most", value: 0.05, unit: "×" },
} as const;

/** One turn. */
interface Turn {
  /** From `docker run` until it has returned, and until the last port has answered another host, ms. */
  readonly returned: number;
  readonly answered: number;
  /** `docker rm`, ms. */
  readonly removed: number;
  /** What serves ports, beyond what did before. */
  readonly grown: Held;
}

interface Publisher extends Contender {
  readonly child: HelperProcess<RangeRequest, RangeReply>;
}

/** Runs a container with a range of published ports, and removes it. */
export async function measureRange({ options, progress, undo }: Bench<DriverOptions>): Promise<Outcome> {
  const { ports } = options;
  progress.show("two Docker hosts");
  const publishers = (await startContenders(undo)).map((each) => ({
    ...each,
    child: each.outside.helper<RangeRequest, RangeReply>(childProgram("range-child.js")),
  }));
  for (const publisher of publishers) await publishOnce(publisher, 1); // warms up
  const count = fewRounds(options.rounds);
  const rounds = await takeTurns(publishers, (publisher) => publishOnce(publisher, ports), {
    rounds: count,
    onTurn: (name, round) => progress.show(`${ports} ports: round ${round + 1} of ${count}, ${name}`),
  });
  return { rows: rowsOf(rounds, ports), tables: [serversTable(rounds)], data: { range: Object.fromEntries(rounds) } };
}

async function publishOnce({ host, outside, pontoon, child }: Publisher, ports: number): Promise<Turn> {
  const [links, before] = [linksOf(host), heldBy(host, pontoon)];
  const lastPort = firstPort + ports - 1;
  const range = `${firstPort}-${lastPort}`;
  const run = ["docker", "run", "--detach", "--name=published", `--network=${network}`, `--publish=${range}:${range}`];
  const { ended, answered } = await child.call({
    command: [...run, "busybox", "nc", "-ll", "-p", String(lastPort), "-e", "cat"],
    place: { address: outside.hostAddress, port: lastPort },
  });
  const grown = growth(before, heldBy(host, pontoon));
  const { ended: removed } = await child.call({ command: ["docker", "rm", "--force", "published"] });
  await until(() => linksOf(host).every((link) => links.includes(link)), { what: "the container's link is gone" });
  return { returned: ended, answered, removed, grown };
}

function linksOf(host: DockerHost): readonly string[] {
  return readdirSync(host.path("/sys/class/net"));
}

function rowsOf(rounds: Rounds<Turn>, ports: number): Row[] {
  const row = (title: string, goal: keyof typeof goals, figureOf: (turn: Turn) => number, print: typeof printSeconds) =>
    ratioRow(rounds, title, bridge, goals[goal], figureOf, print);
  return [
    row(`docker run with ${ports} ports until the last answers`, "started", ({ answered }) => answered, printSeconds),
    row("… docker rm", "removed", ({ removed }) => removed, printSeconds),
    processesRow(rounds),
    row("… memory (PSS) of what serves them", "memory", memoryOf, printMegabytes),
  ];
}

/** No ratio: there is to be none. */
function processesRow(rounds: Rounds<Turn>): Row {
  const { figure, other } = compare(rounds, "pontoon", bridge, processesOf);
  const counts = rounds.get("pontoon")!.map(processesOf);
  return {
    measure: "… processes for them",
    figure: String(figure),
    against: bridge,
    other: String(other),
    result: figure,
    range: `${Math.min(...counts)}–${Math.max(...counts)}`,
    goal: goals.processes,
  };
}

function serversTable(rounds: Rounds<Turn>): string {
  const lines = [...rounds].flatMap(([name, turns]) => {
    const kinds = [...new Set(turns.flatMap(({ grown }) => Object.keys(grown)))] as (keyof Held)[];
    return kinds.map((kind) => {
      const [processes, pss] = (["processes", "pss"] as const).map((figure) =>
        median(turns.map(({ grown }) => grown[kind]?.[figure] ?? 0)),
      ) as [number, number];
      return [name, kind, String(processes), printMegabytes(pss)];
    });
  });
  return aligned([["MORE WITH THE PORTS", "", "PROCESSES", "PSS"], ...lines]);
}

const processesOf = ({ grown }: Turn) => sumOf(grown, "processes");
const memoryOf = ({ grown }: Turn) => sumOf(grown, "pss");

function printSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function printMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
