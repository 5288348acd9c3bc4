import { setTimeout as pause } from "node:timers/promises";
import type { Bench, Outcome } from "../lib/measure.js";
import { aligned } from "../lib/table.js";
import { Crowd } from "./crowd.js";
import type { OverlayOptions } from "./options.js";
import type { Seen } from "./seen.js";

/** How long nothing happens, ms. */
const idle = 10_000;

/** The first host beside so many others. */
interface Step {
  readonly hosts: number;
  readonly seen: Seen;
  /** While nothing happened. */
  readonly idle: Traffic;
  /** From before an endpoint was made on the last host until its name resolved on the first. */
  readonly change: Traffic;
}

interface Traffic {
  readonly packets: number;
  readonly bytes: number;
}

/** Adds hosts, each with one endpoint, and looks at what that costs the first. */
export async function measureHosts({ options, progress, undo }: Bench<OverlayOptions>): Promise<Outcome> {
  const crowd = await Crowd.start(undo);
  const steps: Step[] = [];
  for (const size of [2, ...fifths(options.hosts)]) {
    progress.show(`host ${size} of ${options.hosts}`);
    while (crowd.size < size) {
      await crowd.grow(crowd.size + 1);
      await crowd.endpoint(crowd.size - 1, `first-of-${crowd.size}`);
    }
    await crowd.untilNamed(`first-of-${size}`);
    steps.push(await stepOf(crowd));
  }
  return { rows: [], tables: [table(steps)], data: { hosts: steps } };
}

async function stepOf(crowd: Crowd): Promise<Step> {
  const seen = crowd.see();
  await pause(idle);
  const rested = crowd.see();
  const name = `last-of-${crowd.size}`;
  await crowd.endpoint(crowd.size - 1, name);
  await crowd.untilNamed(name);
  return { hosts: crowd.size, seen, idle: between(seen, rested), change: between(rested, crowd.see()) };
}

function between(earlier: Seen, later: Seen): Traffic {
  return { packets: later.packets - earlier.packets, bytes: later.bytes - earlier.bytes };
}

/** A fifth of all, two fifths … all; more than two, which come before. */
function fifths(all: number): number[] {
  const sizes = [1, 2, 3, 4, 5].map((part) => Math.round((all * part) / 5));
  return [...new Set(sizes)].filter((size) => size > 2);
}

function table(steps: readonly Step[]): string {
  const lines = steps.map(({ hosts, seen, idle: rest, change }) => [
    String(hosts),
    printMegabytes(seen.daemon),
    printMegabytes(seen.dns),
    `${(rest.packets / (idle / 1000)).toFixed(1)}/s`,
    `${(rest.bytes / idle).toFixed(2)} KB/s`,
    String(change.packets),
    `${(change.bytes / 1000).toFixed(1)} KB`,
  ]);
  return aligned([["HOSTS", "DAEMON", "DNS", "IDLE, PACKETS", "", "ONE ENDPOINT MORE, PACKETS", ""], ...lines]);
}

const printMegabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
