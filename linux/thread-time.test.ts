import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import t from "tap";
import { threadTime, threadWait } from "./thread-time.js";

t.test("only this thread's own work counts", (t) => {
  const began = threadTime();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  const slept = threadTime() - began;
  t.ok(slept < 100, `${slept} ms for a sleep`);
  const until = performance.now() + 50;
  const before = threadTime();
  while (performance.now() < until) Math.sqrt(until);
  t.ok(threadTime() > before);
  t.end();
});

t.test("what others have the processor for is told apart", async (t) => {
  const before = threadWait();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  const slept = threadWait() - before;
  t.ok(slept < 100, `${slept} ms for a sleep`);
  const rivals = Array.from({ length: 2 * availableParallelism() }, () => new Worker("for (;;);", { eval: true }));
  t.teardown(() => Promise.all(rivals.map((rival) => rival.terminate())));
  const asleep = threadWait();
  await until(() => threadWait() > asleep);
});

async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end;) {
    if (condition()) return;
    await setImmediate();
  }
  throw new Error("it did not come true within 20 s");
}
