import { connect } from "node:net";
import { text } from "node:stream/consumers";
import type { BareHost } from "../../integration/lab/index.js";

/** Where the daemon tells how its loop goes. */
export const loopSocket = "/run/bench/loop.sock";

/** How long the daemon's event loop was held up at a time, ms, since it was asked before. */
export interface HeldUp {
  readonly max: number;
  readonly p99: number;
  /** How often it was looked at. */
  readonly looks: number;
}

/** With this in its environment the daemon tells. */
export const watchingLoop = { NODE_OPTIONS: `--import=${new URL("loop-preload.js", import.meta.url).href}` };

export async function heldUp(host: BareHost): Promise<HeldUp> {
  return JSON.parse(await text(connect(host.path(loopSocket)))) as HeldUp;
}
