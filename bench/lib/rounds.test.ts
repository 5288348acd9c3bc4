import t from "tap";
import { compare, takeTurns } from "./rounds.js";

const contenders = [{ name: "a" }, { name: "b" }, { name: "c" }];

t.test("everybody has a turn in each round, and each round is begun by another", async (t) => {
  const turns: string[] = [];
  const take = ({ name }: { name: string }) => Promise.resolve(turns.push(name));
  const rounds = await takeTurns(contenders, take, { rounds: 3 });
  t.same(turns.join(""), "abcbcacab");
  t.same(
    [...rounds.values()].map((results) => results.length),
    [3, 3, 3],
  );
});

t.test("ratios are taken within a round", (t) => {
  // The second round ran on a machine half as fast.
  const rounds = new Map([
    ["a", [200, 100, 220]],
    ["b", [100, 50, 100]],
  ]);
  const { figure, other, ratio, lowest, highest } = compare(rounds, "a", "b", (rate) => rate);
  t.same({ figure, other, ratio, lowest, highest }, { figure: 200, other: 100, ratio: 2, lowest: 2, highest: 2.2 });
  t.end();
});
