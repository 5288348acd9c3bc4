import t from "tap";
import { median, percentile, spread } from "./statistics.js";

t.test("the median of an odd and an even number of values", (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.throws(() => median([]));
  t.end();
});

t.test("percentiles are values that occur", (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  t.equal(percentile(hundred, 0.99), 99);
  t.equal(percentile(hundred, 0.5), 50);
  t.equal(percentile(hundred, 1), 100);
  t.equal(percentile([7], 0.01), 7);
  t.end();
});

t.test("the spread is a share of the median", (t) => {
  t.equal(spread([90, 100, 110]), 0.2);
  t.end();
});
