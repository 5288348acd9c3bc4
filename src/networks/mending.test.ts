import t from "tap";
import { Mending } from "./mending.js";

/** Timers that fire when a test says so; the time that `Mending` is told goes with them. */
function clock(t: { teardown(undo: () => void): void }) {
  const waits: number[] = [];
  let now = 0;
  let due: (() => void) | undefined;
  const own = globalThis.setTimeout;
  globalThis.setTimeout = ((act: () => void, wait: number) => {
    waits.push(wait);
    due = act;
    return own(() => undefined, 0);
  }) as typeof setTimeout;
  t.teardown(() => (globalThis.setTimeout = own));
  const fire = async () => {
    const act = due;
    due = undefined;
    now += waits.at(-1) ?? 0;
    act?.();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { waits, fire, now: () => now, pass: (ms: number) => (now += ms) };
}

t.test("at once, then less and less often, and at once again when it has been calm", async (t) => {
  const { waits, fire, now, pass } = clock(t);
  let isBroken = true;
  const mending = new Mending(() => Promise.resolve(isBroken), now);
  for (let count = 0; count < 12; count++) {
    mending.soon();
    mending.soon();
    await fire();
  }
  t.same(waits, [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  pass(60_001);
  isBroken = false;
  mending.soon();
  await fire();
  mending.soon();
  await fire();
  t.same(waits.slice(-2), [0, 0], "a look that finds nothing is none");
  mending.stop();
  mending.soon();
  t.equal(waits.length, 14);
});
