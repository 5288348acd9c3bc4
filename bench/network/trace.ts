import type { Bench, Outcome } from "../lib/measure.js";
import { medianRow } from "./figures.js";
import { startHost } from "./host.js";
import type { NetworkOptions } from "./options.js";

const goal = { kind: "at most", value: 300, unit: "ms" } as const;
const furnished = { networks: 4, sandboxes: 40 };
/** On one network: they are put on networks in turn. */
const [from, to] = ["s0", "s4"];

/** Asks `pontoon trace`, as it is typed, for the way between two sandboxes of one network. */
export async function measureTrace({ options, progress, undo }: Bench<NetworkOptions>): Promise<Outcome> {
  const { many, pontoon } = await startHost(undo);
  await many.call({ do: "furnish", ...furnished });
  await pontoon.cli("sandbox", "exec", to, "busybox", "httpd", "-p", "80");
  const times: number[] = [];
  for (let round = 0; round < options.rounds * options.times; round++) {
    progress.show(`trace ${round + 1} of ${options.rounds * options.times}`);
    const begun = performance.now();
    const { stdout, stderr } = await pontoon.cli("trace", from, `${to}:80`);
    times.push(performance.now() - begun);
    if (!/^It arrives: /mu.test(stdout)) throw new Error(`it does not arrive: ${stdout}${stderr}`);
  }
  return {
    rows: [medianRow("pontoon trace between two sandboxes", times, goal)],
    tables: [],
    data: { trace: times },
  };
}
