import { fileURLToPath } from "node:url";
import { BareHost } from "../../integration/lab/index.js";
import type { HelperProcess } from "../../integration/lab/helper-process.js";
import type { Undo } from "../lib/cleanup.js";
import { ratioRow, type Row } from "../lib/goals.js";
import { together, type Bench, type Outcome } from "../lib/measure.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import { namespaces } from "./backend.js";
import type { EndpointsReply, EndpointsRequest } from "./endpoints-child.js";
import type { MeasureName, NetworkOptions } from "./options.js";

/** One of those that take turns, on its own host. */
interface Contender {
  readonly name: "pontoon" | "pontoon-cni" | "netavark" | "CNI";
  readonly backend: EndpointsRequest["backend"];
  readonly helper: HelperProcess<EndpointsRequest, EndpointsReply>;
}

/** One turn, ms for each endpoint. */
interface Turn {
  readonly connect: number;
  readonly disconnect: number;
  /** Both. */
  readonly answered: number;
  /** Both, until the last link is gone; only if endpoints come in a row. */
  readonly gone: number;
}

interface Trial {
  readonly measure: MeasureName;
  readonly title: (options: NetworkOptions) => string;
  readonly request: (options: NetworkOptions) => Omit<EndpointsRequest, "backend">;
  readonly figure: "answered" | "gone";
  /** Who takes turns, of whom the first is ours. */
  readonly contenders: readonly [Contender["name"], ...Contender["name"][]];
  /** At most, as a share of each. */
  readonly goals: Readonly<Partial<Record<Contender["name"], number>>>;
}

const port = 8080;
const daemonAndOthers = ["pontoon", "netavark", "CNI"] as const;
const plugins = ["pontoon-cni", "CNI"] as const;
const trials: readonly Trial[] = [
  {
    measure: "endpoint",
    title: () => "connect and disconnect, answered",
    request: ({ times }) => ({ times, inARow: false }),
    figure: "answered",
    contenders: daemonAndOthers,
    goals: { netavark: 0.08, CNI: 0.05 },
  },
  {
    measure: "gone",
    title: ({ row }) => `${row} one after the other until the last link is gone, each`,
    request: ({ row }) => ({ times: row, inARow: true }),
    figure: "gone",
    contenders: daemonAndOthers,
    goals: { netavark: 0.15 },
  },
  {
    measure: "port",
    title: () => "with one published port, answered",
    request: ({ times }) => ({ times, inARow: false, port }),
    figure: "answered",
    contenders: daemonAndOthers,
    goals: { netavark: 0.03 },
  },
  {
    measure: "cni",
    title: () => "CNI's ADD and DEL",
    request: ({ times }) => ({ times, inARow: false }),
    figure: "answered",
    contenders: plugins,
    goals: { CNI: 0.15 },
  },
  {
    measure: "cni-port",
    title: () => "CNI's ADD and DEL with one published port",
    request: ({ times }) => ({ times, inARow: false, port }),
    figure: "answered",
    contenders: plugins,
    goals: { CNI: 0.1 },
  },
];

const all: readonly Pick<Contender, "name" | "backend">[] = [
  { name: "pontoon", backend: "pontoon" },
  { name: "pontoon-cni", backend: "pontoonCni" },
  { name: "netavark", backend: "netavark" },
  { name: "CNI", backend: "cni" },
];

/** Connects and disconnects endpoints with pontoon, by itself and as a plugin of CNI, with netavark and CNI's plugins in turn. */
export async function measureEndpoints({ options, progress, undo }: Bench<NetworkOptions>): Promise<Outcome> {
  progress.show("a host for each");
  const wanted = trials.filter(({ measure }) => options.only.includes(measure));
  const isWanted = ({ name }: { readonly name: Contender["name"] }) =>
    wanted.some(({ contenders }) => contenders.includes(name));
  const contenders = await Promise.all(all.filter(isWanted).map(({ name, backend }) => prepare(undo, name, backend)));
  for (const contender of contenders) await measureTurn(contender, { times: 3, inARow: false, port });
  const outcomes: Outcome[] = [];
  for (const trial of wanted) {
    const title = trial.title(options);
    const taking = contenders.filter(({ name }) => trial.contenders.includes(name));
    const rounds = await takeTurns(taking, (contender) => measureTurn(contender, trial.request(options)), {
      rounds: options.rounds,
      onTurn: (name, round) => progress.show(`${title}: round ${round + 1} of ${options.rounds}, ${name}`),
    });
    outcomes.push({
      rows: rowsOf(trial, title, rounds),
      tables: [turnsTable(trial, title, rounds)],
      data: { [trial.measure]: Object.fromEntries(rounds) },
    });
  }
  return together(outcomes);
}

async function prepare(undo: Undo, name: Contender["name"], backend: Contender["backend"]): Promise<Contender> {
  const host = await BareHost.start(undo);
  if (name === "pontoon" || name === "pontoon-cni") {
    await host.outside(); // its resolver wants somebody to forward to
    await host.pontoon();
  }
  if (name !== "pontoon")
    for (const namespace of Object.values(namespaces)) await host.exec(["ip", "netns", "add", namespace]);
  await host.exec(["mkdir", "-p", "/run/bench"]);
  return { name, backend, helper: host.helper(fileURLToPath(new URL("endpoints-child.js", import.meta.url))) };
}

async function measureTurn({ backend, helper }: Contender, request: Omit<EndpointsRequest, "backend">): Promise<Turn> {
  const { connects, disconnects, untilGone } = await helper.call({ backend, ...request });
  return {
    connect: median(connects),
    disconnect: median(disconnects),
    answered: median(connects.map((connect, time) => connect + disconnects[time]!)),
    gone: untilGone / request.times,
  };
}

function rowsOf({ goals, figure, contenders: [ours] }: Trial, title: string, rounds: Rounds<Turn>): Row[] {
  return Object.entries(goals).map(([against, value]) =>
    ratioRow(rounds, title, against, { kind: "at most", value, unit: "×" }, (turn) => turn[figure], printMs, ours),
  );
}

function turnsTable({ figure }: Trial, title: string, rounds: Rounds<Turn>): string {
  const columns = ["connect", "disconnect", figure] as const;
  const lines = [...rounds].map(([name, turns]) => [
    name,
    ...columns.map((column) => printMs(median(turns.map((turn) => turn[column])))),
  ]);
  const last = figure === "gone" ? "UNTIL GONE" : "BOTH";
  return aligned([[title.toUpperCase(), "CONNECT", "DISCONNECT", last], ...lines]);
}

const printMs = (ms: number) => `${ms.toFixed(2)} ms`;
