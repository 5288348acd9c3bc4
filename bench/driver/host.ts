import { fileURLToPath } from "node:url";
import { DockerHost, type Outside, type Pontoon } from "../../integration/lab/index.js";
import { resolvConf } from "../dns/upstream.js";
import type { Undo } from "../lib/cleanup.js";

/** The network of each contender. */
export const network = "bench";
/** Whom pontoon is compared with, in tables. */
export const bridge = "bridge";
/** Of a container that stays on the network all the time, published. */
const portThatStays = 19_999;

/** What pontoon's side creates its network with. Another driver than its own is for work on the benchmark itself. */
const driverOfPontoon = process.env["PONTOON_BENCH_DRIVER"] ?? "pontoon";

/** An unmodified dockerd with a network of one driver or the other, and another host beyond its default route. */
export interface Contender {
  readonly name: "pontoon" | typeof bridge;
  readonly host: DockerHost;
  readonly outside: Outside;
  /** Of those without it, none. */
  readonly pontoon?: Pontoon;
}

/** A helper program of this folder, in its built form. */
export const childProgram = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** A host for each: pontoon's has its daemon, which answers names there as well; the other has nothing but Docker. */
export async function startContenders(undo: Undo): Promise<readonly [Contender, Contender]> {
  const [ours, theirs] = [await startHost(undo), await startHost(undo)];
  const pontoon = await ours.host.pontoon();
  await makeNetwork(ours.host, driverOfPontoon);
  await makeNetwork(theirs.host, "bridge");
  return [
    { name: "pontoon", ...ours, pontoon },
    { name: bridge, ...theirs },
  ];
}

async function startHost(undo: Undo): Promise<{ host: DockerHost; outside: Outside }> {
  const host = await DockerHost.start(undo, { resolvConf });
  const outside = await host.outside();
  await outside.dns();
  return { host, outside };
}

/** With a container that stays there: what comes with the first one, and with the first published port, is there. */
async function makeNetwork(host: DockerHost, driver: string): Promise<void> {
  await host.docker("network", "create", "--driver", driver, network);
  await host.container({ name: "stays", networks: [network], options: [`--publish=${portThatStays}:80`] });
}
