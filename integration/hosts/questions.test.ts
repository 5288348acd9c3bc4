import t, { type Test } from "tap";
import { until } from "../lab/index.js";
import { Doomed, neighboursOn, steps, type Step } from "./doomed.js";
import { ClusterLab } from "./hosts.js";

// The daemon of one host ends before and after each question to etcd. Its successor leaves nothing half done, and whoever asked
// can ask again. What each step of the kernel's part comes to is in kernel-steps.test.ts.

/** The step under test, what comes before, what makes it possible again, and what takes away what is left. */
interface Trial {
  readonly step: Step;
  readonly before: readonly Step[];
  readonly back: Step;
  readonly after: readonly Step[];
}

const trials: readonly Trial[] = [
  { step: steps.createNetwork, before: [], back: steps.removeNetwork, after: [] },
  { step: steps.removeNetwork, before: [steps.createNetwork], back: steps.createNetwork, after: [steps.removeNetwork] },
  { step: steps.create, before: [], back: steps.remove, after: [] },
  { step: steps.connect, before: [steps.create], back: steps.disconnect, after: [] },
  { step: steps.disconnect, before: [steps.connect], back: steps.connect, after: [steps.disconnect] },
  { step: steps.remove, before: [], back: steps.create, after: [steps.remove] },
];

t.test("a daemon is killed before and after each question to etcd", async (t) => {
  const lab = await ClusterLab.start(t, { members: 1 });
  const east = await lab.host(1);
  const doomed = await Doomed.start(t, lab, east);
  const before = await doomed.taken();

  for (const trial of trials) await t.test(trial.step.name, (t) => interrupt(t, doomed, trial));
  await t.test("coming back", (t) => comeBack(t, doomed));

  t.same(await doomed.taken(), before, "what was taken on the way is free again");
  await until(async () => (await neighboursOn(east)) === "", { what: "the other host's kernel knows none of it" });
});

/** Each in turn: the first question, the second …, until there is none that could be held. */
function* traps() {
  for (const when of ["before", "after"] as const)
    for (let at = 1, isOver = false; !isOver; at++)
      yield { at, when, what: `${when} question ${at}`, last: () => void (isOver = true) };
}

async function interrupt(t: Test, doomed: Doomed, { step, before, back, after }: Trial): Promise<void> {
  for (const each of before) t.equal(await doomed.do(each), "", `${each.name} first`);
  let times = 0;
  for (const { at, when, what, last } of traps()) {
    const isKilled = await doomed.doInto(step, { at, when }, what);
    if (isKilled) {
      times++;
      await doomed.restart();
      await doomed.repeat(step, what);
    } else last();
    await doomed.agree(step, what);
    t.equal(await doomed.do(back), "", `${what}: and back`);
  }
  t.ok(times >= 2, `it was killed ${times} times`);
  for (const each of after) t.equal(await doomed.do(each), "", `${each.name} at the end`);
}

/** A claim is there that the host does not know of; its daemon ends again while it sees to that. */
async function comeBack(t: Test, doomed: Doomed): Promise<void> {
  let times = 0;
  for (const { at, when, what, last } of traps()) {
    t.ok(await doomed.doInto(steps.create, { at: 1, when: "after" }, what), "its claim is there");
    if (await doomed.restartInto({ at, when })) {
      times++;
      await doomed.restart();
    } else last();
    await doomed.repeat(steps.create, what);
    await doomed.agree(steps.create, what);
    t.equal(await doomed.do(steps.remove), "", `${what}: and back`);
  }
  t.ok(times >= 6, `it was killed ${times} times`);
}
