import type { TimerWheel } from "../linux/timer-wheel.js";

/**
 * How often it is looked whether the daemon has said that it lives, ms, and how many looks in vain it takes to say that
 * it hangs.
 */
const turnEvery = 1000;
const silentTurnsAtMost = 4;

/**
 * Finds out that the daemon hangs. Its silence is counted in turns of this process: one that was itself kept from running
 * for a while has not listened.
 */
export class DaemonSilence {
  /** Turns since it said that it lives; undefined while there is no daemon that would. */
  #turns: number | undefined;

  /** @param onSilent called once for each silence */
  constructor(
    private readonly timers: TimerWheel,
    private readonly onSilent: () => void,
  ) {
    this.#turn();
  }

  /** A daemon is there that will say that it lives. */
  begin(): void {
    this.#turns ??= 0;
  }

  /** There is none any more. */
  end(): void {
    this.#turns = undefined;
  }

  /** It has said that it lives. @returns whether it had been silent for too long */
  heard(): boolean {
    const wasSilent = this.#turns !== undefined && this.#turns >= silentTurnsAtMost;
    this.#turns = 0;
    return wasSilent;
  }

  #turn(): void {
    this.timers.schedule(turnEvery, () => this.#turn());
    if (this.#turns !== undefined && ++this.#turns === silentTurnsAtMost) this.onSilent();
  }
}
