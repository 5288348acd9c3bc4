import t from "tap";
import { Turns } from "./turns.js";

t.test("no more are done at a time, in order, whether they succeed or fail", async (t) => {
  const turns = new Turns(2);
  const ends: (() => void)[] = [];
  const began: number[] = [];
  const work = (number: number, fails = false) =>
    turns.run(async () => {
      began.push(number);
      await new Promise<void>((resolve) => ends.push(resolve));
      if (fails) throw new Error(`${number} fails`);
      return number;
    });
  const results = [work(1), work(2, true), work(3), work(4)];
  results[1]!.catch(() => undefined);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  await turn();
  t.same(began, [1, 2]);
  ends[1]!();
  await turn();
  t.same(began, [1, 2, 3]);
  ends[0]!();
  await turn();
  t.same(began, [1, 2, 3, 4]);
  ends.slice(2).forEach((end) => end());
  await t.rejects(results[1]!, { message: "2 fails" });
  t.same(await Promise.all([results[0], results[2], results[3]]), [1, 3, 4]);
  t.equal(await turns.run(() => Promise.resolve(5)), 5);
});
