import { optionsReader } from "../lib/command-line.js";

/** What can be measured, in the order in which it is. */
export const measures = {
  connect: "an endpoint is connected",
  name: "the same, until its name resolves on the other host, and until it is gone there",
  traffic: "what goes between endpoints on two hosts",
  hosts: "what one host more costs the others",
  endpoints: "what many endpoints on many hosts cost each",
} as const;

export type MeasureName = keyof typeof measures;

/** What a run measures, and how much. */
export interface OverlayOptions {
  readonly only: readonly MeasureName[];
  readonly rounds: number;
  /** Times an endpoint is connected in each turn. */
  readonly times: number;
  /** Length of one measurement of traffic. */
  readonly seconds: number;
  /** At most, without Docker. */
  readonly hosts: number;
  /** On all of them together. */
  readonly endpoints: number;
}

export const usage = `options:
  --only A,B      only these measures: ${Object.keys(measures).join(", ")}
  --rounds N      turns of each of the two (default 7)
  --times N       times an endpoint is connected in each turn of connect and name (default 20)
  --seconds N     length of one measurement of traffic (default 3)
  --hosts N       hosts for hosts and endpoints (default 50)
  --endpoints N   endpoints on all of them together (default 5000)
  --quick         a glance while developing: 2 rounds, fewer of everything`;

const all = Object.keys(measures) as MeasureName[];
const thorough: OverlayOptions = { only: all, rounds: 7, times: 20, seconds: 3, hosts: 50, endpoints: 5000 };
const quick: OverlayOptions = { ...thorough, rounds: 2, times: 5, seconds: 1, hosts: 5, endpoints: 100 };

/** Reads the command line. Throws a UsageError. */
export const readOptions = optionsReader(thorough, quick, ["rounds", "times", "seconds", "hosts", "endpoints"]);
