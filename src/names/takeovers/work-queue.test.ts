import t from "tap";
import { WorkQueue, type Opening } from "./work-queue.js";

/** A queue whose work ends when the test says so. */
function made() {
  const begun: string[] = [];
  const held = new Set<string>();
  const ends = new Map<string, () => void>();
  const openings = new Map<string, Opening>();
  const until = (name: string) => {
    begun.push(name);
    return new Promise<void>((resolve) => ends.set(name, resolve));
  };
  const queue = new WorkQueue({
    isHeld: (sandbox) => held.has(sandbox),
    takeOver: (sandbox, _, opening) => (openings.set(sandbox, opening), until(sandbox)),
    repair: (sandbox) => until(`repair ${sandbox}`),
  });
  const turns = async () => {
    for (let count = 0; count < 10; count++) await new Promise((resolve) => setImmediate(resolve));
  };
  const want = (...sandboxes: string[]) =>
    sandboxes.forEach((container, index) =>
      queue.want(container, { place: { kind: "process", pid: index }, container, hasDockerResolver: true }),
    );
  return { queue, begun, held, ends, openings, turns, want };
}

t.test("two are taken over at a time, in order, and what needs repair waits until none is to be", async (t) => {
  const { queue, begun, ends, turns, want } = made();
  queue.repair("x");
  queue.repair("y");
  want("a", "b", "c");
  await turns();
  t.same(begun, ["a", "b"]);
  ends.get("a")!();
  await turns();
  t.same(begun, ["a", "b", "c"]);
  ends.get("b")!();
  ends.get("c")!();
  await turns();
  t.same(begun, ["a", "b", "c", "repair x"], "one at a time");
  ends.get("repair x")!();
  await turns();
  t.equal(begun.at(-1), "repair y");
  ends.get("repair y")!();
});

t.test("what is held, wanted, or under way is not begun again", async (t) => {
  const { begun, held, turns, want } = made();
  held.add("a");
  want("a", "b", "b", "c");
  held.add("c"); // adopted, before its turn
  await turns();
  want("b");
  await turns();
  t.same(begun, ["b"]);
});

t.test("what is wanted no more is forgotten, and what is under way is waited for and knows", async (t) => {
  const { queue, begun, ends, openings, turns, want } = made();
  want("a", "b", "c");
  await turns();
  await queue.forget("c");
  let isOver = false;
  const over = queue.forget("a").then(() => (isOver = true));
  await turns();
  t.notOk(isOver);
  t.same([openings.get("a")!.wanted, openings.get("b")!.wanted], [false, true]);
  want("a");
  t.ok(openings.get("a")!.wanted, "it is wanted again");
  ends.get("a")!();
  await over;
  const all = queue.forgetAll();
  t.notOk(openings.get("b")!.wanted);
  ends.get("b")!();
  await all;
  await turns();
  t.same(begun, ["a", "b"]);
});
