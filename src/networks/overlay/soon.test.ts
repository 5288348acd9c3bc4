import t from "tap";
import { Soon } from "./soon.js";

t.test("what is asked for before it has begun is done once, and what is asked for later again", async (t) => {
  const turns: (() => Promise<void>)[] = [];
  let done = 0;
  const soon = new Soon(
    (work) => turns.push(work),
    () => {
      if (done++ === 0) soon.ask(); // while it is done
      return Promise.resolve();
    },
  );
  soon.ask();
  soon.ask();
  t.equal(turns.length, 1);
  await turns.shift()!();
  t.equal(turns.length, 1);
  await turns.shift()!();
  t.equal(turns.length, 0);
  t.equal(done, 2);
});
