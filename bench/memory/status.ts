import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { repositoryRoot } from "../../integration/lab/root.js";
import { ratioRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import type { CommandsReply, CommandsRequest } from "./commands-child.js";
import { deployPontoon } from "./deployment.js";
import type { MemoryOptions } from "./options.js";

const goal = { kind: "at most", value: 1.8, unit: "×" } as const;
const bare = "node -e 0";

/** Times `pontoon status` beside a Node that does nothing. */
export async function measureStatus({ options, progress, undo }: Bench<MemoryOptions>): Promise<Outcome> {
  progress.show("pontoon status");
  const { host, pontoon } = await deployPontoon(undo, options.containers);
  const child = host.helper<CommandsRequest, CommandsReply>(
    fileURLToPath(new URL("commands-child.js", import.meta.url)),
  );
  const node = process.execPath;
  const [status = [], nothing = []] = await child.call({
    turns: options.commands,
    commands: [
      [node, join(repositoryRoot, "bin", "pontoon"), "status", "--run-dir=/run/pontoon"],
      [node, "-e", "0"],
    ],
  });
  await child.release();
  await pontoon.stop();
  const rounds = new Map([
    ["pontoon", status],
    [bare, nothing],
  ]);
  const row = ratioRow(
    rounds,
    "pontoon status",
    bare,
    goal,
    (ms) => ms,
    (ms) => `${ms.toFixed(0)} ms`,
  );
  return { rows: [row], tables: [], data: { status: Object.fromEntries(rounds) } };
}
