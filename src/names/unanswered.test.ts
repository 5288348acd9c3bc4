import t from "tap";
import { Unanswered } from "./unanswered.js";

t.test("what goes unanswered is begun anew, less and less often, until it is answered", (t) => {
  const unanswered = new Unanswered();
  const begun: number[] = [];
  for (let now = 0; now <= 100_000; now += 1000)
    if (unanswered.overdue(new Set(["one"]), now).length > 0) begun.push(now);
  t.same(begun, [15_000, 45_000]);
  t.same(unanswered.overdue(new Set(), 101_000), []);
  t.same(unanswered.overdue(new Set(["one", "two"]), 102_000), []);
  t.same(unanswered.overdue(new Set(["two"]), 117_000), ["two"], "one that was answered meanwhile is as new");
  t.end();
});
