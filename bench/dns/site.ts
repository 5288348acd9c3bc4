import type { Container, DockerHost } from "../../integration/lab/index.js";
import { questionLines, questionsFor, type Named, type QuestionSet } from "./questions.js";
import { startUpstream, upstreamNames } from "./upstream.js";

const membersOnNetwork = 20;
const names = [
  "api",
  "auth",
  "cache",
  "cart",
  "db",
  "gateway",
  "grafana",
  "images",
  "jobs",
  "kafka",
  "mail",
  "metrics",
  "orders",
  "proxy",
  "queue",
  "search",
  "sessions",
  "users",
  "web",
  "worker",
];
const network = "app";

/** A container whose name is asked for. */
export interface Member extends Named {
  readonly id: string;
}

/** A host with one network of containers, and two that ask: one whose resolver is pontoon's, one that keeps Docker's. */
export interface Site {
  readonly host: DockerHost;
  readonly network: string;
  readonly members: readonly Member[];
  readonly client: Container;
  readonly plainClient: Container;
  /** On Docker's default bridge: its namespace has neither a resolver nor any NAT rules. */
  readonly bareClient: Container;
  /** The names of the members. */
  readonly local: QuestionSet;
  /** Names that only the host's upstream knows. */
  readonly outside: QuestionSet;
}

/** Fills a host. Its resolv.conf must name the upstream. */
export async function buildSite(host: DockerHost): Promise<Site> {
  const outside = await host.outside();
  await startUpstream(host, outside);
  await host.network(network, { subnet: "172.30.0.0/16", ipv6: "fd00:30::/64" });
  const client = await host.container({ name: "client", networks: [network] });
  const plainClient = await host.container({
    name: "plain-client",
    networks: [network],
    options: ["--label=pontoon.dns=off"],
  });
  const bareClient = await host.container({ name: "bare-client" });
  const containers = [client, plainClient];
  for (const name of names.slice(0, membersOnNetwork - containers.length))
    containers.push(await host.container({ name, networks: [network] }));
  const members = await Promise.all(containers.map((container) => memberOf(container)));
  const local = writeQuestions(host, "local", members);
  return {
    host,
    network,
    members,
    client,
    plainClient: plainClient,
    bareClient: bareClient,
    local,
    outside: writeQuestions(host, "outside", upstreamNames),
  };
}

function writeQuestions(host: DockerHost, called: string, named: readonly Named[]): QuestionSet {
  const file = `/run/bench/questions/${called}`;
  const questions = questionsFor(named);
  host.writeFile(file, questionLines(questions));
  return { questions, file };
}

async function memberOf(container: Container): Promise<Member> {
  const { Id, Name, NetworkSettings } = await container.inspect();
  const endpoint = NetworkSettings.Networks[network]!;
  return { id: Id, name: Name.slice(1), ip: endpoint.IPAddress, ip6: endpoint.GlobalIPv6Address };
}
