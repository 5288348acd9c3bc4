// Runs in a host: times commands, which take turns.
import { spawnSync } from "node:child_process";
import { answerRequests } from "../../integration/lab/helper-child.js";

export interface CommandsRequest {
  readonly turns: number;
  readonly commands: readonly (readonly string[])[];
}

/** Milliseconds of each turn, for each command. */
export type CommandsReply = readonly (readonly number[])[];

answerRequests<CommandsRequest, CommandsReply>(({ turns, commands }) => {
  const times: number[][] = commands.map(() => []);
  for (let turn = 0; turn < turns; turn++) commands.forEach((argv, index) => times[index]!.push(timeOf(argv)));
  return Promise.resolve(times);
});

function timeOf([program = "", ...args]: readonly string[]): number {
  const begun = performance.now();
  const { status, stderr } = spawnSync(program, args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr}`);
  return performance.now() - begun;
}
