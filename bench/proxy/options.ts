import { optionsReader } from "../lib/command-line.js";

/** What can be measured, in the order in which it is. */
export const measures = {
  connections: "new TCP connections, as fast as they are made",
  requests: "requests on connections that stay open",
  bulk: "one TCP stream, as fast as it goes",
  mixed: "requests on one port while bulk runs on another",
  udp: "UDP queries, as fast as they are answered",
  memory: "memory of many published ports",
  idle: "connections that do nothing",
  churn: "connections opened and closed for a long time",
  start: "docker run with a range of ports, and memory with the daemon",
  publish: "pontoon publish of a range of ports",
} as const;

export type MeasureName = keyof typeof measures;

/** What a run measures, and how much. */
export interface ProxyOptions {
  readonly only: readonly MeasureName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Ports published for the memory and start measures, each on IPv4 and IPv6. */
  readonly ports: number;
  /** Ports published with one command. */
  readonly range: number;
  /** Idle connections. */
  readonly connections: number;
  /** Seconds for which connections are opened and closed. */
  readonly churnSeconds: number;
}

export const usage = `options:
  --only A,B           only these measures: ${Object.keys(measures).join(", ")}
  --rounds N           turns of each of the two (default 5)
  --seconds N          length of one measurement (default 3)
  --ports N            ports published for memory and start (default 200)
  --range N            ports published with one command (default 1000)
  --connections N      idle connections (default 10000)
  --churn-seconds N    for how long connections are opened and closed (default 600)
  --quick              a glance while developing: 2 rounds of 1 s, fewer of everything`;

const all = Object.keys(measures) as MeasureName[];
const thorough: ProxyOptions = {
  only: all,
  rounds: 5,
  seconds: 3,
  warmUpSeconds: 2,
  ports: 200,
  range: 1000,
  connections: 10_000,
  churnSeconds: 600,
};
const quick: ProxyOptions = {
  ...thorough,
  rounds: 2,
  seconds: 1,
  warmUpSeconds: 1,
  ports: 20,
  range: 100,
  connections: 1000,
  churnSeconds: 20,
};

/** Reads the command line. Throws a UsageError. */
export const readOptions = optionsReader(thorough, quick, [
  "rounds",
  "seconds",
  "ports",
  "range",
  "connections",
  "churnSeconds",
]);
