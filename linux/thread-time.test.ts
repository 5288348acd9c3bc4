import t from "tap";
import { threadTime } from "./thread-time.js";

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
