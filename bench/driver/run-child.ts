// Runs in a host: times docker commands, which take turns; each begins when what the one before it made is gone.
import { setTimeout as pause } from "node:timers/promises";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { timeCommand } from "../lib/time-command.js";
import { linksOfHost, settling, untilLinksAre } from "../network/host-links.js";

/** What is timed: `docker run` without a network, with one, and with a published port as well. */
export type RunKind = "none" | "run" | "port";

export interface RunRequest {
  readonly times: number;
  readonly commands: Readonly<Partial<Record<RunKind, readonly string[]>>>;
}

/** Milliseconds of each time, for each command. */
export type RunReply = Readonly<Partial<Record<RunKind, readonly number[]>>>;

answerRequests(async ({ times, commands }: RunRequest): Promise<RunReply> => {
  const links = linksOfHost();
  const all = Object.entries(commands);
  const taken: Record<string, number[]> = Object.fromEntries(all.map(([name]) => [name, []]));
  for (let time = 0; time < times; time++)
    for (let place = 0; place < all.length; place++) {
      const [name, argv] = all[(time + place) % all.length]!;
      taken[name]!.push(timeCommand(argv));
      await untilLinksAre(links);
      await pause(settling);
    }
  return taken;
});
