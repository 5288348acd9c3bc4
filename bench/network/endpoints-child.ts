// Connects and disconnects endpoints on the host it runs on, with one of those that are compared, and takes the time.
import { setTimeout as pause } from "node:timers/promises";
import { answerRequests } from "../../integration/lab/helper-child.js";
import type { Backend } from "./backend.js";
import { cniBackend } from "./cni.js";
import { linksOfHost, settling, untilLinksAre } from "./host-links.js";
import { netavarkBackend } from "./netavark.js";
import { pontoonBackend } from "./pontoon.js";
import { pontoonCniBackend } from "./pontoon-cni.js";

export const backends = {
  pontoon: pontoonBackend,
  pontoonCni: pontoonCniBackend,
  cni: cniBackend,
  netavark: netavarkBackend,
} as const;

export interface EndpointsRequest {
  readonly backend: keyof typeof backends;
  readonly times: number;
  /** Published each time. */
  readonly port?: number;
  /** Without waiting in between until links are gone. */
  readonly inARow: boolean;
}

/** Milliseconds. */
export interface EndpointsReply {
  /** Each connect and each disconnect, until it was answered: by the daemon, or by the end of the last program. */
  readonly connects: readonly number[];
  readonly disconnects: readonly number[];
  /** All of it, until the last link was gone; pauses included. */
  readonly untilGone: number;
}

let backend: Backend | undefined;

answerRequests(async ({ backend: name, times, port, inARow }: EndpointsRequest): Promise<EndpointsReply> => {
  backend ??= await backends[name]();
  const links = linksOfHost();
  const [connects, disconnects]: [number[], number[]] = [[], []];
  const begun = performance.now();
  for (let time = 0; time < times; time++) {
    connects.push(await timed(() => backend!.connect(port)));
    disconnects.push(await timed(() => backend!.disconnect(port)));
    if (!inARow) {
      await untilLinksAre(links);
      await pause(settling);
    }
  }
  await untilLinksAre(links);
  return { connects, disconnects, untilGone: performance.now() - begun };
});

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}
