// Publishes a range of ports with the command, and asks for the last of them until it answers.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { firstAnswer } from "./first-answer.js";

export interface PublishRequest {
  readonly command: readonly string[];
  /** Port of the host that is asked. */
  readonly lastPort: number;
}

/** Milliseconds from the command's start. */
export interface PublishReply {
  readonly answered: number;
  /** Until the command ended. */
  readonly ended: number;
}

answerRequests(async ({ command, lastPort }: PublishRequest): Promise<PublishReply> => {
  const begun = performance.now();
  // Not by execa: its start is measured.
  const child = spawn(command[0]!, command.slice(1), { stdio: ["ignore", "ignore", "pipe"] });
  const said = text(child.stderr);
  const ending = once(child, "close").then(() => performance.now() - begun);
  const answering = firstAnswer("127.0.0.1", lastPort).then(() => performance.now() - begun);
  const ended = await ending;
  if (child.exitCode !== 0) throw new Error(await said);
  return { ended, answered: await answering };
});
