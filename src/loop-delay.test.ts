import t from "tap";
import { setTimeout as sleep } from "node:timers/promises";
import { watchLoopDelay } from "./loop-delay.js";

t.test("a loop that is held up is noticed", async (t) => {
  const delay = watchLoopDelay();
  await sleep(20);
  const before = performance.now();
  while (performance.now() - before < 40);
  await sleep(20);
  const { p99, max } = delay();
  t.ok(max > 35, `${max} ms of 40`);
  t.ok(p99 <= max);
});
