import type { Wanted } from "./takeover.js";

/** A takeover under way. */
export interface Opening {
  /** Whether it is still to be held when it is done. */
  readonly wanted: boolean;
}

export interface NamespaceWorker {
  /** Whether it is taken over already. */
  isHeld(sandbox: string): boolean;
  /** Never rejects. */
  takeOver(sandbox: string, wanted: Wanted, opening: Opening): Promise<void>;
  repair(sandbox: string): Promise<void>;
}

/**
 * Takeovers under way. Each occupies a thread of libuv's pool while the kernel works, for seconds where somebody in the
 * namespace draws that out: there are four, and files are read with them too.
 */
const atOnce = 2;

/**
 * Which sandboxes are to be taken over, and which to be repaired when none is: one in a turn of the event loop, since each
 * needs about 2 ms of this thread.
 */
export class WorkQueue {
  readonly #wanted = new Map<string, Wanted>();
  readonly #opening = new Map<string, { wanted: boolean; done: Promise<void> }>();
  readonly #repairs = new Set<string>();
  #isRepairing = false;
  #isScheduled = false;

  constructor(private readonly worker: NamespaceWorker) {}

  /** A sandbox is to be taken over, unless it is. */
  want(sandbox: string, wanted: Wanted): void {
    const opening = this.#opening.get(sandbox);
    if (opening) opening.wanted = true;
    if (opening || this.worker.isHeld(sandbox) || this.#wanted.has(sandbox)) return;
    this.#wanted.set(sandbox, wanted);
    this.#work();
  }

  /** It is wanted no more. What is under way is finished, and given back. */
  async forget(sandbox: string): Promise<void> {
    this.#wanted.delete(sandbox);
    const opening = this.#opening.get(sandbox);
    if (!opening) return;
    opening.wanted = false;
    await opening.done;
  }

  async forgetAll(): Promise<void> {
    this.#wanted.clear();
    await Promise.all([...this.#opening.keys()].map((sandbox) => this.forget(sandbox)));
  }

  repair(sandbox: string): void {
    this.#repairs.add(sandbox);
    this.#work();
  }

  #work(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#opening.size >= atOnce) return;
      if (this.#takeOverNext()) this.#work();
      else this.#repairNext();
    });
  }

  /** @returns whether there was one */
  #takeOverNext(): boolean {
    const [next] = this.#wanted;
    if (!next) return false;
    const [sandbox, wanted] = next;
    this.#wanted.delete(sandbox);
    if (this.worker.isHeld(sandbox)) return true;
    const opening = { wanted: true, done: Promise.resolve() };
    this.#opening.set(sandbox, opening);
    opening.done = this.worker.takeOver(sandbox, wanted, opening).finally(() => {
      this.#opening.delete(sandbox);
      this.#work();
    });
    return true;
  }

  #repairNext(): void {
    const [sandbox] = this.#repairs;
    if (sandbox === undefined || this.#isRepairing) return;
    this.#repairs.delete(sandbox);
    this.#isRepairing = true;
    void this.worker.repair(sandbox).finally(() => {
      this.#isRepairing = false;
      this.#work();
    });
  }
}
