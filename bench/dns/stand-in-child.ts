// Stands in for the daemon where there cannot be as many containers as wanted: everything from the inventory to
// pontoon-dns is the daemon's own code, but the inventory is filled here, not from a dockerd.
import { mkdirSync } from "node:fs";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { until } from "../../integration/lab/until.js";
import { Inventory } from "../../src/inventory/inventory.js";
import { sandboxSources } from "../../src/inventory/types.js";
import { NodePoller } from "../../linux/node-poller.js";
import { goAhead, raiseDescriptorLimit } from "../../linux/privileges.js";
import { createLog } from "../../src/log.js";
import { DnsController } from "../../src/names/controller.js";
import { version } from "../../src/version.js";
import { Churn } from "./churn.js";
import { Namespaces } from "./namespaces.js";
import { madeContainer, madeNetwork, type Made } from "./stand-in-inventory.js";

export type StandInRequest =
  | { readonly do: "start"; readonly runDir: string }
  /** Adds networks, and a container for each entry. */
  | { readonly do: "fill"; readonly networks: number; readonly containers: readonly Made[] }
  /** Adds containers with namespaces of their own on that network and the next ones; each asks for its neighbours. */
  | { readonly do: "serve"; readonly first: number; readonly count: number; readonly network: number }
  /** Starts and ends containers from now on, on these networks in turn. */
  | {
      readonly do: "churn";
      readonly startsPerSecond: number;
      readonly secondsAtMost: number;
      readonly networks: readonly number[];
    }
  | { readonly do: "still" }
  | { readonly do: "stop" };

export interface StandInReply {
  /** Process id of pontoon-dns; 0 before the start. */
  readonly server: number;
  /** Bytes it holds in memory. */
  readonly residentMemory: number;
  /** Containers started by the churn so far. */
  readonly started: number;
}

/** Containers on one network, of those that are served. */
const neighbours = 20;

const poller = new NodePoller();
const inventory = new Inventory();
const namespaces = new Namespaces();
let dns: DnsController | undefined;
let churn: Churn | undefined;
let started = 0;

answerRequests(async (request: StandInRequest): Promise<StandInReply> => {
  switch (request.do) {
    case "start":
      await start(request.runDir);
      break;
    case "fill":
      for (let number = 0; number < request.networks; number++)
        inventory.source("docker").putNetwork(madeNetwork(number));
      for (const made of request.containers) inventory.source("docker").putContainer(madeContainer(made));
      await ready();
      break;
    case "serve":
      await serve(request);
      break;
    case "churn":
      churn = new Churn(
        inventory,
        role(),
        await namespaces.make(request.startsPerSecond * request.secondsAtMost),
        (place) => namespaces.end(place),
        request,
      );
      break;
    case "still":
      started += (await churn?.stop()) ?? 0;
      churn = undefined;
      break;
    case "stop":
      await dns?.stop();
      namespaces.endAll();
      poller.stop();
  }
  return reply();
});

async function start(runDir: string): Promise<void> {
  mkdirSync(runDir, { recursive: true });
  goAhead(-5); // as the daemon does
  raiseDescriptorLimit();
  poller.start();
  const outside = { upstreams: [], forwardSingleLabels: true, search: [] };
  const options = {
    runDir,
    version,
    defaultTtl: 10,
    orphanAfter: 60,
    queryLog: false,
    cacheSize: 32_000_000,
    patience: 2000,
    sharesAnswers: false,
    singleLabel: "forward",
    takeOver: true,
  } as const;
  dns = new DnsController(poller.poller, inventory, () => Promise.resolve(outside), options, createLog("warn").logger);
  dns.setGap({ everywhere: false, networks: [] });
  dns.start();
  for (const source of sandboxSources) await dns.mayTakeOver(source);
  await ready();
}

/** Every namespace is answered, and the server has the whole table. */
async function ready(): Promise<void> {
  const { failures } = role().takeovers;
  await new Promise((resolve) => setImmediate(resolve));
  await until(() => role().isReady, {
    timeoutMs: 30_000,
    what: `everything is answered; pontoon-dns is ${role().server.kind}`,
  });
  for (const { reason } of failures.values()) throw new Error(`a namespace cannot be taken over: ${reason}`);
}

async function serve({ first, count, network }: StandInRequest & { do: "serve" }): Promise<void> {
  const places = await namespaces.make(count);
  const made = places.map((sandbox, index) => ({
    name: `served${first + index}`,
    number: first + index,
    networks: [network + Math.floor(index / neighbours)],
    sandbox,
  }));
  for (const each of made) inventory.source("docker").putContainer(madeContainer(each));
  await ready();
  for (const { sandbox, networks } of made)
    await namespaces.ask(
      sandbox,
      made.filter((other) => other.networks[0] === networks[0]).map(({ name }) => name),
    );
}

function role(): DnsController {
  if (!dns) throw new Error("not started");
  return dns;
}

async function reply(): Promise<StandInReply> {
  const server = dns?.server.kind === "running" ? dns.server.pid : 0;
  const report = server > 0 ? (await role().state()).report : undefined;
  return { server, residentMemory: report?.residentMemory ?? 0, started: started + (churn?.started ?? 0) };
}
