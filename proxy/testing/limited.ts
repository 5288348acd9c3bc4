// A proxy in a process of its own, for tests that limit its descriptors: `node test-limited.js TARGET_PORT`. Prints the
// ports it listens on; then, for each line it is given, its report, the rounds its loop has made, and the time in ms.
import { createInterface } from "node:readline";
import { TestProxy } from "./proxy.js";

export interface LimitedReport {
  readonly connections: number;
  readonly accepted: number;
  readonly waiting: number;
  readonly rounds: number;
  /** ms */
  readonly time: number;
}

const target = { ip: "127.0.0.1", port: Number(process.argv[2]) };
const proxy = new TestProxy({ teardown: () => undefined });
let rounds = 0;
const { poller } = proxy.reactor;
const dispatch = poller.dispatch.bind(poller);
poller.dispatch = (timeout) => {
  rounds++;
  return dispatch(timeout);
};
const ports = ["web", "other"].map((id) => proxy.open(target, {}, { id }).port);
process.stdout.write(`${JSON.stringify(ports)}\n`);
createInterface({ input: process.stdin }).on("line", () => {
  const reports = ["web", "other"].map((id) => proxy.report(id));
  const sum = (key: "connections" | "accepted") => reports.reduce((total, report) => total + report[key], 0);
  const report: LimitedReport = {
    connections: sum("connections"),
    accepted: sum("accepted"),
    waiting: proxy.descriptorWaiters.waiting,
    rounds,
    time: performance.now(),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
});
