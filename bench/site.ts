import type { Container, DockerHost } from "../integration/host/index.js";

const membersOnNetwork = 20;
const names = ["api", "auth", "cache", "cart", "db", "gateway", "grafana", "images", "jobs", "kafka", "mail", "metrics", "orders", "proxy", "queue", "search", "sessions", "users", "web", "worker"];
/** Of ten questions. No PTR: aardvark-dns 1.4 answers it and then forwards it all the same, which would flatter the others. */
const typesOfTen = { A: 7, AAAA: 3 };
const queryFile = "/run/bench/queries";
const network = "app";

/** A container whose name is asked for. */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly ip: string;
  readonly ip6: string;
}

/** A question, and the data its answer must hold. */
export interface Question {
  readonly name: string;
  readonly type: string;
  readonly expected: string;
}

/** A host with one network of containers, and two that ask: one whose resolver is pontoon's, one that keeps Docker's. */
export interface Site {
  readonly host: DockerHost;
  readonly network: string;
  readonly members: readonly Member[];
  readonly asker: Container;
  readonly plainAsker: Container;
  /** On Docker's default bridge: its namespace has neither a resolver nor any NAT rules. */
  readonly bareAsker: Container;
  readonly questions: readonly Question[];
  /** The questions as dnsperf reads them, a path inside the host. */
  readonly queryFile: string;
}

/** Fills a host. */
export async function buildSite(host: DockerHost): Promise<Site> {
  await host.network(network, { subnet: "172.30.0.0/16", ipv6: "fd00:30::/64" });
  const asker = await host.container({ name: "asker", networks: [network] });
  const plainAsker = await host.container({ name: "plain-asker", networks: [network], options: ["--label=pontoon.dns=off"] });
  const bareAsker = await host.container({ name: "bare-asker" });
  const containers = [asker, plainAsker];
  for (const name of names.slice(0, membersOnNetwork - containers.length)) containers.push(await host.container({ name, networks: [network] }));
  const members = await Promise.all(containers.map((container) => memberOf(container)));
  const questions = questionsOn(members);
  host.writeFile(queryFile, questions.map(({ name, type }) => `${name} ${type}\n`).join(""));
  return { host, network, members, asker, plainAsker, bareAsker, questions, queryFile };
}

async function memberOf(container: Container): Promise<Member> {
  const { Id, Name, NetworkSettings } = await container.inspect();
  const endpoint = NetworkSettings.Networks[network]!;
  return { id: Id, name: Name.slice(1), ip: endpoint.IPAddress, ip6: endpoint.GlobalIPv6Address };
}

/** Every member in turn is asked for with each type as often as that type's share says. */
function questionsOn(members: readonly Member[]): Question[] {
  const types = Object.entries(typesOfTen).flatMap(([type, count]) => Array.from({ length: count }, () => type));
  // Each type goes on where it was with another member, so that neighbours in the list differ in both.
  return types.flatMap((_, step) => members.map((member, index) => questionFor(member, types[(step + index) % types.length]!)));
}

function questionFor({ name, ip, ip6 }: Member, type: string): Question {
  return { name, type, expected: type === "A" ? ip : ip6 };
}
