import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";

/** How long and how often {@link until} asks, and what it says it waited for. */
export interface UntilOptions {
  timeoutMs?: number;
  everyMs?: number;
  what?: string;
}

/**
 * Calls `probe` until it returns something truthy, and returns that. A throwing probe counts as "not yet".
 * The error after `timeoutMs` tells the last value or exception.
 */
export async function until<T>(probe: () => T | Promise<T>, options: UntilOptions = {}): Promise<T> {
  const { timeoutMs = 5_000, everyMs = 10, what = "the condition" } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const outcome = await attempt(probe);
    if (outcome.value) return outcome.value;
    if (performance.now() >= deadline) {
      const last =
        outcome.error === undefined ? `last value: ${inspect(outcome.value)}` : `last error: ${inspect(outcome.error)}`;
      throw new Error(`${what}: not so within ${timeoutMs} ms; ${last}`, { cause: outcome.error });
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
