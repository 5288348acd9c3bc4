import fc from "fast-check";
import t from "tap";
import { TakenNumbers } from "./taken-numbers.js";

t.test("the first free number is found as a look at each would find it", (t) => {
  const steps = fc.array(fc.record({ take: fc.boolean(), from: fc.nat(1100), count: fc.nat(1100) }), { maxLength: 12 });
  const holds = fc.property(steps, fc.array(fc.nat(2200), { maxLength: 10 }), (all, asked) => {
    const numbers = new TakenNumbers();
    const model = new Set<number>();
    for (const { take, from, count } of all)
      for (let number = from; number < from + count; number++) {
        if (take) numbers.take(number);
        else numbers.free(number);
        if (take) model.add(number);
        else model.delete(number);
      }
    return asked.every((from) => {
      let free = from;
      while (model.has(free)) free++;
      return numbers.firstFree(from) === free && numbers.has(from) === model.has(from);
    });
  });
  t.doesNotThrow(() => fc.assert(holds, { numRuns: 300 }));
  t.end();
});

t.test("large numbers are numbers like others", (t) => {
  const numbers = new TakenNumbers();
  const last = 2 ** 32 - 1;
  for (const number of [last, last - 1, 2 ** 31, 2 ** 31 - 1]) numbers.take(number);
  t.equal(numbers.firstFree(last - 1), 2 ** 32);
  t.equal(numbers.firstFree(2 ** 31 - 1), 2 ** 31 + 1);
  t.ok(numbers.has(last));
  numbers.free(last);
  t.equal(numbers.firstFree(last - 1), last);
  t.end();
});

t.test("what is free takes no memory, and what is taken little", (t) => {
  const numbers = new TakenNumbers();
  for (let number = 0; number < 65_536; number++) numbers.take(number);
  t.equal(numbers.firstFree(0), 65_536);
  t.ok(numbers.wordCount <= 65_536 / 31 + 7, `${numbers.wordCount} words for numbers in a row`);
  for (let number = 0; number < 65_536; number++) numbers.free(number);
  t.equal(numbers.wordCount, 0);
  for (let count = 0; count < 1000; count++) numbers.take(count * 4_000_000);
  t.equal(numbers.wordCount, 1000, "one word for each that is alone");
  t.end();
});
