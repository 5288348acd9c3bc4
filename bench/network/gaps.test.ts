import t from "tap";
import { longestGap } from "./gaps.js";

const sent = (...answered: readonly boolean[]) => answered.map((each, at) => ({ at, answered: each }));

t.test("a gap lasts from the last that was answered to the next that is", (t) => {
  t.equal(longestGap(sent(true, true, true)), 1);
  t.equal(longestGap(sent(true, false, true, false, false, true)), 3);
  t.end();
});

t.test("it may be there from the beginning, until the end, or both", (t) => {
  t.equal(longestGap(sent(false, false, true)), 2);
  t.equal(longestGap(sent(true, true, false, false, false)), 3);
  t.equal(longestGap(sent(false, false, false, false)), 3);
  t.equal(longestGap([]), 0);
  t.end();
});
