import t from "tap";
import { until } from "../../../integration/lab/until.js";
import { NeighbourRounds } from "./neighbour-rounds.js";

t.test("the kernel is looked at again and again, until that is stopped", async (t) => {
  let rounds = 0;
  const each = new NeighbourRounds(() => Promise.resolve(void rounds++), 1);
  t.teardown(() => each.stop());
  each.start();
  each.start();
  await until(() => rounds > 2);
  each.stop();
  each.stop();
  const last = rounds;
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(rounds, last);
});
