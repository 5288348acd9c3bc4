import { join } from "node:path";
import { DockerHost } from "../../integration/lab/index.js";
import { repositoryRoot } from "../../integration/lab/root.js";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { median } from "../lib/statistics.js";
import type { ProxyOptions } from "./options.js";
import type { PublishReply, PublishRequest } from "./publish-child.js";
import { childProgram } from "./sides.js";

const goal = { kind: "at most", value: 1, unit: "s" } as const;
const firstPort = 20_000;

/** Publishes a range of ports of a container that runs, until the last of them answers. */
export async function measurePublish({ options, progress, undo }: Bench<ProxyOptions>): Promise<Outcome> {
  const { range, rounds: count } = options;
  progress.show("a Docker host");
  const host = await DockerHost.start(undo);
  const pontoon = await host.pontoon();
  const lastPort = firstPort + range - 1;
  const ports = `${firstPort}-${lastPort}`;
  await host.container({ name: "published", command: ["nc", "-ll", "-p", String(lastPort), "-e", "cat"] });
  const client = host.helper<PublishRequest, PublishReply>(childProgram("publish-child.js"));
  const command = [
    process.execPath,
    join(repositoryRoot, "bin", "pontoon"),
    "publish",
    "published",
    `${ports}:${ports}`,
  ];
  const rounds: PublishReply[] = [];
  for (let round = 0; round < count; round++) {
    progress.show(`pontoon publish: round ${round + 1} of ${count}`);
    rounds.push(await client.call({ command, lastPort }));
    const { exitCode, stderr } = await pontoon.cli("unpublish", "published");
    if (exitCode !== 0) throw new Error(`pontoon unpublish: ${stderr}`);
  }
  const seconds = rounds.map(({ answered }) => answered / 1000);
  const spread = `${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)}`;
  return {
    rows: [figureRow(`pontoon publish of ${range} ports until the last answers`, median(seconds), spread, goal)],
    tables: [],
    data: { publish: rounds },
  };
}
