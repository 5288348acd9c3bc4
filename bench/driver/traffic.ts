import type { Container } from "../../integration/lab/index.js";
import type { Undo } from "../lib/cleanup.js";
import { printRate, ratioRow } from "../lib/goals.js";
import { together, type Bench, type Outcome } from "../lib/measure.js";
import { takeTurns } from "../lib/rounds.js";
import { bulkLoad, httpLoad, printGigabits, type Run } from "../network/loads.js";
import type { TargetPorts } from "../proxy/target-child.js";
import { bridge, childProgram, network, startContenders, type Contender } from "./host.js";
import type { DriverOptions } from "./options.js";

const goal = { kind: "at least", value: 1, unit: "×" } as const;
/** Of the server; all but the last are published under the same numbers. */
const ports: TargetPorts = { requests: 8080, connections: 8081, bulk: 5201, dns: 5300 };
const published = [ports.requests, ports.connections, ports.bulk];

/** A container that serves, and one beside it. */
interface Site extends Contender {
  readonly server: Container;
  readonly client: Container;
}

type Load = (site: Site, seconds: number) => Promise<number>;

const trials: readonly { title: string; load: Load; print: (figure: number) => string }[] = [
  { title: "TCP between two containers", load: bulkBetween, print: printGigabits },
  { title: "TCP from another host through a published port", load: bulkFromOutside, print: printGigabits },
  { title: "… requests/s", load: requests(ports.requests), print: printRate },
  { title: "… connections/s", load: requests(ports.connections), print: printRate },
];

/** Sends from one container to another, and from another host to published ports. */
export async function measureTraffic({ options, progress, undo }: Bench<DriverOptions>): Promise<Outcome> {
  progress.show("two Docker hosts with two containers each");
  const sites = await startSites(undo);
  const outcomes: Outcome[] = [];
  for (const { title, load, print } of trials) {
    for (const site of sites) await load(site, 1); // warms up
    const rounds = await takeTurns(sites, (site) => load(site, options.seconds), {
      rounds: options.rounds,
      onTurn: (name, round) => progress.show(`${title}: round ${round + 1} of ${options.rounds}, ${name}`),
    });
    const row = ratioRow(rounds, title, bridge, goal, (figure) => figure, print);
    outcomes.push({ rows: [row], tables: [], data: { [title]: Object.fromEntries(rounds) } });
  }
  return together(outcomes);
}

async function startSites(undo: Undo): Promise<Site[]> {
  const sites: Site[] = [];
  for (const contender of await startContenders(undo)) sites.push(await furnish(contender));
  return sites;
}

async function furnish(contender: Contender): Promise<Site> {
  const { host, outside } = contender;
  const options = published.map((port) => `--publish=${port}:${port}`);
  const server = await host.container({ name: "server", networks: [network], options });
  const client = await host.container({ name: "client", networks: [network] });
  const netns = `/proc/${await server.pid()}/ns/net`;
  await host.helper<TargetPorts, object>(childProgram("../proxy/target-child.js"), netns).call(ports);
  // Each connection takes a port for a while.
  await outside.exec(["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=10000 65535"]);
  return { ...contender, server, client };
}

async function bulkBetween(site: Site, seconds: number): Promise<number> {
  return bulk(site, within(site, site.client), await site.server.ip(network), seconds);
}

function bulkFromOutside(site: Site, seconds: number): Promise<number> {
  return bulk(site, fromOutside(site), site.outside.hostAddress, seconds);
}

function bulk(site: Site, client: Run, address: string, seconds: number): Promise<number> {
  const server = within(site, site.server);
  return bulkLoad({ client, server, serverPort: ports.bulk, address, port: ports.bulk }, seconds);
}

function requests(port: number): Load {
  return (site, seconds) => httpLoad(fromOutside(site), `http://${site.outside.hostAddress}:${port}/`, seconds);
}

function within({ host }: Site, container: Container): Run {
  return (argv, options) => host.exec(argv, { ...options, netns: container });
}

function fromOutside({ outside }: Site): Run {
  return (argv, options) => outside.exec(argv, options);
}
