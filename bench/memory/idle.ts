import { setTimeout as pause } from "node:timers/promises";
import { cpuSeconds } from "../lib/cpu.js";
import { Undo } from "../lib/cleanup.js";
import { figureRow, type Goal, type Row } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { proportionalSetSize } from "../proxy/process.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import { deployDockerd, deployPontoon, type Deployment } from "./deployment.js";
import type { MemoryOptions } from "./options.js";
import { kinds, processesOf, type Kind } from "./processes.js";

const memoryGoals: Partial<Record<Kind, number>> = {
  "pontoon daemon": 40,
  "pontoon-dns": 20,
  "pontoon-proxy": 16,
  "bulk workers": 0,
};
const busyGoal: Goal = { kind: "at most", value: 0.3, unit: "%" };
const ours: readonly Kind[] = ["pontoon daemon", "pontoon-dns", "pontoon-proxy", "bulk workers", "shims"];
const dockers: readonly Kind[] = ["dockerd", "docker-proxies"];
/** After the last container has started, until what that left behind has been done, ms. */
const settling = 5000;

/** What the processes of one kind held in the end, and did in the time in which nothing happened. */
interface Held {
  readonly processes: number;
  /** Bytes. */
  readonly pss: number;
  /** Share of one processor, percent. */
  readonly busy: number;
}

/** By kind. */
type KindsHeld = Readonly<Partial<Record<Kind, Held>>>;

/** Leaves two hosts alone for a while, one with pontoon and one without; then the same with hosts made anew. */
export async function measureIdle({ options, progress, undo }: Bench<MemoryOptions>): Promise<Outcome> {
  const rounds: { pontoon: KindsHeld; dockerd: KindsHeld }[] = [];
  for (let round = 0; round < options.rounds; round++) {
    progress.show(`idle: round ${round + 1} of ${options.rounds}`);
    const ofRound = new Undo();
    undo.teardown(() => ofRound.run());
    const { containers, seconds } = options;
    const pontoon = await deployPontoon(ofRound, containers);
    const dockerd = await deployDockerd(ofRound, containers);
    const [held, other] = await Promise.all([leaveAlone(pontoon, seconds), leaveAlone(dockerd, seconds)]);
    rounds.push({ pontoon: held, dockerd: other });
    await pontoon.pontoon.stop();
    await ofRound.run();
  }
  const beside = { pontoon: rounds.map((round) => round.pontoon), dockerd: rounds.map((round) => round.dockerd) };
  return {
    rows: rowsOf(beside.pontoon),
    tables: [kindsTable("WITH PONTOON", beside.pontoon), kindsTable("WITHOUT", beside.dockerd)],
    data: { idle: beside },
  };
}

async function leaveAlone({ host, pontoon }: Deployment, seconds: number): Promise<KindsHeld> {
  await pause(settling);
  const before = processesOf(host, pontoon);
  const used = (pids: readonly number[]) => cpuSeconds(host, pids);
  const usedBefore = new Map([...before].map(([kind, pids]) => [kind, used(pids)]));
  await pause(seconds * 1000);
  const held = [...processesOf(host, pontoon)].map(([kind, pids]) => {
    const busy = ((used(pids) - (usedBefore.get(kind) ?? 0)) / seconds) * 100;
    const pss = pids.reduce((sum, pid) => sum + proportionalSetSize(host, pid), 0);
    return [kind, { processes: pids.length, pss, busy }] as const;
  });
  return Object.fromEntries(held);
}

function rowsOf(rounds: readonly KindsHeld[]): Row[] {
  const memory = Object.entries(memoryGoals).map(([kind, value]) => {
    const megabytes = rounds.map((held) => (held[kind as Kind]?.pss ?? 0) / 1e6);
    return figureRow(`memory (PSS) of ${kind}`, median(megabytes), rangeOf(megabytes), {
      kind: "at most",
      value,
      unit: "MB",
    });
  });
  const busy = rounds.map((held) => sumOf(held, ours, (each) => each.busy));
  return [...memory, figureRow("processor while idle, all of pontoon", median(busy), rangeOf(busy, 2), busyGoal)];
}

function kindsTable(title: string, rounds: readonly KindsHeld[]): string {
  const line = (name: string, of: readonly Kind[]) => {
    const figure = (get: (held: Held) => number) => median(rounds.map((held) => sumOf(held, of, get)));
    const megabytes = `${(figure(({ pss }) => pss) / 1e6).toFixed(1)} MB`;
    return [
      name,
      String(figure(({ processes }) => processes)),
      megabytes,
      `${figure(({ busy }) => busy).toFixed(2)} %`,
    ];
  };
  const present = kinds.filter((kind) => rounds.some((held) => held[kind]));
  const sums = [line("all of pontoon", ours), line("all of Docker", dockers)].filter(([, count]) => count !== "0");
  return aligned([[title, "PROCESSES", "PSS", "CPU"], ...present.map((kind) => line(kind, [kind])), ...sums]);
}

function sumOf(held: KindsHeld, of: readonly Kind[], get: (held: Held) => number): number {
  return of.reduce((sum, kind) => sum + (held[kind] ? get(held[kind]) : 0), 0);
}

function rangeOf(values: readonly number[], digits = 1): string {
  return `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
}
