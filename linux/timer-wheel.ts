/** Something that happens at a set time unless it is cancelled. */
export interface Timer {
  cancel(): void;
}

interface Entry extends Timer {
  readonly at: number;
  run: (() => void) | undefined;
}

/** Milliseconds that never go back, from an arbitrary start. */
export function monotonicNow(): number {
  return performance.now();
}

const tick = 8; // ms
const slots = 1024; // one turn of the wheel: 8.2 s; what is due later waits for another turn

/**
 * Timers in a timer wheel: setting and cancelling one costs the same however many there are.
 * They run up to one tick (8 ms) late, never early.
 */
export class TimerWheel {
  readonly #slots: Set<Entry>[] = Array.from({ length: slots }, () => new Set());
  #count = 0;
  #turned: number;
  /** No timer lies in a tick before this one. */
  #earliest = Infinity;

  constructor(readonly now: () => number = monotonicNow) {
    this.#turned = Math.floor(now() / tick);
  }

  /** Runs `run` in `delay` ms. */
  schedule(delay: number, run: () => void): Timer {
    const at = this.now() + Math.max(0, delay);
    const position = Math.max(this.#turned, Math.floor(at / tick));
    const slot = this.#slots[position % slots]!;
    this.#earliest = Math.min(this.#earliest, position);
    const entry: Entry = {
      at,
      run,
      cancel: () => {
        if (entry.run === undefined) return;
        entry.run = undefined;
        if (slot.delete(entry)) this.#count--;
      },
    };
    slot.add(entry);
    this.#count++;
    return entry;
  }

  /** Milliseconds a loop may wait before it should call {@link turn}: never more than `most`. */
  waitAtMost(most: number, now = this.now()): number {
    if (this.#count === 0) return most;
    return Math.min(most, Math.max(1, Math.ceil((this.#earliest + 1) * tick - now)));
  }

  /** Runs everything that is due. */
  turn(now = this.now()): void {
    const reached = Math.floor(now / tick);
    if (reached === this.#turned) return;
    const from = Math.max(this.#turned, reached - slots + 1);
    this.#turned = reached;
    if (reached < this.#earliest) return;
    for (let position = from; position <= reached; position++) this.#runSlot(this.#slots[position % slots]!, now);
    this.#earliest = this.#firstUsed(reached);
  }

  /** The first tick from this one on whose slot holds a timer, which may be due a turn of the wheel later. */
  #firstUsed(from: number): number {
    if (this.#count === 0) return Infinity;
    for (let step = 0; step < slots; step++) if (this.#slots[(from + step) % slots]!.size > 0) return from + step;
    return Infinity;
  }

  #runSlot(slot: Set<Entry>, now: number): void {
    for (const entry of slot) {
      if (entry.at > now) continue;
      slot.delete(entry);
      this.#count--;
      const run = entry.run;
      entry.run = undefined;
      run?.();
    }
  }
}
