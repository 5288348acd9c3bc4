import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";

/** How long and how often {@link until} asks, and what it says it waited for. */
export interface UntilOptions {
  /** As long as it takes on a quiet machine at most, ms; one that is busy with other tests is given more. Default 5,000. */
  timeoutMs?: number;
  everyMs?: number;
  what?: string;
}

/** A machine of two cores that several tests share has been seen to be six times as slow as one of them alone. */
const patience = 6;

/**
 * Calls `probe` until it returns something truthy, and returns that. A throwing probe counts as "not yet".
 * The error of one that waits in vain tells the last value or exception.
 */
export async function until<T>(probe: () => T | Promise<T>, options: UntilOptions = {}): Promise<T> {
  const { timeoutMs = 5_000, everyMs = 10, what = "the condition" } = options;
  const limit = timeoutMs * patience;
  const deadline = performance.now() + limit;
  for (;;) {
    const outcome = await attempt(probe);
    if (outcome.value) return outcome.value;
    if (performance.now() >= deadline) {
      const last =
        outcome.error === undefined ? `last value: ${inspect(outcome.value)}` : `last error: ${inspect(outcome.error)}`;
      throw new Error(`${what}: not so within ${limit} ms; ${last}`, { cause: outcome.error });
    }
    await sleep(everyMs);
  }
}

async function attempt<T>(probe: () => T | Promise<T>): Promise<{ value?: T; error?: unknown }> {
  try {
    return { value: await probe() };
  } catch (error) {
    return { error };
  }
}
