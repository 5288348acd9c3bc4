import t from "tap";
import { summarizeChanges } from "./changes.js";

t.test("percentiles are of all kinds; what was right before its event took no time; the slowest kind is named", (t) => {
  const renames = Array.from({ length: 98 }, () => ({ kind: "rename", rightAfter: -5 }) as const);
  const stops = [
    { kind: "stop", rightAfter: 30 },
    { kind: "stop", rightAfter: 80 },
  ] as const;
  t.same(summarizeChanges([...renames, ...stops]), { median: 0, p99: 30, worst: "stop" });
  t.end();
});
