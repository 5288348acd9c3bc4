import t from "tap";
import { TestLoop } from "../../linux/testing/loop.js";
import { TimeBudget } from "./time-budget.js";

t.test("who has used up its time waits for the next round", async (t) => {
  const loop = new TestLoop();
  t.teardown(() => loop.poller.close());
  const [busy, other] = [new TimeBudget(loop.poller), new TimeBudget(loop.poller)];
  t.ok(busy.isLeft);
  busy.spend(() => {
    const until = performance.now() + 1;
    while (performance.now() < until);
  });
  t.notOk(busy.isLeft);
  t.ok(other.isLeft, "another has its own");
  await loop.turn();
  t.ok(busy.isLeft);
  t.throws(
    () =>
      busy.spend(() => {
        throw new Error("broken");
      }),
    /broken/,
  );
  await loop.turn();
  t.ok(busy.isLeft, "work that fails does not stop the clock");
});
