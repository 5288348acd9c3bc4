// Runs in a host: times commands, which take turns.
import { answerRequests } from "../../integration/lab/helper-child.js";
import { timeCommand } from "../lib/time-command.js";

export interface CommandsRequest {
  readonly turns: number;
  readonly commands: readonly (readonly string[])[];
}

/** Milliseconds of each turn, for each command. */
export type CommandsReply = readonly (readonly number[])[];

answerRequests<CommandsRequest, CommandsReply>(({ turns, commands }) => {
  const times: number[][] = commands.map(() => []);
  for (let turn = 0; turn < turns; turn++) commands.forEach((argv, index) => times[index]!.push(timeCommand(argv)));
  return Promise.resolve(times);
});
