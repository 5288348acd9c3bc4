import { readdirSync } from "node:fs";
import { until, type BareHost, type Pontoon } from "../../integration/lab/index.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns } from "../lib/rounds.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import { residentMemory } from "../proxy/process.js";
import { fewRounds, medianRow } from "./figures.js";
import { startHost } from "./host.js";
import type { NetworkOptions } from "./options.js";

const goal = { kind: "at most", value: 3, unit: "s" } as const;

/** Links into one group, so that the kernel removes them at once. */
const loseLinks = `
for link in $(ls /sys/class/net); do
  case $link in lo|outside) ;; *) echo "link set $link group 77" ;; esac
done | ip -batch -
ip link delete group 77
`;
const loseNamespaces = `
for name in $(ls /run/netns); do umount /run/netns/$name; rm /run/netns/$name; done
`;

/** What has been lost when the daemon starts: whether its servers have been killed with it, and what takes more away. */
const losses = [
  { name: "nothing", servers: false, script: "" },
  { name: "its servers", servers: true, script: "" },
  { name: "every link", servers: false, script: loseLinks },
  { name: "everything, as by a reboot", servers: true, script: `${loseNamespaces}${loseLinks}nft flush ruleset` },
] as const;

/** How often the daemon is asked whether it is ready, ms: with 1,000 sandboxes its status costs it 20 ms. */
const askedEvery = 200;

/** What is on a host when all is as it should be. */
interface Marks {
  readonly bridges: number;
  /** Host ends of endpoints. */
  readonly ends: number;
  readonly namespaces: number;
}

interface Start {
  /** Seconds from the start of the daemon's process until every namespace and link is there. */
  readonly whole: number;
  /** … until it is ready as well: every sandbox has its resolver. */
  readonly ready: number;
}

/** Bytes of resident memory. */
interface Memory {
  readonly daemon: number;
  readonly dns: number;
  readonly proxy: number;
}

/** Kills the daemon with its servers, takes away what it had made, and starts it again. */
export async function measureStart({ options, progress, undo }: Bench<NetworkOptions>): Promise<Outcome> {
  const { networks, sandboxes } = options;
  const { host, many, ...started } = await startHost(undo);
  let { pontoon } = started;
  const before = memoryOf(host, pontoon);
  progress.show(`${networks} networks and ${sandboxes} sandboxes`);
  await many.call({ do: "furnish", networks, sandboxes });
  await many.release();
  const [memory, wanted] = [memoryOf(host, pontoon), marksOf(host)];
  const count = fewRounds(options.rounds);
  const rounds = await takeTurns(
    losses,
    async ({ servers, script }): Promise<Start> => {
      await (servers ? pontoon.killEverything() : pontoon.kill());
      await host.exec(["sh", "-ec", script], { timeoutMs: 120_000 });
      await until(() => script === "" || marksOf(host).ends === 0, { timeoutMs: 60_000, what: "the links are gone" });
      const begun = performance.now();
      pontoon = await host.pontoon({ readyMs: 120_000, untilReady: false });
      await until(() => isWhole(marksOf(host), wanted), { timeoutMs: 120_000, what: "everything is there again" });
      const whole = performance.now();
      await pontoon.waitUntil((status) => status["ready"] === true, { timeoutMs: 120_000, everyMs: askedEvery });
      return { whole: (whole - begun) / 1000, ready: (performance.now() - begun) / 1000 };
    },
    {
      rounds: count,
      onTurn: (name, round) => progress.show(`starting: round ${round + 1} of ${count}, lost: ${name}`),
    },
  );
  progress.show("starting: ending it all");
  return {
    rows: [...rounds].map(([name, starts]) =>
      medianRow(
        `start with ${networks} networks, ${sandboxes} endpoints; lost: ${name}`,
        starts.map(({ ready }) => ready),
        goal,
      ),
    ),
    tables: [
      startsTable(rounds),
      memoryTable([
        ["nothing", before],
        [`${networks} networks, ${sandboxes} sandboxes`, memory],
      ]),
    ],
    data: { start: Object.fromEntries(rounds), memory: { before, after: memory } },
  };
}

function startsTable(rounds: ReadonlyMap<string, readonly Start[]>): string {
  const lines = [...rounds].map(([name, starts]) => [
    name,
    ...[starts.map(({ whole }) => whole), starts.map(({ ready }) => ready)].map(
      (values) => `${median(values).toFixed(2)} s`,
    ),
  ]);
  return aligned([["LOST", "ALL LINKS THERE", "READY"], ...lines]);
}

function memoryTable(states: readonly (readonly [string, Memory])[]): string {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const lines = states.map(([name, { daemon, dns, proxy }]) => [name, ...[daemon, dns, proxy].map(megabytes)]);
  return aligned([["RESIDENT MEMORY", "DAEMON", "PONTOON-DNS", "PONTOON-PROXY"], ...lines]);
}

function memoryOf(host: BareHost, pontoon: Pontoon): Memory {
  const sum = (pids: readonly number[]) => pids.reduce((all, pid) => all + residentMemory(host, pid), 0);
  return {
    daemon: sum([pontoon.pid]),
    dns: sum(pontoon.processes("pontoon-dns")),
    proxy: sum(pontoon.processes("pontoon-proxy")),
  };
}

function marksOf(host: BareHost): Marks {
  const links = readdirSync(host.path("/sys/class/net"));
  const ends = links.filter((link) => link.startsWith("ptv")).length;
  return {
    ends,
    bridges: links.filter((link) => !link.startsWith("ptv")).length,
    namespaces: readdirSync(host.path("/run/netns")).length,
  };
}

function isWhole(marks: Marks, wanted: Marks): boolean {
  return (Object.keys(wanted) as (keyof Marks)[]).every((mark) => marks[mark] === wanted[mark]);
}
