import { setTimeout as pause } from "node:timers/promises";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { median } from "../lib/statistics.js";
import { controlPost } from "./control.js";
import type { GapsReply, GapsRequest } from "./gaps-child.js";
import { childProgram, startHost } from "./host.js";
import type { NetworkOptions } from "./options.js";

const goal = { kind: "at most", value: 1000, unit: "ms" } as const;
const port = 5353;
/** Until whoever mends has long done so, ms. */
const settling = 2000;

/** What somebody does to the host's rules; afterwards pontoon's published ports are to work as before. */
const deeds = [
  { name: "somebody flushes the ruleset", rules: "flush ruleset" },
  {
    name: "… and loads rules that drop what is forwarded",
    rules:
      "flush ruleset\ntable inet somebody {\n chain forward {\n type filter hook forward priority 0; policy drop;\n }\n}\n",
  },
] as const;

/** Sends from another host to a published port, each datagram a connection of its own for the kernel's rules. */
export async function measureFlush({ options, progress, undo }: Bench<NetworkOptions>): Promise<Outcome> {
  const { host, outside } = await startHost(undo);
  const post = controlPost(host);
  await post("/v1/networks", { name: "bench", subnets: ["10.94.0.0/24"] });
  await post("/v1/sandboxes", { name: "server", networks: ["bench"] });
  await post("/v1/ports/publish", { container: "server", specs: [`${port}:${port}/udp`] });
  await host
    .helper<GapsRequest, GapsReply>(childProgram("gaps-child.js"), "/run/netns/server")
    .call({ do: "echo", port });
  await outside.exec(["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=1024 65535"]);
  const sender = outside.helper<GapsRequest, GapsReply>(childProgram("gaps-child.js"));
  const gapWhile = async (deed: () => Promise<unknown>) => {
    await sender.call({ do: "send", address: outside.hostAddress, port });
    await pause(settling / 4);
    await deed();
    await pause(settling);
    return sender.call({ do: "stop" });
  };
  const quiet = await gapWhile(() => Promise.resolve());
  const rounds = new Map<string, GapsReply[]>(deeds.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round++)
    for (const { name, rules } of deeds) {
      progress.show(`${name}: round ${round + 1} of ${options.rounds}`);
      rounds.get(name)!.push(await gapWhile(() => host.exec(["nft", "-f", "-"], { input: rules })));
    }
  return {
    rows: [...rounds].map(([name, turns]) => {
      const gaps = turns.map(({ longest }) => longest);
      const range = `median ${median(gaps).toFixed(1)}, quiet ${quiet.longest.toFixed(1)}`;
      return figureRow(`${name}, longest gap`, Math.max(...gaps), range, goal);
    }),
    tables: [],
    data: { flush: { quiet, ...Object.fromEntries(rounds) } },
  };
}
