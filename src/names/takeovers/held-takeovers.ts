import type { FileWatch } from "../../../linux/namespace-files.js";
import type { NamespaceEnds } from "./namespace-ends.js";
import { closeTakeover, type Takeover } from "./takeover.js";

/** Steps of letting go that a server acknowledges. */
export type LetGoStep = "releasing" | "released";

/** A namespace taken over, with the daemon's duplicates of every descriptor in it. */
export class HeldTakeover {
  /** Sockets the present server was given to forward from. */
  handedOut = 0;
  /** Its table is being loaded once more. */
  repair: Promise<void> | undefined;
  /** When its table may be looked at again, ms of the process. */
  repairableAt = 0;
  #onAcknowledged: ((step: LetGoStep) => void) | undefined;

  constructor(readonly takeover: Takeover) {}

  /** Whether it is waited for that the server acknowledges a step of letting go. */
  get isLettingGo(): boolean {
    return this.#onAcknowledged !== undefined;
  }

  /** Resolves when the server has come so far, or has taken too long, ms. */
  reached(step: LetGoStep, time: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        this.#onAcknowledged = undefined;
        resolve();
      };
      const timer = setTimeout(finish, time);
      this.#onAcknowledged = (reached) => {
        if (reached === step || reached === "released") finish();
      };
    });
  }

  acknowledge(step: LetGoStep): void {
    this.#onAcknowledged?.(step);
  }
}

/** What is held, by sandbox. Nothing here outlives a container's first process, or the name of a namespace. */
export class HeldTakeovers {
  readonly #held = new Map<string, { readonly held: HeldTakeover; readonly watch: FileWatch }>();

  /** @param onEnded a namespace has ended, and nothing is held there any more */
  constructor(
    private readonly ends: NamespaceEnds,
    private readonly onEnded: (sandbox: string, takeover: Takeover) => void,
  ) {}

  get sandboxes(): string[] {
    return [...this.#held.keys()];
  }

  has(sandbox: string): boolean {
    return this.#held.has(sandbox);
  }

  get(sandbox: string): HeldTakeover | undefined {
    return this.#held.get(sandbox)?.held;
  }

  *[Symbol.iterator](): Generator<[sandbox: string, held: HeldTakeover]> {
    for (const [sandbox, { held }] of this.#held) yield [sandbox, held];
  }

  hold(sandbox: string, takeover: Takeover): void {
    const held = new HeldTakeover(takeover);
    const watch = this.ends.watch(takeover.place, takeover.end, () => {
      this.drop(sandbox, held);
      this.onEnded(sandbox, takeover);
    });
    this.#held.set(sandbox, { held, watch });
  }

  /** Closes every descriptor of ours in a namespace, unless that has been done meanwhile. */
  drop(sandbox: string, held: HeldTakeover): void {
    const known = this.#held.get(sandbox);
    if (known?.held !== held) return;
    this.#held.delete(sandbox);
    known.watch.close();
    closeTakeover(held.takeover);
    held.acknowledge("released");
  }

  /** There is no server any more: none holds anything, and none is waited for. */
  disconnect(): void {
    for (const [, held] of this) {
      held.handedOut = 0;
      held.acknowledge("released");
    }
  }
}
