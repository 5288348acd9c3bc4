import t from "tap";
import { setTimeout as sleep } from "node:timers/promises";
import { threadTime } from "../linux/thread-time.js";
import { watchLoopDelay } from "./loop-delay.js";

t.test("a loop that is held up is noticed", async (t) => {
  const delay = watchLoopDelay();
  await sleep(20);
  const before = threadTime(); // what others have the processor for does not count
  while (threadTime() - before < 40);
  await sleep(20);
  const { p99, max } = delay();
  t.ok(max > 35, `${max} ms of 40`);
  t.ok(p99 <= max);
});
