import { optionsReader } from "../lib/command-line.js";

/** What can be measured, in the order in which it is. */
export const measures = {
  local: "local names, as fast as they are answered",
  upstream: "names from upstream, asked again and again",
  p99: "99th percentile at a steady rate",
  starts: "from a container's start to its name",
  changes: "from Docker's events to the right answer",
  table: "10,000 names on 500 networks, CPU for each query",
  churn: "the same table at a steady rate, while containers start",
  fairness: "one container's answers while another floods",
  memory: "memory of pontoon-dns with many namespaces",
  running: "a daemon that finds many containers running",
} as const;

export type MeasureName = keyof typeof measures;

/** What a run measures, and how much. */
export interface Options {
  readonly only: readonly MeasureName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Containers started for the start-event measure. */
  readonly starts: number;
  /** Turns of each kind of change. */
  readonly changes: number;
  /** Namespaces for the memory measure; as many again for what each further one costs. */
  readonly namespaces: number;
  /** Containers that run before the daemon does. */
  readonly running: number;
}

export const usage = `options:
  --only A,B    only these measures: ${Object.keys(measures).join(", ")}
  --rounds N    turns of each peer (default 5)
  --seconds N   length of one measurement (default 2)
  --starts N    containers started for the start-event measure (default 100)
  --changes N   turns of each kind of change (default 20)
  --quick       a glance while developing: 2 rounds of 1 s, fewer containers`;

const all = Object.keys(measures) as MeasureName[];
const thorough: Options = {
  only: all,
  rounds: 5,
  seconds: 2,
  warmUpSeconds: 2,
  starts: 100,
  changes: 20,
  namespaces: 200,
  running: 200,
};
const quick: Options = {
  ...thorough,
  rounds: 2,
  seconds: 1,
  warmUpSeconds: 1,
  starts: 5,
  changes: 3,
  namespaces: 50,
  running: 20,
};

/** Reads the command line. Throws a UsageError. */
export const readOptions = optionsReader(thorough, quick, ["rounds", "seconds", "starts", "changes"]);
