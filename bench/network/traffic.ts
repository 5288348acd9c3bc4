import { BareHost, type Outside } from "../../integration/lab/index.js";
import type { Undo } from "../lib/cleanup.js";
import { printRate, ratioRow } from "../lib/goals.js";
import { together, type Bench, type Outcome } from "../lib/measure.js";
import { takeTurns } from "../lib/rounds.js";
import type { TargetPorts } from "../proxy/target-child.js";
import { childProgram, startHost } from "./host.js";
import { bulkLoad, httpLoad, printGigabits, type Run } from "./loads.js";
import type { NetworkOptions } from "./options.js";
import { controlPost } from "./control.js";

const byHand = "by hand";
const goal = { kind: "at least", value: 0.95, unit: "×" } as const;
const ports: TargetPorts = { requests: 80, connections: 81, bulk: 5201, dns: 53 };
const published = [ports.bulk, ports.connections];

/** A host with two namespaces on a bridge, `server`, whose ports are published, and `client`; and another host. */
interface Contender {
  readonly name: "pontoon" | typeof byHand;
  readonly host: BareHost;
  readonly outside: Outside;
  /** Of `server`. */
  readonly address: string;
}

/** As everybody knows it: a bridge, two veth pairs, and one rule. */
const handMade = `
ip link add br0 type bridge
ip addr add 10.94.0.1/24 dev br0
ip link set br0 up
last=2
for name in server client; do
  ip netns add $name
  ip link add v-$name type veth peer name eth0 netns $name
  ip link set v-$name master br0 up
  ip -n $name link set lo up
  ip -n $name addr add 10.94.0.$last/24 dev eth0
  ip -n $name link set eth0 up
  ip -n $name route add default via 10.94.0.1
  last=3
done
echo 1 >/proc/sys/net/ipv4/ip_forward
nft add table ip nat
nft 'add chain ip nat prerouting { type nat hook prerouting priority dstnat; }'
nft add rule ip nat prerouting iifname outside tcp dport '{' ${published.join(", ")} '}' dnat to 10.94.0.2
`;

type Load = (contender: Contender, seconds: number) => Promise<number>;

const trials: readonly { title: string; load: Load; print: (figure: number) => string }[] = [
  { title: "TCP between two sandboxes", load: bulk("client"), print: printGigabits },
  { title: "TCP from another host through a published port", load: bulk("outside"), print: printGigabits },
  { title: "… connections/s", load: connections, print: printRate },
];

/** Sends through pontoon's bridge and published ports, and through hand-made ones on a host of their own, in turn. */
export async function measureTraffic({ options, progress, undo }: Bench<NetworkOptions>): Promise<Outcome> {
  progress.show("two hosts with two sandboxes each");
  const contenders = [await pontoonHost(undo), await handMadeHost(undo)];
  for (const contender of contenders) await serve(contender);
  const outcomes: Outcome[] = [];
  for (const { title, load, print } of trials) {
    for (const contender of contenders) await load(contender, 1); // warms up
    const rounds = await takeTurns(contenders, (contender) => load(contender, options.seconds), {
      rounds: options.rounds,
      onTurn: (name, round) => progress.show(`${title}: round ${round + 1} of ${options.rounds}, ${name}`),
    });
    const row = ratioRow(rounds, title, byHand, goal, (figure) => figure, print);
    outcomes.push({ rows: [row], tables: [], data: { [title]: Object.fromEntries(rounds) } });
  }
  return together(outcomes);
}

async function pontoonHost(undo: Undo): Promise<Contender> {
  const { host, outside, pontoon, many } = await startHost(undo);
  const post = controlPost(host);
  await post("/v1/networks", { name: "bench", subnets: ["10.94.0.0/24"] });
  for (const [index, name] of ["server", "client"].entries())
    await post("/v1/sandboxes", { name, networks: ["bench"], ips: [`10.94.0.${index + 2}`] });
  await post("/v1/ports/publish", { container: "server", specs: published.map((port) => `${port}:${port}`) });
  await many.release();
  const { body } = await pontoon.get("/v1/ports");
  const rows = JSON.parse(body) as { ip: string; path?: string }[];
  if (rows.some(({ ip, path }) => ip === "0.0.0.0" && path !== "kernel"))
    throw new Error(`the kernel does not forward all ports: ${body}`);
  return { name: "pontoon", host, outside, address: "10.94.0.2" };
}

async function handMadeHost(undo: Undo): Promise<Contender> {
  const host = await BareHost.start(undo);
  const outside = await host.outside();
  await host.exec(["sh", "-ec", handMade]);
  return { name: byHand, host, outside, address: "10.94.0.2" };
}

async function serve({ host, outside }: Contender): Promise<void> {
  await host.helper<TargetPorts, object>(childProgram("../proxy/target-child.js"), "/run/netns/server").call(ports);
  // Each connection takes a port for a while.
  await outside.exec(["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=10000 65535"]);
}

function bulk(from: "client" | "outside"): Load {
  return ({ host, outside, address }, seconds) => {
    const within =
      (name: string): Run =>
      (argv, options) =>
        host.exec(inNamespace(name, argv), options);
    const client: Run = from === "client" ? within("client") : (argv, options) => outside.exec(argv, options);
    const to = from === "client" ? address : outside.hostAddress;
    const { bulk: port } = ports;
    return bulkLoad({ client, server: within("server"), serverPort: port, address: to, port }, seconds);
  };
}

/** Each connection closed by the target after one answer. */
function connections({ outside }: Contender, seconds: number): Promise<number> {
  const url = `http://${outside.hostAddress}:${ports.connections}/`;
  return httpLoad((argv, options) => outside.exec(argv, options), url, seconds);
}

function inNamespace(name: string, argv: readonly string[]): string[] {
  return ["nsenter", `--net=/run/netns/${name}`, "--", ...argv];
}
