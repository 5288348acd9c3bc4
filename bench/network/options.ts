import { optionsReader } from "../lib/command-line.js";

/** What can be measured, in the order in which it is. */
export const measures = {
  endpoint: "an endpoint is connected and disconnected",
  gone: "the same many times, until the last link is gone",
  port: "the same with a published port",
  cni: "the same by a plugin of CNI, as runtimes call it",
  "cni-port": "the same by a plugin of CNI, with a published port",
  growth: "the last of many endpoints beside the first, and the daemon's loop meanwhile",
  publish: "many ports are published, and as many again",
  traffic: "what goes between two sandboxes, and through a published port",
  start: "the daemon starts and repairs what was lost, and its memory",
  flush: "traffic while somebody flushes and reloads the rules",
  trace: "the way between two sandboxes is asked for",
} as const;

export type MeasureName = keyof typeof measures;

/** What a run measures, and how much. */
export interface NetworkOptions {
  readonly only: readonly MeasureName[];
  readonly rounds: number;
  /** Times an endpoint is connected and disconnected, or a way asked for, in each turn. */
  readonly times: number;
  /** The same, one after the other, until the last link is gone. */
  readonly row: number;
  /** Endpoints that come and go on one network. */
  readonly endpoints: number;
  /** Ports published with one request. */
  readonly ports: number;
  /** Length of one measurement of traffic. */
  readonly seconds: number;
  /** What a starting daemon finds. */
  readonly networks: number;
  /** With one endpoint each. */
  readonly sandboxes: number;
}

export const usage = `options:
  --only A,B      only these measures: ${Object.keys(measures).join(", ")}
  --rounds N      turns of each; growth, publish and start three at most (default 7)
  --times N       endpoints connected and disconnected, or ways asked for, in each turn (default 20)
  --row N         the same, one after the other, until the last link is gone (default 100)
  --endpoints N   endpoints that come and go on one network (default 500)
  --ports N       ports published with one request (default 1000)
  --seconds N     length of one measurement of traffic (default 3)
  --networks N    networks that a starting daemon finds (default 200)
  --sandboxes N   sandboxes that it finds, with one endpoint each (default 1000)
  --quick         a glance while developing: 2 rounds, fewer of everything`;

const all = Object.keys(measures) as MeasureName[];
const thorough: NetworkOptions = {
  only: all,
  rounds: 7,
  times: 20,
  row: 100,
  endpoints: 500,
  ports: 1000,
  seconds: 3,
  networks: 200,
  sandboxes: 1000,
};
const quick: NetworkOptions = {
  ...thorough,
  rounds: 2,
  times: 5,
  row: 10,
  endpoints: 60,
  ports: 100,
  seconds: 1,
  networks: 10,
  sandboxes: 50,
};

/** Reads the command line. Throws a UsageError. */
export const readOptions = optionsReader(thorough, quick, [
  "rounds",
  "times",
  "row",
  "endpoints",
  "ports",
  "seconds",
  "networks",
  "sandboxes",
]);
