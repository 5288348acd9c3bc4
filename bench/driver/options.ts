import { optionsReader } from "../lib/command-line.js";

/** What can be measured, in the order in which it is. */
export const measures = {
  run: "what a network costs docker run",
  port: "the same with a published port",
  range: "a container with a range of published ports starts and goes, and what serves the ports",
  traffic: "what goes between two containers, and through published ports",
  together: "many containers are started at once",
} as const;

export type MeasureName = keyof typeof measures;

/** What a run measures, and how much. */
export interface DriverOptions {
  readonly only: readonly MeasureName[];
  readonly rounds: number;
  /** Times each docker run is made in each turn. */
  readonly times: number;
  /** Ports published with one docker run. */
  readonly ports: number;
  /** Length of one measurement of traffic. */
  readonly seconds: number;
  /** Started at once. */
  readonly containers: number;
}

export const usage = `options:
  --only A,B       only these measures: ${Object.keys(measures).join(", ")}
  --rounds N       turns of each of the two; range three at most (default 7)
  --times N        times each docker run is made in each turn of run and port (default 10)
  --ports N        ports published with one docker run for range (default 200)
  --seconds N      length of one measurement of traffic (default 3)
  --containers N   containers started at once (default 20)
  --quick          a glance while developing: 2 rounds, fewer of everything`;

const all = Object.keys(measures) as MeasureName[];
const thorough: DriverOptions = { only: all, rounds: 7, times: 10, ports: 200, seconds: 3, containers: 20 };
const quick: DriverOptions = { ...thorough, rounds: 2, times: 3, ports: 20, seconds: 1, containers: 5 };

/** Reads the command line. Throws a UsageError. */
export const readOptions = optionsReader(thorough, quick, ["rounds", "times", "ports", "seconds", "containers"]);
