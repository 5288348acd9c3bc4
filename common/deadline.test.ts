import t from "tap";
import { withDeadline } from "./deadline.js";

const hour = 3_600_000; // ms
const late = () => new Error("too late");
const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;

t.test("what comes in time is passed on, and no timer stays", async (t) => {
  const before = timers();
  t.equal(await withDeadline(hour, Promise.resolve("answer"), late), "answer");
  await t.rejects(withDeadline(hour, Promise.reject(new Error("broken")), late), { message: "broken" });
  t.equal(timers(), before);
});

t.test("what does not come is not waited for, and its failure afterwards harms nobody", async (t) => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  t.teardown(() => process.off("unhandledRejection", note));
  let fail: (reason: Error) => void = () => undefined;
  const promise = new Promise<never>((_, reject) => (fail = reject));
  await t.rejects(withDeadline(1, promise, late), { message: "too late" });
  fail(new Error("broken"));
  await new Promise((resolve) => setImmediate(resolve));
  t.same(unhandled, []);
});
