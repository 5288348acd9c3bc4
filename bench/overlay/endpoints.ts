import { setTimeout as pause } from "node:timers/promises";
import { EtcdCluster, Underlay } from "../../integration/lab/index.js";
import { HelperProcess } from "../../integration/lab/helper-process.js";
import { requestUnix } from "../../integration/lab/unix-http.js";
import { until } from "../../integration/lab/until.js";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { aligned } from "../lib/table.js";
import { near, network } from "./names.js";
import type { OverlayOptions } from "./options.js";
import type { PaperRequest } from "./paper-child.js";
import { command, createNetwork, startHost, type PontoonHost } from "./pontoon.js";
import { programs } from "./programs.js";
import { see, type Seen } from "./seen.js";

/** Growth is linear: what the last fifth costs, beside the second. The first pays for what comes with any. */
const linearGoal = { kind: "at most", value: 1.2, unit: "×" } as const;
const parts = 5;
/** Where the hosts on paper speak from. */
const paperNumber = 200;
/** Between two questions to a daemon, ms. */
const pace = 20;
/** Until what came last has been taken up, ms. */
const rest = 2_000;

/** The two hosts that are looked at: one has an endpoint on the network, the other has none. */
const sides = ["on it", "beside it"] as const;

/** What both have with so many endpoints on all hosts. */
interface Step {
  readonly endpoints: number;
  /** How many a second have been made on all hosts. */
  readonly rate: number;
  /** In the order of {@link sides}. */
  readonly seen: readonly Seen[];
  /** The longest that a daemon took to answer while this fifth came, ms. */
  readonly stalls: readonly number[];
}

/** Has many endpoints made on hosts that are only on paper, and looks at what that costs two that are there. */
export async function measureEndpoints({ options, progress, undo }: Bench<OverlayOptions>): Promise<Outcome> {
  const { hosts, endpoints } = options;
  progress.show("two hosts");
  const underlay = await Underlay.start(undo);
  const etcd = await EtcdCluster.on(underlay);
  const looked = [await startHost(undo, underlay, etcd, 1), await startHost(undo, underlay, etcd, 2)];
  await createNetwork(looked[0]!);
  await command(looked[0]!, "sandbox", "create", near, "--network", network);
  progress.show(`${hosts - looked.length} hosts on paper`);
  const server = await underlay.server(paperNumber);
  const paper = new HelperProcess<PaperRequest, void>(server.enter([process.execPath, programs.paper]));
  undo.teardown(() => paper.release());
  await paper.call({ kind: "join", url: etcd.url, hosts: hosts - looked.length });
  await pause(rest);

  const id = await networkId(looked[0]!);
  const steps: Step[] = [{ endpoints: 0, rate: 0, seen: looked.map(see), stalls: [0, 0] }];
  for (let part = 1; part <= parts; part++) {
    progress.show(`endpoints: fifth ${part}`);
    const [from, to] = [part - 1, part].map((count) => Math.round((endpoints * count) / parts)) as [number, number];
    const watches = looked.map((host) => new StallWatch(host));
    const begun = performance.now();
    await paper.call({ kind: "claim", network: id, from, to });
    const rate = (to - from) / ((performance.now() - begun) / 1000);
    for (const host of looked) await until(async () => (await known(host)) === to + 1, { what: "all are known" });
    await until(async () => (await neighbours(looked[0]!)) >= to, { what: "the kernel knows all" });
    const stalls = await Promise.all(watches.map((watch) => watch.stop()));
    await pause(rest);
    steps.push({ endpoints: to, rate, seen: looked.map(see), stalls });
  }
  return {
    rows: sides.flatMap((side, index) => [
      growthRow(`${side}: memory, the last fifth of ${endpoints} endpoints beside the second`, steps, index, memoryOf),
      growthRow("… CPU time", steps, index, ({ cpu }) => cpu),
      growthRow("… what it is sent", steps, index, ({ bytes }) => bytes),
    ]),
    tables: sides.map((side, index) => table(side, steps, index)),
    data: { endpoints: steps },
  };
}

const memoryOf = ({ daemon, dns }: Seen) => daemon + dns;

/** Asks a daemon over and over, and keeps the longest time that it took. */
class StallWatch {
  #isOver = false;
  readonly #done: Promise<number>;

  constructor(private readonly watched: PontoonHost) {
    this.#done = this.#watch();
    this.#done.catch(() => undefined); // of a run that has failed
  }

  async #watch(): Promise<number> {
    let longest = 0;
    while (!this.#isOver) {
      const asked = performance.now();
      await requestUnix(this.watched.host.path("/run/pontoon/control.sock"), "/v1/networks");
      longest = Math.max(longest, performance.now() - asked);
      await pause(pace);
    }
    return longest;
  }

  stop(): Promise<number> {
    this.#isOver = true;
    return this.#done;
  }
}

async function networkId({ pontoon }: PontoonHost): Promise<string> {
  const { body } = await pontoon.get(`/v1/networks?name=${network}`);
  return (JSON.parse(body) as [{ Id: string }])[0].Id;
}

/** Endpoints that a host knows of. */
async function known({ pontoon }: PontoonHost): Promise<number> {
  const { cluster } = (await pontoon.status()) as { cluster?: { endpoints: number } };
  return cluster?.endpoints ?? 0;
}

/** Endpoints of other hosts that the kernel was told of. */
async function neighbours({ host }: PontoonHost): Promise<number> {
  return Number((await host.exec(["sh", "-c", "ip neigh show nud permanent | wc -l"])).stdout);
}

function growthRow(what: string, steps: readonly Step[], side: number, figureOf: (seen: Seen) => number) {
  const grown = (step: number) => figureOf(steps[step]!.seen[side]!) - figureOf(steps[step - 1]!.seen[side]!);
  return figureRow(what, grown(parts) / grown(2), "", linearGoal);
}

function table(side: string, steps: readonly Step[], index: number): string {
  const first = steps[0]!.seen[index]!;
  const lines = steps.map(({ endpoints, rate, seen, stalls }) => {
    const { daemon, dns, cpu, packets, bytes } = seen[index]!;
    return [
      String(endpoints),
      `${rate.toFixed(0)}/s`,
      `${(daemon / 1e6).toFixed(1)} MB`,
      `${(dns / 1e6).toFixed(1)} MB`,
      `${(cpu - first.cpu).toFixed(2)} s`,
      String(packets - first.packets),
      `${((bytes - first.bytes) / 1e6).toFixed(2)} MB`,
      `${stalls[index]!.toFixed(0)} ms`,
    ];
  });
  const title = ["ENDPOINTS", "MADE", "DAEMON", "DNS", "CPU SO FAR", "PACKETS", "", "LONGEST ANSWER"];
  return `A host ${side}:\n${aligned([title, ...lines])}`;
}
