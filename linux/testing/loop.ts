import { readdirSync } from "node:fs";
import { Poller } from "../poller.js";
import { TimerWheel } from "../timer-wheel.js";

const patience = 20_000; // ms; only a broken test waits that long

/** A Poller and a timer wheel that a test turns by hand. Only the test lets time pass for the wheel. */
export class TestLoop {
  readonly poller = new Poller();
  /** What the wheel takes for the time, ms. */
  now = 0;
  readonly timers = new TimerWheel(() => this.now);

  /** Lets time pass for the timer wheel. */
  pass(ms: number): void {
    this.now += ms;
    this.timers.turn();
  }

  /** One round: what is ready is handled, then Node's own loop gets a turn. */
  async turn(): Promise<void> {
    this.poller.dispatch(0);
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Turns until something holds. @param what for the error, should it never */
  async until(what: string, holds: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + patience;
    while (!holds()) {
      if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
      await this.turn();
    }
  }
}

/** Descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
