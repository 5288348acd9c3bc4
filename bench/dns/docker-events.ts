// Docker's events as a program in some namespace of the host sees them, on that program's clock.
import { request } from "node:http";
import { createInterface } from "node:readline";

const triesForClock = 3;

/** An event about one container. */
export interface SeenEvent {
  /** Milliseconds of `performance.now()` at the time Docker put into the event. */
  readonly madeAt: number;
  readonly arrivedAt: number;
}

interface RawEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: { readonly container?: string } };
  readonly timeNano: number;
}

/** Follows Docker's events; whoever waits for one is told. */
export class DockerEvents {
  readonly #waiting: { action: string; container: string; seen: (event: SeenEvent) => void }[] = [];

  private constructor() {}

  /** Resolves when Docker has taken the subscription. */
  static follow(socketPath: string): Promise<DockerEvents> {
    const events = new DockerEvents();
    return new Promise((resolve, reject) => {
      const subscription = request({ socketPath, path: "/events" }, (response) => {
        createInterface({ input: response }).on("line", (line) => events.#onLine(line));
        resolve(events);
      });
      subscription.on("error", reject);
      subscription.end();
    });
  }

  /** The next such event about a container, or about it and a network. */
  next(action: string, container: string): Promise<SeenEvent> {
    return new Promise((seen) => this.#waiting.push({ action, container, seen }));
  }

  #onLine(line: string): void {
    const arrivedAt = performance.now();
    const { Type, Action, Actor, timeNano } = JSON.parse(line) as RawEvent;
    const container = Type === "network" ? Actor.Attributes.container : Actor.ID;
    const index = this.#waiting.findIndex((waiting) => waiting.action === Action && waiting.container === container);
    if (index >= 0) this.#waiting.splice(index, 1)[0]!.seen({ madeAt: timeNano / 1e6 - wallClockAhead(), arrivedAt });
  }
}

/**
 * What to add to this process's clock to get the machine's time of day, milliseconds. That is told in whole ones, so it
 * is exact only when one has just begun; whoever interrupts this makes it too small, never too large.
 */
function wallClockAhead(): number {
  const tries = Array.from({ length: triesForClock }, () => {
    const begun = Date.now();
    while (Date.now() === begun);
    return Date.now() - performance.now();
  });
  return Math.max(...tries);
}
