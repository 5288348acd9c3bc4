// Publishes a range of ports with the command, and asks for the last of them until it answers.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { answerRequests } from "../../integration/lab/helper-child.js";

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

const hello = "hello";
const tooLong = 60_000; // ms

answerRequests(async ({ command, lastPort }: PublishRequest): Promise<PublishReply> => {
  const begun = performance.now();
  // Not by execa: its start is measured.
  const child = spawn(command[0]!, command.slice(1), { stdio: ["ignore", "ignore", "pipe"] });
  const said = text(child.stderr);
  const ending = once(child, "close").then(() => performance.now() - begun);
  const answering = firstAnswer(lastPort).then(() => performance.now() - begun);
  const ended = await ending;
  if (child.exitCode !== 0) throw new Error(await said);
  return { ended, answered: await answering };
});

async function firstAnswer(port: number): Promise<void> {
  const giveUpAt = performance.now() + tooLong;
  while (!(await isAnswered(port))) {
    if (performance.now() > giveUpAt) throw new Error(`port ${port} does not answer`);
    await pause(2);
  }
}

/** Whether what is said to the port comes back. */
async function isAnswered(port: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port });
  socket.end(hello);
  try {
    return (await text(socket)) === hello;
  } catch {
    return false;
  }
}
