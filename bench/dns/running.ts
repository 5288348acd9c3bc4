import { performance } from "node:perf_hooks";
import { DockerHost, type Pontoon } from "../../integration/lab/index.js";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { median } from "../lib/statistics.js";
import { resolvConf } from "./upstream.js";

const network = "app";
const startedAtOnce = 8;
const timeGoal = { kind: "at most", value: 3, unit: "s" } as const;
const heldUpGoal = { kind: "at most", value: 20, unit: "ms" } as const;

/** One start of a daemon that found containers running. */
interface TakenOver {
  /** Seconds from starting the daemon's process until pontoon answers in every container. */
  readonly seconds: number;
  /** Milliseconds the daemon's event loop was held up at most in that time, as its status tells. */
  readonly heldUp: number;
  /** Bytes that pontoon-dns held in memory then. */
  readonly serverMemory: number;
}

/** What is read of `GET /v1/status`. */
interface Status {
  readonly containers: readonly { readonly resolver: string; readonly name: string; readonly reason: string }[];
  readonly loopDelay: { readonly max: number };
  readonly dns: { readonly residentMemory: number };
}

/** Starts the daemon again and again on a host where containers run already. */
export async function measureRunning({ options, progress, undo }: Bench): Promise<Outcome> {
  const host = await DockerHost.start(undo, { resolvConf });
  await host.network(network, { subnet: "172.30.0.0/16", ipv6: "fd00:30::/64" });
  await startContainers(host, options.running, (started) =>
    progress.show(`running containers: ${started} of ${options.running} started`),
  );
  const starts: TakenOver[] = [];
  for (let round = 0; round < options.rounds; round++) {
    progress.show(`running containers: round ${round + 1} of ${options.rounds}`);
    starts.push(await startDaemon(host, options.running));
  }
  progress.show("running containers: ending them");
  const seconds = starts.map((start) => start.seconds);
  const heldUp = starts.map((start) => start.heldUp);
  const range = (values: readonly number[], digits: number) =>
    `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
  return {
    rows: [
      figureRow(`${options.running} running containers taken over`, median(seconds), range(seconds, 2), timeGoal),
      figureRow("the daemon's event loop held up meanwhile, at most", median(heldUp), range(heldUp, 1), heldUpGoal),
    ],
    tables: [],
    data: { running: starts },
  };
}

async function startDaemon(host: DockerHost, containers: number): Promise<TakenOver> {
  const begun = performance.now();
  const pontoon = await host.pontoon({ env: { PONTOON_WATCH_LOOP: "1" }, readyMs: 60_000 });
  const seconds = (performance.now() - begun) / 1000;
  const { containers: known, loopDelay, dns } = await statusOf(pontoon);
  const left = known.filter(({ resolver }) => resolver !== "pontoon");
  if (known.length !== containers || left.length > 0)
    throw new Error(
      `pontoon is ready, but answers only ${known.length - left.length} of ${containers} containers; ${left[0]?.name}: ${left[0]?.reason}`,
    );
  await pontoon.stop();
  return { seconds, heldUp: loopDelay.max, serverMemory: dns.residentMemory };
}

async function statusOf(pontoon: Pontoon): Promise<Status> {
  return (await pontoon.status()) as unknown as Status;
}

async function startContainers(host: DockerHost, count: number, onStarted: (started: number) => void): Promise<void> {
  const { engine } = host;
  let next = 0;
  let started = 0;
  const work = async () => {
    while (next < count) {
      const config = {
        Image: "busybox",
        Cmd: ["sleep", "1000000"],
        StopSignal: "SIGKILL",
        HostConfig: { NetworkMode: network },
      };
      const { Id } = (await engine.post(`/containers/create?name=c${next++}`, config)) as { Id: string };
      await engine.post(`/containers/${Id}/start`);
      if (++started % 25 === 0) onStarted(started);
    }
  };
  await Promise.all(Array.from({ length: startedAtOnce }, work));
}
