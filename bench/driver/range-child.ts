// Runs on another host with the Docker host's files: runs a docker command, and asks for a published port until it answers.
import { answerRequests } from "../../integration/lab/helper-child.js";
import { timeCommand } from "../lib/time-command.js";
import { firstAnswer } from "../proxy/first-answer.js";

export interface RangeRequest {
  readonly command: readonly string[];
  /** Who is to answer. */
  readonly place?: { readonly address: string; readonly port: number };
}

/** Milliseconds. */
export interface RangeReply {
  /** Until the command ended. */
  readonly ended: number;
  /** Until there was an answer as well. */
  readonly answered: number;
}

answerRequests(async ({ command, place }: RangeRequest): Promise<RangeReply> => {
  const ended = timeCommand(command);
  const asked = performance.now();
  if (place !== undefined) await firstAnswer(place.address, place.port);
  return { ended, answered: ended + performance.now() - asked };
});
