import t, { type Test } from "tap";
import { until } from "../lab/index.js";
import { Doomed, neighboursOn, steps, type Step } from "./doomed.js";
import { ClusterLab } from "./hosts.js";

// The daemon of one host ends before each step of the kernel's part. What each question to etcd comes to is in questions.test.ts.

const cycle: readonly Step[] = [steps.create, steps.connect, steps.disconnect, steps.remove];

t.test("a daemon is killed before each step of the kernel's part", async (t) => {
  const lab = await ClusterLab.start(t, { members: 1 });
  const east = await lab.host(1);
  const doomed = await Doomed.start(t, lab, east);
  const before = await doomed.taken();

  const interrupted = new Set<string>();
  for (let at = 1, isOver = false; !isOver; at++) {
    await doomed.restartToEndAt(at);
    const isDead = doomed.isDead;
    if (isDead) await doomed.restart();
    const step = await goThrough(t, doomed, at);
    if (step) interrupted.add(step);
    isOver = !isDead && step === undefined;
    if (isOver) t.comment(`it has ${at - 1} steps`);
  }
  const names = cycle.map(({ name }) => name);
  t.same([...interrupted], names, "each was interrupted");

  await doomed.restart();
  t.same(await doomed.taken(), before, "what was taken on the way is free again");
  await until(async () => (await neighboursOn(east)) === "", { what: "the other host's kernel knows none of it" });
});

/** @returns the name of what was interrupted */
async function goThrough(t: Test, doomed: Doomed, at: number): Promise<string | undefined> {
  let interrupted: string | undefined;
  for (const step of cycle) {
    const what = `${step.name}, the kernel's step ${at}`;
    if (await doomed.doOrEnd(step, what)) {
      t.equal(interrupted, undefined, `${what}: only once`);
      interrupted = step.name;
      await doomed.restart();
      await doomed.repeat(step, what);
    }
    await doomed.agree(step, what);
  }
  return interrupted;
}
