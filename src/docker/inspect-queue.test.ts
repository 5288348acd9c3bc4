import t from "tap";
import { InspectQueue } from "./inspect-queue.js";

/** Looks whose ends the test decides. */
class Bench {
  readonly begun: string[] = [];
  readonly applied: string[] = [];
  readonly failed: string[] = [];
  readonly inspectQueue: InspectQueue;
  readonly #pending = new Map<string, { resolve: (apply: () => void) => void; reject: (error: Error) => void }>();
  #looks = 0;

  constructor(atMost?: { all: number; listed: number }) {
    const look = (id: string) => {
      this.begun.push(id);
      return new Promise<() => void>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    };
    this.inspectQueue = new InspectQueue(look, (id) => this.failed.push(id), atMost);
  }

  async answer(id: string, apply: () => void = () => this.applied.push(`${id}#${++this.#looks}`)): Promise<void> {
    this.#take(id).resolve(apply);
    await turn();
  }

  async fail(id: string): Promise<void> {
    this.#take(id).reject(new Error("no"));
    await turn();
  }

  #take(id: string) {
    const look = this.#pending.get(id);
    if (!look) throw new Error(`no look at ${id} is under way`);
    this.#pending.delete(id);
    return look;
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

t.test("each thing is looked at once at a time", async (t) => {
  const bench = new Bench();
  for (const id of ["a", "b", "a", "a"]) bench.inspectQueue.request(id);
  t.same(bench.begun, ["a", "b"]);
  await bench.answer("b");
  t.same(bench.applied, ["b#1"]);
});

t.test("an answer that was overtaken is thrown away, and looked for again", async (t) => {
  const bench = new Bench();
  bench.inspectQueue.request("a");
  bench.inspectQueue.request("a");
  await bench.answer("a");
  t.same(bench.applied, []);
  t.same(bench.begun, ["a", "a"]);
  await bench.answer("a");
  t.same(bench.applied, ["a#1"]);
});

t.test("what is overtaken again and again is taken at last, and looked at once more", async (t) => {
  const bench = new Bench();
  bench.inspectQueue.request("a");
  for (let count = 0; count < 20 && bench.applied.length === 0; count++) {
    bench.inspectQueue.request("a");
    await bench.answer("a");
  }
  t.equal(bench.applied.length, 1);
  const begun = bench.begun.length;
  await bench.answer("a");
  t.equal(bench.applied.length, 2, "the last answer counts as well");
  t.equal(bench.begun.length, begun);
});

t.test("a look that fails, or whose result does harm, stops nobody", async (t) => {
  const bench = new Bench();
  for (const id of ["a", "b", "c"]) bench.inspectQueue.request(id);
  await bench.fail("a");
  await bench.answer("b", () => {
    throw new Error("no");
  });
  await bench.answer("c");
  t.same(bench.failed, ["a", "b"]);
  t.same(bench.applied, ["c#1"]);
  bench.inspectQueue.request("a");
  await bench.answer("a");
  t.same(bench.applied, ["c#1", "a#2"], "and can be tried again");
});

t.test("a look that fails after news has come is made again", async (t) => {
  const bench = new Bench();
  bench.inspectQueue.request("a");
  bench.inspectQueue.request("a");
  await bench.fail("a");
  t.same(bench.begun, ["a", "a"]);
});

t.test("only so many looks are made at once, in the order they were asked for", async (t) => {
  const bench = new Bench({ all: 2, listed: 2 });
  for (const id of ["a", "b", "c", "d"]) bench.inspectQueue.request(id);
  t.same(bench.begun, ["a", "b"]);
  await bench.answer("b");
  t.same(bench.begun, ["a", "b", "c"]);
  await bench.fail("a");
  t.same(bench.begun, ["a", "b", "c", "d"]);
});

t.test("what is only listed leaves room, and goes after what there is news of", async (t) => {
  const bench = new Bench({ all: 3, listed: 1 });
  bench.inspectQueue.requestListed(["a", "b", "c", "d"]);
  t.same(bench.begun, ["a"]);
  bench.inspectQueue.request("c");
  t.same(bench.begun, ["a", "c"], "news of what was only listed");
  bench.inspectQueue.request("e");
  bench.inspectQueue.request("f");
  t.same(bench.begun, ["a", "c", "e"], "no more than three at once");
  await bench.answer("a");
  t.same(bench.begun, ["a", "c", "e", "f"]);
  bench.inspectQueue.requestListed(["c"]);
  await bench.answer("c");
  t.same(bench.begun, ["a", "c", "e", "f", "c"], "listed anew while it was looked at");
  for (const id of ["c", "e", "f", "b", "d"]) await bench.answer(id);
  t.same(bench.applied, ["a#1", "c#2", "e#3", "f#4", "b#5", "d#6"]);
});

t.test("a listed thing that dockerd has no answer for soon does not hold up the next", async (t) => {
  const bench = new Bench({ all: 3, listed: 1 });
  bench.inspectQueue.requestListed(["a", "b"]);
  t.same(bench.begun, ["a"]);
  while (bench.begun.length === 1) await new Promise((resolve) => setTimeout(resolve, 10));
  t.same(bench.begun, ["a", "b"]);
  await bench.answer("a");
  await bench.answer("b");
  bench.inspectQueue.requestListed(["c", "d"]);
  t.same(bench.begun, ["a", "b", "c"], "and leaves its place once only");
});

t.test("it is settled when nothing is left to look at", async (t) => {
  const bench = new Bench();
  let settled = 0;
  await bench.inspectQueue.settled();
  for (const id of ["a", "b"]) bench.inspectQueue.request(id);
  void bench.inspectQueue.settled().then(() => settled++);
  void bench.inspectQueue.settled().then(() => settled++);
  await bench.answer("a");
  bench.inspectQueue.request("b");
  await bench.answer("b");
  t.equal(settled, 0, "b is looked at once more");
  await bench.fail("b");
  t.equal(settled, 2);
});
